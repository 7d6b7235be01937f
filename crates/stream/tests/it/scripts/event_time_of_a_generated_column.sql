CREATE TABLE rides (
  driver_id INT NOT NULL,
  timestamp TEXT,
  shifted TIMESTAMP GENERATED ALWAYS AS (CAST(timestamp AS TIMESTAMP) + INTERVAL '1 hour'),
  WATERMARK FOR shifted AS shifted - INTERVAL '30 seconds',
) WITH (connector = 'single_file', path = '$input_dir/rides.json', format = 'json', type = 'source');
CREATE TABLE out (
  start TIMESTAMP,
  n BIGINT,
  latest TIMESTAMP
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT w.start, n, latest FROM (SELECT tumble(INTERVAL '10 minutes') AS w, count(*) AS n, max(shifted) AS latest FROM rides GROUP BY w);
