--- setup
CREATE TABLE a (time TIMESTAMP, k TEXT, v BIGINT);
CREATE TABLE b (time TIMESTAMP, k TEXT, v BIGINT);
CREATE TABLE out (kind TEXT, start TIMESTAMP, "end" TIMESTAMP, k TEXT, one BIGINT, other BIGINT);
INSERT INTO a SELECT TIMESTAMP '2026-01-01' + (value / 4 * 20 + value % 4 * 2) * INTERVAL '1 second', 'k' || (value / 4 % 3)::TEXT, value FROM range(0, 40);
INSERT INTO b SELECT TIMESTAMP '2026-01-01' + (value / 4 * 20 + value % 4 * 2) * INTERVAL '1 second', 'k' || (value / 4 % 3)::TEXT, value * 10 FROM range(0, 40) WHERE value % 16 < 13
--- pipeline
SET watermark_delay = '4 minutes';
CREATE VIEW one AS SELECT session(INTERVAL '5 seconds') AS w, k, sum(v) AS total FROM a GROUP BY 1, 2;
CREATE VIEW other AS SELECT session(INTERVAL '5 seconds') AS w, k, sum(v) AS total FROM b GROUP BY 1, 2;
INSERT INTO out SELECT 'said', one.w.start, one.w."end", one.k, one.total, other.total FROM one JOIN other ON one.w = other.w AND one.k = other.k;
INSERT INTO out SELECT 'unsaid', one.w.start, one.w."end", one.k, one.total, other.total FROM one LEFT JOIN other ON one.k = other.k
--- then
INSERT INTO a SELECT TIMESTAMP '2026-01-01 00:04:00' + value * INTERVAL '3 seconds', 'k0', value FROM range(0, 10);
INSERT INTO b SELECT TIMESTAMP '2026-01-01 00:04:00' + value * INTERVAL '3 seconds', 'k0', value FROM range(0, 10)
--- then
INSERT INTO a VALUES (TIMESTAMP '2026-01-01 00:30:00', 'k1', 1);
INSERT INTO b VALUES (TIMESTAMP '2026-01-01 00:30:00', 'k1', 1)
--- batch
WITH marked AS (
  SELECT side, k, v, time, CASE WHEN time <= lag(time) OVER (PARTITION BY side, k ORDER BY time) + INTERVAL '5 seconds' THEN 0 ELSE 1 END AS begins
  FROM (SELECT 'a' AS side, time, k, v FROM a UNION ALL SELECT 'b', time, k, v FROM b)),
numbered AS (SELECT side, k, v, time, sum(begins) OVER (PARTITION BY side, k ORDER BY time) AS number FROM marked),
sessions AS (SELECT side, k, min(time) AS s, max(time) + INTERVAL '5 seconds' AS e, sum(v) AS total FROM numbered GROUP BY side, k, number),
one AS (SELECT k, s, e, total FROM sessions WHERE side = 'a' AND e < {watermark}),
other AS (SELECT k, s, e, total FROM sessions WHERE side = 'b' AND e < {watermark})
SELECT 'said', one.s, one.e, one.k, one.total, other.total FROM one JOIN other ON one.s = other.s AND one.e = other.e AND one.k = other.k UNION ALL
SELECT 'unsaid', one.s, one.e, one.k, one.total, other.total FROM one LEFT JOIN other ON one.s = other.s AND one.e = other.e AND one.k = other.k
