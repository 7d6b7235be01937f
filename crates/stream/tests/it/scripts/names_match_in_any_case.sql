CREATE TABLE Rides (
  timestamp TIMESTAMP,
  "driver_id" BIGINT,
  event_type TEXT,
  location TEXT
) WITH (
  connector = 'single_file',
  path = '$input_dir/rides.json',
  format = 'json',
  type = 'source'
);
CREATE TABLE OUT (
  Driver BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
insert into Out select RIDES.Driver_Id from rIdEs where EVENT_TYPE = 'pickup'
