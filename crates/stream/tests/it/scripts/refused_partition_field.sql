--fail=partition field 'nothing' does not exist in the schema
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
CREATE TABLE out (driver_id BIGINT) WITH (connector = 'filesystem', path = '$output_path', format = 'parquet', type = 'sink', partition_fields = [driver_id, nothing]);
INSERT INTO out SELECT driver_id FROM rides
