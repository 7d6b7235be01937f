--fail=connector 'carrier_pigeon' is not supported yet
CREATE TABLE p (a INT) WITH (connector = 'carrier_pigeon');
CREATE TABLE out (
  driver_id BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT a FROM p
