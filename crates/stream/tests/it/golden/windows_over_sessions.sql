--- setup
CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT);
CREATE TABLE out (start TIMESTAMP, sessions BIGINT, n BIGINT, most BIGINT);
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + (value * 3 + value % 7 * 5) * INTERVAL '1 second', 'k' || (value % 4)::TEXT, value FROM range(0, 60)
--- pipeline
SET watermark_delay = INTERVAL '2 minutes';
INSERT INTO out SELECT w.start, sessions, n, most FROM (
  SELECT tumble(INTERVAL '30 seconds') AS w, count(*) AS sessions, sum(n) AS n, max(n) AS most FROM (
    SELECT session(INTERVAL '10 seconds') AS s, k, count(*) AS n FROM src GROUP BY s, k) GROUP BY w)
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01 00:10:00' + value * INTERVAL '1 second', 'k', value FROM range(0, 30)
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 01:00:00', 'k', 1)
--- batch
SELECT date_bin(INTERVAL '30 seconds', e - INTERVAL '1 microsecond') AS s, count(*), sum(n), max(n) FROM (
  SELECT max(time) + INTERVAL '10 seconds' AS e, k, count(*) AS n FROM (
    SELECT k, time, sum(begins) OVER (PARTITION BY k ORDER BY time, v) AS number FROM (
      SELECT k, time, v, CASE WHEN time <= lag(time) OVER (PARTITION BY k ORDER BY time, v) + INTERVAL '10 seconds' THEN 0 ELSE 1 END AS begins FROM src))
  GROUP BY k, number)
GROUP BY 1 HAVING date_bin(INTERVAL '30 seconds', max(e) - INTERVAL '1 microsecond') + INTERVAL '30 seconds' < {watermark}
