--- setup
CREATE TABLE src (id BIGINT, k TEXT, v BIGINT, f DOUBLE, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE sums (k TEXT, n BIGINT, total BIGINT, mean DOUBLE, PRIMARY KEY (k) NOT ENFORCED);
CREATE TABLE out (k TEXT, n BIGINT, least BIGINT, most DOUBLE, total DOUBLE, kinds BIGINT, vs BIGINT, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO src SELECT value, 'k' || (value % 7)::TEXT, value % 11, value * 0.1 FROM range(0, 90)
--- pipeline
INSERT INTO sums SELECT k, count(*), sum(v), avg(v) FROM src GROUP BY k;
INSERT INTO out
SELECT a.k, a.n, a.least, a.most, a.total, a.kinds, a.vs FROM (
  SELECT k, count(*) AS n, min(v) AS least, max(f) AS most, sum(f) AS total, count(DISTINCT v) AS kinds, count(v) AS vs FROM src GROUP BY k) a
WHERE a.n <> 3
--- then
UPDATE src SET v = v + 100, f = f / 3 WHERE id % 5 = 0;
DELETE FROM src WHERE id % 7 = 2;
INSERT INTO src SELECT value, 'm', NULL, value FROM range(100, 130)
--- then
UPDATE src SET k = 'k1' WHERE k = 'k3';
DELETE FROM src WHERE k = 'm' AND id > 102
--- batch
SELECT k, n, least, most, total, kinds, vs FROM (
  SELECT k, count(*) AS n, min(v) AS least, max(f) AS most, sum(f) AS total, count(DISTINCT v) AS kinds, count(v) AS vs FROM src GROUP BY k)
WHERE n <> 3
