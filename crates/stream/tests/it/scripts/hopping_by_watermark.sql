CREATE TABLE rides (
  timestamp TIMESTAMP,
  driver_id BIGINT,
  event_type TEXT,
  location TEXT,
  WATERMARK FOR timestamp AS timestamp - INTERVAL '30 seconds'
) WITH (
  connector = 'single_file',
  path = '$input_dir/rides.json',
  format = 'json',
  type = 'source'
);
CREATE TABLE out (
  start TIMESTAMP,
  driver_id BIGINT,
  rides BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT w.start, driver_id, n FROM (
  SELECT hop(INTERVAL '1 minute', INTERVAL '3 minutes') AS w, driver_id, count(*) AS n FROM rides GROUP BY 1, 2);
