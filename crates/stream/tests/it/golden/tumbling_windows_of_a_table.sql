--- setup
CREATE TABLE src (time TIMESTAMP, host TEXT, v BIGINT);
CREATE TABLE out (start TIMESTAMP, "end" TIMESTAMP, host TEXT, n BIGINT, total BIGINT, mean DOUBLE, low BIGINT, high BIGINT, kinds BIGINT, big BIGINT);
INSERT INTO src SELECT to_timestamp_micros(1767225600000000 + value * 700000), 'host' || (value % 3), value % 11 FROM range(0, 60);
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:00:41', NULL, NULL)
--- pipeline
SET watermark_delay = INTERVAL '2 seconds';
INSERT INTO out
SELECT w.start, w."end", host, n, total, mean, low, high, kinds, big FROM (
  SELECT tumble(INTERVAL '10 seconds') AS w, host, count(*) AS n, sum(v) AS total, avg(v) AS mean, min(v) AS low, max(v) AS high,
    count(DISTINCT v) AS kinds, count(*) FILTER (WHERE v > 5) AS big
  FROM src GROUP BY 1, host)
--- then
INSERT INTO src SELECT to_timestamp_micros(1767225641000000 + value * 500000), 'host' || (value % 2), value FROM range(0, 40)
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:05:00', 'host9', 7), (TIMESTAMP '2026-01-01 00:05:00', 'host9', 8), (TIMESTAMP '2026-01-01 00:06:00', 'host9', 9)
--- batch
SELECT s, s + INTERVAL '10 seconds', host, count(*), sum(v), avg(v), min(v), max(v), count(DISTINCT v), count(*) FILTER (WHERE v > 5)
FROM (SELECT date_bin(INTERVAL '10 seconds', time) AS s, host, v FROM src) GROUP BY s, host HAVING s + INTERVAL '10 seconds' <= {watermark}
