--- setup
CREATE TABLE a (time TIMESTAMP, k BIGINT, v BIGINT);
CREATE TABLE b (time TIMESTAMP, k BIGINT, w BIGINT);
CREATE TABLE inners (k BIGINT, v BIGINT, w BIGINT);
CREATE TABLE lefts (k BIGINT, v BIGINT, w BIGINT);
CREATE TABLE rights (k BIGINT, v BIGINT, w BIGINT);
CREATE TABLE fulls (k BIGINT, v BIGINT, w BIGINT);
CREATE TABLE semis (k BIGINT, v BIGINT);
CREATE TABLE antis (k BIGINT, v BIGINT);
CREATE TABLE windows (start TIMESTAMP, pairs BIGINT);
CREATE TABLE late (start TIMESTAMP, n BIGINT, met BIGINT);
INSERT INTO a SELECT TIMESTAMP '2026-01-01' + (value * 7 % 60) * INTERVAL '1 second', value % 5, value FROM range(0, 40);
INSERT INTO b SELECT TIMESTAMP '2026-01-01' + (value * 11 % 70) * INTERVAL '1 second', value % 7, value FROM range(0, 40)
--- pipeline
SET watermark_delay = INTERVAL '10 minutes';
INSERT INTO inners SELECT a.k, v, w FROM a JOIN b ON a.k = b.k WHERE a.time BETWEEN b.time - INTERVAL '5 seconds' AND b.time + INTERVAL '10 seconds' AND v <> w;
INSERT INTO lefts SELECT a.k, v, w FROM a LEFT JOIN b ON a.k = b.k AND a.time >= b.time - INTERVAL '5 seconds' AND a.time <= b.time + INTERVAL '10 seconds';
INSERT INTO rights SELECT b.k, v, w FROM a RIGHT JOIN b ON a.k = b.k AND a.time > b.time AND a.time <= b.time + INTERVAL '10 seconds';
INSERT INTO fulls SELECT coalesce(a.k, b.k), v, w FROM a FULL JOIN b ON a.k = b.k AND b.time BETWEEN a.time - INTERVAL '10 seconds' AND a.time + INTERVAL '5 seconds';
INSERT INTO semis SELECT k, v FROM a WHERE EXISTS (SELECT 1 FROM b WHERE a.k = b.k AND a.time BETWEEN b.time AND b.time + INTERVAL '10 seconds');
INSERT INTO antis SELECT k, v FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE a.k = b.k AND b.time BETWEEN a.time - INTERVAL '10 seconds' AND a.time + INTERVAL '5 seconds');
INSERT INTO windows SELECT s.start, n FROM (
  SELECT tumble(INTERVAL '10 seconds') AS s, count(*) AS n FROM (SELECT v, w FROM a, b WHERE a.k = b.k AND a.time = b.time) GROUP BY s);
INSERT INTO late SELECT s.start, n, met FROM (
  SELECT tumble(INTERVAL '10 seconds') AS s, count(*) AS n, count(w) AS met FROM (
    SELECT v, w FROM a LEFT JOIN b ON a.k = b.k AND b.time BETWEEN a.time AND a.time + INTERVAL '15 seconds') GROUP BY s)
--- then
INSERT INTO a SELECT TIMESTAMP '2026-01-01 00:01:00' + value * INTERVAL '3 seconds', value % 5, 100 + value FROM range(0, 20);
INSERT INTO b SELECT TIMESTAMP '2026-01-01 00:01:00' + value * INTERVAL '4 seconds', value % 5, 100 + value FROM range(0, 20)
--- then
INSERT INTO a VALUES (TIMESTAMP '2026-01-01 00:11:15', 100, 1000);
INSERT INTO b VALUES (TIMESTAMP '2026-01-01 00:11:15', 101, 1000)
--- then
INSERT INTO a VALUES (TIMESTAMP '2026-01-01 01:00:00', 100, 1001);
INSERT INTO b VALUES (TIMESTAMP '2026-01-01 01:00:00', 101, 1001)
--- table
SELECT 'inner' AS kind, NULL::TIMESTAMP AS s, k, v, w FROM inners UNION ALL SELECT 'left', NULL, k, v, w FROM lefts UNION ALL SELECT 'right', NULL, k, v, w FROM rights UNION ALL
SELECT 'full', NULL, k, v, w FROM fulls UNION ALL SELECT 'semi', NULL, k, v, NULL FROM semis UNION ALL SELECT 'anti', NULL, k, v, NULL FROM antis UNION ALL
SELECT 'window', start, pairs, NULL, NULL FROM windows UNION ALL SELECT 'late', start, n, met, NULL FROM late
--- batch
SELECT 'inner' AS kind, NULL::TIMESTAMP AS s, a.k, v, w FROM a JOIN b ON a.k = b.k AND a.time BETWEEN b.time - INTERVAL '5 seconds' AND b.time + INTERVAL '10 seconds' AND v <> w UNION ALL
SELECT 'left', NULL, a.k, v, w FROM a LEFT JOIN b ON a.k = b.k AND a.time BETWEEN b.time - INTERVAL '5 seconds' AND b.time + INTERVAL '10 seconds'
  WHERE w IS NOT NULL OR a.time + INTERVAL '5 seconds' < {watermark} UNION ALL
SELECT 'right', NULL, b.k, v, w FROM a RIGHT JOIN b ON a.k = b.k AND a.time > b.time AND a.time <= b.time + INTERVAL '10 seconds'
  WHERE v IS NOT NULL OR b.time + INTERVAL '10 seconds' < {watermark} UNION ALL
SELECT 'full', NULL, coalesce(a.k, b.k), v, w FROM a FULL JOIN b ON a.k = b.k AND b.time BETWEEN a.time - INTERVAL '10 seconds' AND a.time + INTERVAL '5 seconds'
  WHERE (v IS NOT NULL AND w IS NOT NULL) OR a.time + INTERVAL '5 seconds' < {watermark} OR b.time + INTERVAL '10 seconds' < {watermark} UNION ALL
SELECT 'semi', NULL, k, v, NULL FROM a WHERE EXISTS (SELECT 1 FROM b WHERE a.k = b.k AND a.time BETWEEN b.time AND b.time + INTERVAL '10 seconds') UNION ALL
SELECT 'anti', NULL, k, v, NULL FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE a.k = b.k AND b.time BETWEEN a.time - INTERVAL '10 seconds' AND a.time + INTERVAL '5 seconds')
  AND a.time + INTERVAL '5 seconds' < {watermark} UNION ALL
SELECT 'window', date_bin(INTERVAL '10 seconds', a.time) AS s, count(*), NULL, NULL FROM a JOIN b ON a.k = b.k AND a.time = b.time GROUP BY 2 HAVING date_bin(INTERVAL '10 seconds', max(a.time)) + INTERVAL '10 seconds' <= {watermark} UNION ALL
SELECT 'late', s, count(*), count(w), NULL FROM (
  SELECT date_bin(INTERVAL '10 seconds', coalesce(b.time, a.time)) AS s, v, w FROM a LEFT JOIN b ON a.k = b.k AND b.time BETWEEN a.time AND a.time + INTERVAL '15 seconds')
  WHERE s + INTERVAL '25 seconds' <= {watermark} GROUP BY s
