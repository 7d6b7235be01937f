--- setup
CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT);
CREATE TABLE out (start TIMESTAMP, k TEXT, n BIGINT, total BIGINT, PRIMARY KEY (start, k) NOT ENFORCED);
CREATE TABLE sessions (start TIMESTAMP, "end" TIMESTAMP, n BIGINT, PRIMARY KEY (start) NOT ENFORCED);
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + (value * 7 % 50) * INTERVAL '1 second', 'k' || (value % 3)::TEXT, value FROM range(0, 50)
--- pipeline
SET early_emit = INTERVAL '1 microsecond';
SET watermark_delay = INTERVAL '1 minute';
INSERT INTO out SELECT w.start, k, n, total FROM (
  SELECT hop(INTERVAL '5 seconds', INTERVAL '10 seconds') AS w, k, count(*) AS n, sum(v) AS total FROM src GROUP BY w, k);
INSERT INTO sessions SELECT w.start, w."end", n FROM (SELECT session(INTERVAL '20 seconds') AS w, count(*) AS n FROM src GROUP BY w)
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01 00:01:10' + value * INTERVAL '2 seconds', 'k0', value FROM range(0, 20)
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:20:00', 'late', 1)
--- table
SELECT 'hop' AS kind, start, NULL AS "end", k, n, total FROM out UNION ALL SELECT 'session', start, "end", NULL, n, NULL FROM sessions
--- batch
SELECT 'hop' AS kind, s, NULL::TIMESTAMP AS e, k, count(*) AS n, sum(v) FROM (
  SELECT date_bin(INTERVAL '5 seconds', time) - value * INTERVAL '5 seconds' AS s, k, v FROM src, range(0, 2)) GROUP BY s, k
UNION ALL
SELECT 'session', min(time), max(time) + INTERVAL '20 seconds', NULL, count(*), NULL FROM (
  SELECT time, sum(begins) OVER (ORDER BY time, v) AS number FROM (
    SELECT time, v, CASE WHEN time <= lag(time) OVER (ORDER BY time, v) + INTERVAL '20 seconds' THEN 0 ELSE 1 END AS begins FROM src))
GROUP BY number
