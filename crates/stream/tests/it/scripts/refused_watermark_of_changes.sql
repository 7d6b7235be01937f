--fail=table 'accounts' reads changes: its rows may be taken back, and have no event time
CREATE TABLE accounts (
  id BIGINT PRIMARY KEY,
  name TEXT,
  amount BIGINT,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (
  connector = 'single_file',
  path = '$input_dir/changes.json',
  format = 'debezium_json',
  type = 'source'
);
CREATE TABLE out (
  id BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'debezium_json',
  type = 'sink'
);
INSERT INTO out SELECT id FROM accounts
