CREATE TABLE rides (value JSON) WITH (connector = 'single_file', path = '$input_dir/rides.json', format = 'json', type = 'source', 'json.unstructured' = 'true');
CREATE TABLE out WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT 'x' AS a, value->'driver_id' AS b, value->'event_type' AS c, value->'nothing' AS d, value->>'event_type' AS e FROM rides
