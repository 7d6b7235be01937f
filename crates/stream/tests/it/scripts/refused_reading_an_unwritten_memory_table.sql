--fail=Can't query from memory table memory without first inserting into it.
CREATE TABLE memory (driver_id BIGINT);
CREATE TABLE out (
  driver_id BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT * FROM memory
