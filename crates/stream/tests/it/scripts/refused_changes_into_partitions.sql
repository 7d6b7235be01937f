--fail=updating input of a sink with partitions is not supported yet
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
  name TEXT
) WITH (
  connector = 'filesystem',
  path = '$output_path',
  format = 'debezium_json',
  type = 'sink'
) PARTITIONED BY (name);
INSERT INTO out SELECT id, name FROM accounts
