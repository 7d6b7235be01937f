CREATE TABLE rides (
  timestamp TIMESTAMP,
  driver_id BIGINT,
  event_type TEXT,
  location TEXT,
  over TIMESTAMP GENERATED ALWAYS AS (timestamp - INTERVAL '1 minute') STORED
) WITH (
  connector = 'single_file',
  path = '$input_dir/rides.json',
  format = 'json',
  type = 'source',
  event_time_field = 'timestamp',
  watermark_field = 'over'
);
CREATE TABLE out (
  minute TIMESTAMP,
  rides BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT w.start, rides FROM (SELECT tumble(INTERVAL '1' minute) AS w, count(*) AS rides FROM rides GROUP BY 1);
