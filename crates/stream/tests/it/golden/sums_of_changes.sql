--- setup
CREATE TABLE src (id BIGINT, k TEXT, v BIGINT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE out (k TEXT, n BIGINT, vs BIGINT, total BIGINT, mean DOUBLE, big BIGINT, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO src SELECT value, CASE WHEN value % 4 = 0 THEN NULL ELSE 'k' || (value % 7)::TEXT END, CASE WHEN value % 3 = 0 THEN NULL ELSE value END FROM range(0, 90)
--- pipeline
INSERT INTO out SELECT coalesce(k, 'none'), count(*), count(v), sum(v), avg(v), sum(v) FILTER (WHERE v > 50) FROM src GROUP BY 1
--- then
UPDATE src SET v = 9000000000000000 + id WHERE id % 5 = 0;
DELETE FROM src WHERE k = 'k2'
--- then
UPDATE src SET v = NULL WHERE k = 'k3';
UPDATE src SET v = id WHERE v > 1000
--- batch
SELECT coalesce(k, 'none'), count(*), count(v), sum(v), avg(v), sum(v) FILTER (WHERE v > 50) FROM src GROUP BY 1
