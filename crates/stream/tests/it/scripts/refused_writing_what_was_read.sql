--fail=memory table 'memory' is written after it was read
CREATE TABLE rides (
  timestamp TIMESTAMP,
  driver_id BIGINT,
  event_type TEXT,
  location TEXT
) WITH (
  connector = 'single_file',
  path = '$input_dir/rides.json',
  format = 'json',
  type = 'source'
);
CREATE TABLE memory (driver_id BIGINT);
CREATE TABLE out (
  driver_id BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO memory SELECT driver_id FROM rides; INSERT INTO out SELECT * FROM memory; INSERT INTO memory SELECT driver_id FROM rides
