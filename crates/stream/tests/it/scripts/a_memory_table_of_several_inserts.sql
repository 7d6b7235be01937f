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
CREATE TABLE both (kind TEXT, n BIGINT) WITH (connector = 'memory');
CREATE TABLE out (
  kind TEXT,
  n BIGINT,
  minute TIMESTAMP
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO both SELECT 'first', driver_id FROM rides WHERE driver_id = 100;
INSERT INTO both SELECT location, driver_id FROM rides WHERE driver_id = 101;
INSERT INTO out SELECT kind, n, w.start FROM (SELECT tumble(INTERVAL '2 minutes') AS w, kind, count(*) AS n FROM both GROUP BY 1, 2);
