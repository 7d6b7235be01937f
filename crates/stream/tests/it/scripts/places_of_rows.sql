CREATE TABLE rides (
  n BIGINT METADATA FROM 'row',
  driver_id BIGINT,
  file TEXT GENERATED ALWAYS AS (metadata('path')) STORED,
  next BIGINT GENERATED ALWAYS AS (n + 1) STORED
) WITH (connector = 'single_file', path = '$input_dir/rides.json', format = 'json', type = 'source');
CREATE TABLE out (
  n BIGINT,
  driver BIGINT,
  file TEXT,
  next BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT n, driver_id, right(file, 17), next FROM rides
