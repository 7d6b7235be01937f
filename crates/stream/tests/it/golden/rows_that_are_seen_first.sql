--- setup
CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT);
CREATE TABLE out (k BIGINT, v BIGINT);
INSERT INTO src SELECT TIMESTAMP '2026-01-01', value % 7, value % 3 FROM range(0, 90)
--- pipeline
INSERT INTO out SELECT DISTINCT k, v FROM src WHERE v < 2
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01', value % 9, value % 3 FROM range(0, 30)
--- batch
SELECT DISTINCT k, v FROM src WHERE v < 2
