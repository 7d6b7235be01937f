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
  driver_id BIGINT,
  n BIGINT,
  start TIMESTAMP,
  place BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out
SELECT driver_id, n, window.start, row_number FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window ORDER BY n DESC, driver_id DESC) AS row_number
  FROM (SELECT driver_id, tumble(INTERVAL '5' minute) AS window, count(*) AS n FROM rides GROUP BY 1, 2))
WHERE row_number <= 2
