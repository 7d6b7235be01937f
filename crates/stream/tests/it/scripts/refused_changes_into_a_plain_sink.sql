--fail=input is updating, but sink is not configured as an updating sink (hint: use format = 'debezium_json')
CREATE TABLE accounts (
  id BIGINT PRIMARY KEY,
  name TEXT,
  amount BIGINT,
  at TIMESTAMP
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
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT id FROM accounts
