CREATE TABLE nested (
  at TIMESTAMP,
  who STRUCT(name TEXT, tags TEXT[]),
  price DECIMAL(10, 3),
  doc JSON,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = '$input_dir/nested.json', format = 'json', type = 'source', json.timestamp_format = 'unix_millis');
CREATE TABLE out (
  at TIMESTAMP,
  price DECIMAL(10, 3)
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  json.timestamp_format = 'unix_millis',
  'json.decimal_encoding' = 'string',
  type = 'sink'
);
INSERT INTO out SELECT at, price FROM nested
