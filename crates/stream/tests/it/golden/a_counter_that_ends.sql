--- setup
CREATE TABLE out (start TIMESTAMP, odd BOOLEAN, n BIGINT, total BIGINT)
--- pipeline
CREATE TABLE impulse WITH (connector = 'impulse', event_rate = 0, event_time_interval = '250ms', message_count = 103, start_time = 1767225601000000);
INSERT INTO out
SELECT w.start, odd, n, total FROM (
  SELECT tumble(INTERVAL '5 seconds', INTERVAL '1 second') AS w, counter % 2 = 1 AS odd, count(*) AS n, sum(counter) AS total FROM impulse GROUP BY 1, 2)
--- batch
SELECT s, odd, count(*), sum(value) FROM (
  SELECT value, value % 2 = 1 AS odd, date_bin(INTERVAL '5 seconds', TIMESTAMP '2026-01-01' + value * INTERVAL '250 milliseconds') + INTERVAL '1 second' AS s
  FROM range(0, 103)) WHERE s < {watermark} GROUP BY 1, 2
