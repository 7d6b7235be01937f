CREATE TABLE a (
  timestamp TIMESTAMP,
  driver_id BIGINT,
  event_type TEXT,
  location TEXT,
  WATERMARK FOR timestamp AS timestamp - INTERVAL '30 seconds'
) WITH (
  connector = 'single_file',
  path = '$input_dir/rides.json',
  format = 'json',
  type = 'source'
);
CREATE TABLE b (
  timestamp TIMESTAMP,
  driver_id BIGINT,
  event_type TEXT,
  location TEXT,
  WATERMARK FOR timestamp AS timestamp - INTERVAL '30 seconds'
) WITH (
  connector = 'single_file',
  path = '$input_dir/rides.json',
  format = 'json',
  type = 'source'
);
CREATE TABLE out (
  start TIMESTAMP,
  pickups BIGINT,
  dropoffs BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT p.w.start, p.n, d.n FROM
  (SELECT tumble(INTERVAL '40 seconds') AS w, count(*) AS n FROM a WHERE event_type = 'pickup' GROUP BY 1) AS p
LEFT JOIN
  (SELECT tumble(INTERVAL '40 seconds') AS w, count(*) AS n FROM b WHERE event_type = 'dropoff' GROUP BY 1) AS d
ON p.w = d.w
