CREATE TABLE impulse WITH (connector = 'impulse', event_rate = '0', event_time_interval = INTERVAL '250 milliseconds', message_count = 50, start_time = 1767225600000000);
CREATE TABLE out (
  start TIMESTAMP,
  n BIGINT,
  total BIGINT
) WITH (
  connector = 'single_file',
  path = '$output_path',
  format = 'json',
  type = 'sink'
);
INSERT INTO out SELECT window.start, n, total FROM (SELECT count(*) AS n, sum(counter) AS total, hop(interval '1 second', interval '2 seconds') AS window FROM impulse GROUP BY window)
