--- setup
CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT);
CREATE TABLE sums (k TEXT, n BIGINT, total BIGINT, least BIGINT, PRIMARY KEY (k) NOT ENFORCED);
CREATE TABLE firsts (k TEXT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED);
CREATE TABLE seen (k TEXT);
INSERT INTO src SELECT TIMESTAMP '2026-01-01 10:00:00' + value * INTERVAL '1 second', 'k' || (value % 5)::TEXT, value FROM range(0, 50)
--- pipeline
SET updating_ttl = INTERVAL '1 hour';
INSERT INTO sums SELECT k, count(*), sum(v), min(v) FROM src GROUP BY k;
INSERT INTO firsts SELECT k, v FROM (SELECT k, v, row_number() OVER (PARTITION BY k ORDER BY v) AS place FROM src) WHERE place = 1;
INSERT INTO seen SELECT DISTINCT k FROM src
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01 12:00:00' + value * INTERVAL '1 second', 'other', value FROM range(0, 10)
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01 12:30:00' + value * INTERVAL '1 second', 'k' || (value % 2)::TEXT, 100 + value FROM range(0, 10)
--- table
SELECT 'sum' AS kind, k, n, total, least FROM sums UNION ALL SELECT 'first', k, v, NULL, NULL FROM firsts UNION ALL SELECT 'seen', k, NULL, NULL, NULL FROM seen
--- batch
WITH kept AS (
  SELECT * FROM src WHERE time >= CASE WHEN {watermark} > TIMESTAMP '2026-01-01 11:30:00' THEN TIMESTAMP '2026-01-01 12:00:00' ELSE TIMESTAMP '2000-01-01' END)
SELECT 'sum' AS kind, k, count(*) AS n, sum(v), min(v) FROM kept GROUP BY k UNION ALL
SELECT 'first', k, min(v), NULL, NULL FROM kept GROUP BY k UNION ALL
SELECT DISTINCT 'seen', k, NULL::BIGINT, NULL::BIGINT, NULL::BIGINT FROM src WHERE time < TIMESTAMP '2026-01-01 12:00:00' UNION ALL
SELECT DISTINCT 'seen', k, NULL::BIGINT, NULL::BIGINT, NULL::BIGINT FROM src WHERE time >= TIMESTAMP '2026-01-01 12:00:00'
