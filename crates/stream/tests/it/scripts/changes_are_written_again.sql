--pk=id
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
  id BIGINT,
  name TEXT,
  amount BIGINT,
  at TIMESTAMP
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'debezium_json',
  type = 'sink'
);
INSERT INTO out SELECT id, name, amount, at FROM accounts WHERE amount > 9 OR amount IS NULL
