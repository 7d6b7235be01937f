--- setup
CREATE TABLE sales (time TIMESTAMP, region TEXT, shop BIGINT, amount BIGINT);
CREATE TABLE out (region TEXT, place BIGINT, shop BIGINT, total BIGINT, PRIMARY KEY (region, shop) NOT ENFORCED);
INSERT INTO sales SELECT TIMESTAMP '2026-01-01', 'r' || (value % 3)::TEXT, value % 30, (value * 37) % 101 FROM range(0, 120)
--- pipeline
INSERT INTO out SELECT region, place, shop, total FROM (
  SELECT region, shop, total, row_number() OVER (PARTITION BY region ORDER BY total DESC, shop) AS place
  FROM (SELECT region, shop, sum(amount) AS total FROM sales GROUP BY region, shop)) AS ranked WHERE 3 > place
--- then
INSERT INTO sales SELECT TIMESTAMP '2026-01-01', 'r' || (value % 3)::TEXT, value % 30, 500 - 1000 * (value % 2) FROM range(0, 40)
--- then
INSERT INTO sales SELECT TIMESTAMP '2026-01-01', 'r' || (value % 4)::TEXT, value % 12, value - 20 FROM range(0, 60)
--- batch
SELECT region, place, shop, total FROM (
  SELECT region, shop, total, row_number() OVER (PARTITION BY region ORDER BY total DESC, shop) AS place
  FROM (SELECT region, shop, sum(amount) AS total FROM sales GROUP BY region, shop)) AS ranked WHERE 3 > place
