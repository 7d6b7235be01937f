--- setup
CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT, f DOUBLE, b BOOLEAN);
CREATE TABLE out (start TIMESTAMP, k TEXT, c0 TEXT, c1 TEXT, c2 TEXT, c3 TEXT, c4 BIGINT, c5 DOUBLE, c6 BIGINT, c7 DOUBLE, c8 DOUBLE, c9 DOUBLE, c10 BIGINT);
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', 'k' || (value % 2)::TEXT, CASE WHEN value % 9 = 4 THEN NULL ELSE value * 7 % 11 END, value * 0.25 + value % 3, value % 5 <> 2 FROM range(0, 60)
--- pipeline
INSERT INTO out SELECT w.start, k, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10 FROM (
  SELECT hop(INTERVAL '10 seconds', INTERVAL '20 seconds') AS w, k,
{values}
  FROM src GROUP BY 1, 2)
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', 'k' || (value % 2)::TEXT, CASE WHEN value % 9 = 4 THEN NULL ELSE value * 7 % 11 END, value * 0.25 + value % 3, value % 5 <> 2 FROM range(60, 100)
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:09:00', 'k0', 1, 1, true)
--- batch
SELECT s, k,
{values}
FROM (SELECT date_bin(INTERVAL '10 seconds', time) - value * INTERVAL '10 seconds' AS s, time, k, v, f, b FROM src, range(0, 2))
WHERE s + INTERVAL '20 seconds' <= {watermark} GROUP BY s, k
