CREATE TABLE events (
  id TEXT,
  n BIGINT GENERATED ALWAYS AS (CAST(id AS BIGINT)),
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = '$input_dir/damaged.json', format = 'json', type = 'source', bad_data = 'drop');
CREATE TABLE out (
  n BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT n FROM events
