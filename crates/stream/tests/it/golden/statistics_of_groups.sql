--- setup
CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT, f DOUBLE, b BOOLEAN);
CREATE TABLE out (k TEXT, c0 DOUBLE, c1 DOUBLE, c2 DOUBLE, c3 DOUBLE, c4 DOUBLE, c5 DOUBLE, c6 DOUBLE, c7 DOUBLE, c8 DOUBLE, c9 DOUBLE, c10 DOUBLE, c11 DOUBLE, c12 DOUBLE, c13 DOUBLE, c14 DOUBLE, c15 DOUBLE, c16 DOUBLE, c17 DOUBLE, c18 DOUBLE, c19 DOUBLE, c20 BIGINT, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', 'k' || (value % 2)::TEXT, CASE WHEN value % 9 = 4 THEN NULL ELSE value * 7 % 11 END, value * 0.25 + value % 3, value % 5 <> 2 FROM range(0, 60)
--- pipeline
SET updating_ttl = 'off';
INSERT INTO out SELECT k,
{values}
FROM src GROUP BY k
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', 'k' || (value % 2)::TEXT, CASE WHEN value % 9 = 4 THEN NULL ELSE value * 7 % 11 END, value * 0.25 + value % 3, value % 5 <> 2 FROM range(60, 100)
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:09:00', 'k0', 1, 1, true)
--- batch
SELECT k,
{values}
FROM src GROUP BY k
