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
CREATE VIEW Pickups AS (SELECT timestamp, driver_id FROM rides WHERE event_type = 'pickup');
CREATE TABLE odd AS SELECT timestamp, driver_id FROM pickups WHERE driver_id % 2 = 1;
CREATE TABLE out (
  at TIMESTAMP,
  driver BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT * FROM ODD
