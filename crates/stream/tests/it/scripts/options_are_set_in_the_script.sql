SET watermark_delay = INTERVAL '30' seconds;
SET bad_data = 'drop';
CREATE TABLE rides (
  timestamp TIMESTAMP,
  driver_id BIGINT,
  event_type TEXT,
  location TEXT
) WITH (
  connector = 'single_file',
  path = '$input_dir/rides.json',
  format = 'json',
  type = 'source',
  event_time_field = timestamp
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
INSERT INTO out SELECT w.start, n FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM rides GROUP BY 1)
