--- setup
CREATE TABLE src (time TIMESTAMP, v BIGINT);
CREATE TABLE out (one INT, n BIGINT, total BIGINT, PRIMARY KEY (one) NOT ENFORCED)
--- pipeline
INSERT INTO out SELECT 1, count(*), sum(v) FROM src
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01', value FROM range(0, 70)
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01', value FROM range(0, 5)
--- batch
SELECT 1, count(*), sum(v) FROM src
