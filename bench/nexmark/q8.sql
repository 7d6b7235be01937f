--- setup
CREATE TABLE out (id BIGINT, name TEXT, start TIMESTAMP)
--- query
SELECT p.id, p.name, p.w.start FROM (
  SELECT id, name, tumble(INTERVAL '10 seconds') AS w FROM person GROUP BY id, name, w) AS p
JOIN (SELECT seller, tumble(INTERVAL '10 seconds') AS w FROM auction GROUP BY seller, w) AS a
ON p.id = a.seller AND p.w = a.w
--- batch
SELECT DISTINCT p.id, p.name, date_bin(INTERVAL '10 seconds', p.datetime) FROM person AS p
JOIN auction AS a ON p.id = a.seller AND date_bin(INTERVAL '10 seconds', p.datetime) = date_bin(INTERVAL '10 seconds', a.datetime)
--- flink
SELECT p.id, p.name, p.window_start FROM (
  SELECT id, name, window_start, window_end FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(datetime), INTERVAL '10' SECOND))
  GROUP BY id, name, window_start, window_end) AS p
JOIN (
  SELECT seller, window_start, window_end FROM TABLE(TUMBLE(TABLE auction, DESCRIPTOR(datetime), INTERVAL '10' SECOND))
  GROUP BY seller, window_start, window_end) AS a
ON p.id = a.seller AND p.window_start = a.window_start AND p.window_end = a.window_end
