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
CREATE TABLE lost WITH (connector = 'blackhole');
CREATE VIEW counts AS SELECT driver_id, count(*) AS n FROM rides GROUP BY driver_id;
CREATE TABLE out (
  driver_id BIGINT,
  n BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'debezium_json',
  type = 'sink'
);
INSERT INTO out SELECT * FROM counts;
INSERT INTO lost SELECT n FROM counts
