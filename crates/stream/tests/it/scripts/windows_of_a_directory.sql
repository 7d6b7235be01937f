CREATE TABLE rides (
  timestamp TIMESTAMP,
  driver_id BIGINT,
  event_type TEXT,
  location TEXT,
  WATERMARK FOR timestamp AS timestamp - INTERVAL '30 seconds',
  file TEXT METADATA FROM 'path'
) WITH (
  connector = 'filesystem',
  path = '$input_dir/parts',
  format = 'json',
  type = 'source',
  'source.regex-pattern' = '.*[.]json'
);
CREATE TABLE out (
  start TIMESTAMP,
  n BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT w.start, n FROM (SELECT tumble(INTERVAL '3 minutes') AS w, count(*) AS n FROM rides GROUP BY 1)
