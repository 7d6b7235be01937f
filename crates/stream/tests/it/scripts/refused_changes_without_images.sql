--fail=option 'changelog.before' = 'state' is not supported yet
CREATE TABLE accounts (
  id BIGINT PRIMARY KEY,
  name TEXT,
  amount BIGINT,
  at TIMESTAMP
) WITH (
  connector = 'single_file',
  path = '$input_dir/changes.json',
  format = 'debezium_json',
  changelog.before = 'state',
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
