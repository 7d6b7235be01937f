--- setup
CREATE TABLE src (id BIGINT, time TIMESTAMP, k TEXT, v BIGINT, f DOUBLE, b BOOLEAN, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE out (k TEXT, c0 DOUBLE, c1 DOUBLE, c2 DOUBLE, c3 DOUBLE, c4 DOUBLE, c5 DOUBLE, c6 DOUBLE, c7 DOUBLE, c8 DOUBLE, c9 DOUBLE, c10 DOUBLE, c11 DOUBLE, c12 DOUBLE, c13 DOUBLE, c14 DOUBLE, c15 DOUBLE, c16 DOUBLE, c17 DOUBLE, c18 DOUBLE, c19 DOUBLE, c20 BIGINT, PRIMARY KEY (k) NOT ENFORCED);
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
