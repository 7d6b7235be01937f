--- setup
CREATE TABLE src (id BIGINT, time TIMESTAMP, k TEXT, v BIGINT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE hops (start TIMESTAMP, k TEXT, n BIGINT, total BIGINT, most BIGINT, PRIMARY KEY (start, k) NOT ENFORCED);
CREATE TABLE sessions (start TIMESTAMP, "end" TIMESTAMP, k TEXT, n BIGINT, total BIGINT, PRIMARY KEY (start, k) NOT ENFORCED);
INSERT INTO src SELECT value, TIMESTAMP '2026-01-01' + (value * 7 % 100) * INTERVAL '1 second', 'k' || (value % 3)::TEXT, value % 11 FROM range(0, 60)
--- pipeline
SET watermark_delay = INTERVAL '10 minutes';
INSERT INTO hops SELECT w.start, k, n, total, most FROM (
  SELECT hop(INTERVAL '10 seconds', INTERVAL '30 seconds') AS w, k, count(*) AS n, sum(v) AS total, max(v) AS most FROM src GROUP BY w, k);
INSERT INTO sessions SELECT w.start, w."end", k, n, total FROM (
  SELECT k, session(INTERVAL '4 seconds') AS w, count(*) AS n, sum(v) AS total FROM src GROUP BY k, w)
--- then
UPDATE src SET v = v + 100 WHERE id % 5 = 0;
DELETE FROM src WHERE id % 7 = 2;
INSERT INTO src SELECT value, TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', 'k1', value FROM range(100, 110)
--- then
UPDATE src SET time = time + INTERVAL '3 seconds' WHERE id % 4 = 1;
DELETE FROM src WHERE id > 103
--- table
SELECT 'hop' AS kind, start, NULL AS "end", k, n, total, most FROM hops UNION ALL SELECT 'session', start, "end", k, n, total, NULL FROM sessions
--- batch
SELECT 'hop' AS kind, s, NULL::TIMESTAMP AS e, k, count(*) AS n, sum(v), max(v) FROM (
  SELECT date_bin(INTERVAL '10 seconds', time) - value * INTERVAL '10 seconds' AS s, k, v FROM src, range(0, 3)) GROUP BY s, k
UNION ALL
SELECT 'session', min(time), max(time) + INTERVAL '4 seconds', k, count(*), sum(v), NULL FROM (
  SELECT k, v, time, sum(begins) OVER (PARTITION BY k ORDER BY time, id) AS number FROM (
    SELECT k, v, time, id, CASE WHEN time <= lag(time) OVER (PARTITION BY k ORDER BY time, id) + INTERVAL '4 seconds' THEN 0 ELSE 1 END AS begins FROM src))
GROUP BY k, number
