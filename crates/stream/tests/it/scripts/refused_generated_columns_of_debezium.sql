--fail=Failed to create table rides caused by can't use virtual fields with debezium format
CREATE TABLE rides (
  timestamp TIMESTAMP,
  driver_id BIGINT,
  event_type TEXT,
  location TEXT,
  p TEXT GENERATED ALWAYS AS (location) STORED
) WITH (
  connector = 'single_file',
  path = '$input_dir/rides.json',
  format = 'debezium_json',
  type = 'source'
);
CREATE TABLE out (
  driver_id BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT driver_id FROM rides
