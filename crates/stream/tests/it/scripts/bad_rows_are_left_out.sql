CREATE TABLE events (
  id BIGINT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = '$input_dir/damaged.json', format = 'json', type = 'source', bad_data = 'drop');
CREATE TABLE out (
  id BIGINT,
  at TIMESTAMP
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT id, at FROM events
