--- setup
CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT, f DOUBLE);
CREATE TABLE out (k TEXT, n BIGINT, total BIGINT, least BIGINT, most DOUBLE, mean DOUBLE, kinds BIGINT, odd BIGINT, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', CASE WHEN value % 7 = 0 THEN NULL ELSE 'k' || (value % 7)::TEXT END, value % 11, value * 0.25 FROM range(0, 90)
--- pipeline
SET updating_ttl = 'off';
INSERT INTO out
SELECT coalesce(k, 'none'), count(*), sum(v), min(v), max(f), avg(v), count(DISTINCT v), count(*) FILTER (WHERE v % 2 = 1) FROM src GROUP BY 1
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-02' + value * INTERVAL '1 second', 'k' || (value % 9)::TEXT, value, value * 0.5 FROM range(0, 40);
INSERT INTO src VALUES (TIMESTAMP '2026-01-03', 'new', NULL, NULL)
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-03', NULL, 7, -1.5), (TIMESTAMP '2025-01-03', 'new', 8, 1)
--- batch
SELECT coalesce(k, 'none'), count(*), sum(v), min(v), max(f), avg(v), count(DISTINCT v), count(*) FILTER (WHERE v % 2 = 1) FROM src GROUP BY 1
