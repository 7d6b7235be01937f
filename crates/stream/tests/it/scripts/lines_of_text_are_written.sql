CREATE TABLE lines (value TEXT) WITH (connector = 'single_file', path = '$input_dir/lines.txt', format = 'raw_string', type = 'source');
CREATE TABLE out (
  line TEXT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'raw_string',
  type = 'sink'
);
INSERT INTO out SELECT value || '!' FROM lines
