CREATE TABLE nested (
  at TIMESTAMP,
  who STRUCT(name TEXT, tags TEXT[]),
  price DECIMAL(10, 3),
  doc JSON,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = '$input_dir/nested.json', format = 'json', type = 'source', json.timestamp_format = 'unix_millis');
CREATE TABLE out (
  at TIMESTAMP,
  name TEXT,
  tag TEXT,
  whole struct<name text, tags text[]>,
  y TEXT,
  price DECIMAL(10, 3)
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT at, n.who.name, n.who.tags[2], who, doc->'deep'->>'y', price FROM nested AS n
