--pk=id
CREATE TABLE accounts (
  id BIGINT PRIMARY KEY,
  name TEXT
) WITH (
  connector = 'single_file',
  path = '$input_dir/changes_damaged.json',
  format = 'debezium_json',
  bad_data = 'drop',
  type = 'source'
);
CREATE TABLE out (
  id BIGINT,
  name TEXT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'debezium_json',
  type = 'sink'
);
INSERT INTO out SELECT id, name FROM accounts
