CREATE TABLE lines (value TEXT) WITH (connector = 'single_file', path = '$input_dir/lines.txt', format = 'raw_string', type = 'source');
CREATE TABLE out (
  length BIGINT,
  text TEXT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT char_length(value), value FROM lines
