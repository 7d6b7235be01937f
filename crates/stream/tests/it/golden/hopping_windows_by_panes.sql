--- setup
CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT);
CREATE TABLE out (start TIMESTAMP, "end" TIMESTAMP, k TEXT, n BIGINT, total BIGINT, kinds BIGINT);
INSERT INTO src SELECT to_timestamp_micros(1767225600000000 + (value * 7 % 50) * 1000000), 'k' || (value % 2), value % 5 FROM range(0, 50)
--- pipeline
SET watermark_delay = INTERVAL '1 minute';
INSERT INTO out
SELECT w.start, w."end", k, n, total, kinds FROM (
  SELECT hop(INTERVAL '4 seconds', INTERVAL '10 seconds') AS w, k, count(*) AS n, sum(v) AS total, count(DISTINCT v) AS kinds FROM src GROUP BY w, k)
--- then
INSERT INTO src SELECT to_timestamp_micros(1767225660000000 + value * 1000000), 'k' || (value % 2), value % 5 FROM range(0, 40)
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:10:00', 'k0', 1)
--- batch
SELECT s, s + INTERVAL '10 seconds', k, count(*), sum(v), count(DISTINCT v) FROM (
  SELECT date_bin(INTERVAL '4 seconds', time) AS s, time, k, v FROM src
  UNION ALL SELECT date_bin(INTERVAL '4 seconds', time) - INTERVAL '4 seconds', time, k, v FROM src
  UNION ALL SELECT date_bin(INTERVAL '4 seconds', time) - INTERVAL '8 seconds', time, k, v FROM src)
WHERE time < s + INTERVAL '10 seconds' AND s + INTERVAL '10 seconds' <= {watermark} GROUP BY s, k
