CREATE TABLE people (
  id BIGINT NOT NULL,
  name TEXT,
  note TEXT,
  born TIMESTAMP,
  gone BOOLEAN
) WITH (connector = 'single_file', path = '$input_dir/people.csv', format = 'csv', type = 'source');
CREATE TABLE out (
  id BIGINT,
  born TIMESTAMP,
  word TEXT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'csv',
  type = 'sink'
);
INSERT INTO out SELECT id, born, CASE WHEN id % 2 = 0 THEN 'a,b' END FROM people
