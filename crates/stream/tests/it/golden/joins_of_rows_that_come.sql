--- setup
CREATE TABLE a (time TIMESTAMP, k BIGINT, v BIGINT);
CREATE TABLE b (time TIMESTAMP, k BIGINT, w BIGINT);
CREATE TABLE out (k BIGINT, v BIGINT, w BIGINT);
INSERT INTO a SELECT TIMESTAMP '2026-01-01', value % 13, value FROM range(0, 50);
INSERT INTO b SELECT TIMESTAMP '2026-01-01', value % 17, value FROM range(0, 50)
--- pipeline
INSERT INTO out SELECT a.k, v, w FROM a, b WHERE a.k = b.k AND v <> w
--- then
INSERT INTO a SELECT TIMESTAMP '2026-01-01', value, value FROM range(0, 20);
INSERT INTO b SELECT TIMESTAMP '2026-01-01', value, value FROM range(5, 30);
INSERT INTO b SELECT TIMESTAMP '2026-01-01', value, value FROM range(5, 30)
--- batch
SELECT a.k, v, w FROM a, b WHERE a.k = b.k AND v <> w
