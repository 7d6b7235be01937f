--pk=name
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
  name TEXT,
  n BIGINT,
  total BIGINT,
  last TIMESTAMP
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'debezium_json',
  type = 'sink'
);
INSERT INTO out SELECT name, count(*), sum(amount), max(at) FROM accounts GROUP BY name
