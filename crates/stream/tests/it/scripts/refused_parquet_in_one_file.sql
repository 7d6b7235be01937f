--fail=format 'parquet' cannot be appended to
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
CREATE TABLE out (
  a BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'parquet',
  type = 'sink'
);
INSERT INTO out SELECT driver_id FROM rides
