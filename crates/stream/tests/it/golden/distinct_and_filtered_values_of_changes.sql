--- setup
CREATE TABLE src (id BIGINT, time TIMESTAMP, k TEXT, v BIGINT, f DOUBLE, b BOOLEAN, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE out (k TEXT, c0 BIGINT, c1 DOUBLE, c2 BIGINT, c3 BIGINT, c4 BIGINT, c5 BIGINT, c6 BIGINT, c7 BIGINT, c8 BIGINT, c9 BOOLEAN, c10 BOOLEAN, c11 BIGINT, c12 BIGINT, c13 BIGINT, c14 DOUBLE, c15 BIGINT, c16 BOOLEAN, c17 BIGINT, c18 DOUBLE, c19 DOUBLE, c20 DOUBLE, c21 DOUBLE, c22 DOUBLE, c23 BIGINT, c24 BIGINT, c25 BIGINT, c26 TEXT, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO src SELECT value, TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', 'k' || (value % 2)::TEXT, CASE WHEN value % 9 = 4 THEN NULL ELSE value * 7 % 11 END, value * 0.25 + value % 3, value % 5 <> 2 FROM range(0, 60)
--- pipeline
INSERT INTO out SELECT k,
{values}
FROM src GROUP BY k
--- then
UPDATE src SET v = v + 2, b = NOT b WHERE id % 5 = 0;
DELETE FROM src WHERE id % 7 = 3;
INSERT INTO src SELECT value, TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', 'k' || (value % 2)::TEXT, CASE WHEN value % 9 = 4 THEN NULL ELSE value * 7 % 11 END, value * 0.25 + value % 3, value % 5 <> 2 FROM range(60, 80)
--- then
UPDATE src SET k = 'k1', f = f - 1 WHERE id % 4 = 0;
DELETE FROM src WHERE id % 6 = 1
--- batch
SELECT k,
{values}
FROM src GROUP BY k
