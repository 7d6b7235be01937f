CREATE TABLE lines (value BYTEA) WITH (connector = 'single_file', path = '$input_dir/lines.txt', format = 'raw_bytes', type = 'source');
CREATE TABLE out (
  value BYTEA
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'raw_bytes',
  type = 'sink'
);
INSERT INTO out SELECT value FROM lines
