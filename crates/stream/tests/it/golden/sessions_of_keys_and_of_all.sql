--- setup
CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT);
CREATE TABLE out (start TIMESTAMP, "end" TIMESTAMP, k TEXT, n BIGINT, total BIGINT, kinds BIGINT);
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + (value * 7 % 50) * (value % 3) * INTERVAL '1 second', CASE WHEN value % 4 < 3 THEN 'k' || (value % 4) END, value % 5 FROM range(0, 50)
--- pipeline
SET watermark_delay = INTERVAL '3 minutes';
INSERT INTO out
SELECT w.start, w."end", k, n, total, kinds FROM (
  SELECT session(INTERVAL '5 seconds') AS w, k, count(*) AS n, sum(v) AS total, count(DISTINCT v) AS kinds FROM src GROUP BY 1, k);
INSERT INTO out
SELECT w.start, w."end", 'all', n, total, kinds FROM (
  SELECT session(INTERVAL '3 seconds') AS w, count(*) AS n, sum(v) AS total, count(DISTINCT v) AS kinds FROM src GROUP BY 1)
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01 00:01:35' + value * INTERVAL '4 seconds', 'k' || (value % 2), value FROM range(0, 20)
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:30:00', 'k0', 1)
--- batch
SELECT min(time), max(time) + INTERVAL '5 seconds', k, count(*), sum(v), count(DISTINCT v) FROM (
  SELECT *, sum(new) OVER (PARTITION BY k ORDER BY time) AS island FROM (
    SELECT k, time, v, CASE WHEN time <= lag(time) OVER (PARTITION BY k ORDER BY time) + INTERVAL '5 seconds' THEN 0 ELSE 1 END AS new FROM src))
GROUP BY k, island HAVING max(time) + INTERVAL '5 seconds' < {watermark}
UNION ALL
SELECT min(time), max(time) + INTERVAL '3 seconds', 'all', count(*), sum(v), count(DISTINCT v) FROM (
  SELECT *, sum(new) OVER (ORDER BY time) AS island FROM (
    SELECT time, v, CASE WHEN time <= lag(time) OVER (ORDER BY time) + INTERVAL '3 seconds' THEN 0 ELSE 1 END AS new FROM src))
GROUP BY island HAVING max(time) + INTERVAL '3 seconds' < {watermark}
