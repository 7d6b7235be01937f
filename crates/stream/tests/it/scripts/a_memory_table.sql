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
CREATE TABLE memory (
  event_type TEXT,
  location TEXT,
  driver_id BIGINT,
);
CREATE TABLE out (
  driver_id BIGINT,
  event_type TEXT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO memory SELECT event_type, location, driver_id AS other FROM rides;
INSERT INTO out SELECT driver_id AS other, event_type FROM memory;
