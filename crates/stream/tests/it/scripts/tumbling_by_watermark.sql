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
  end TIMESTAMP,
  event_type TEXT,
  rides BIGINT,
  drivers BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out
SELECT window.start, window.end, event_type, rides, drivers FROM (
  SELECT TUMBLE(INTERVAL '5 minutes') AS window, event_type, count(*) AS rides, count(DISTINCT driver_id) AS drivers
  FROM rides GROUP BY window, event_type);
