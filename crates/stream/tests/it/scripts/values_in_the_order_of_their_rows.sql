--pk=driver_id
CREATE TABLE rides (
  timestamp TIMESTAMP,
  driver_id BIGINT,
  event_type TEXT,
  location TEXT
) WITH (
  connector = 'single_file',
  path = '$input_dir/rides.json',
  format = 'json',
  type = 'source'
);
CREATE TABLE out (
  driver_id BIGINT,
  f TIMESTAMP,
  l TIMESTAMP,
  all_of TEXT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'debezium_json',
  type = 'sink'
);
INSERT INTO out
SELECT driver_id, first_value(timestamp) AS f, last_value(timestamp) AS l, string_agg(event_type, '|') AS all_of
FROM rides GROUP BY driver_id
