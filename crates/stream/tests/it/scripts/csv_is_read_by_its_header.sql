CREATE TABLE people (
  id BIGINT NOT NULL,
  name TEXT,
  note TEXT,
  born TIMESTAMP,
  gone BOOLEAN
) WITH (connector = 'single_file', path = '$input_dir/people.csv', format = 'csv', type = 'source');
CREATE TABLE out (
  id BIGINT,
  name TEXT,
  note TEXT,
  born TIMESTAMP,
  gone BOOLEAN
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT * FROM people
