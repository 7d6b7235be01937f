CREATE TABLE rides (
  timestamp TIMESTAMP,
  driver_id BIGINT,
  event_type TEXT,
  location TEXT
) WITH (
  connector = 'single_file',
  path = '$input_dir/rides.json.gz',
  format = 'json',
  type = 'source',
  source.compression = 'gzip'
);
CREATE TABLE out (
  at TIMESTAMP
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT timestamp FROM rides
