--- setup
CREATE TABLE bids (time TIMESTAMP, auction BIGINT, category BIGINT, price BIGINT);
CREATE TABLE out (category BIGINT, mean DOUBLE, n BIGINT, PRIMARY KEY (category) NOT ENFORCED);
INSERT INTO bids SELECT TIMESTAMP '2026-01-01', value % 17, value % 17 % 3, (value * 37) % 101 FROM range(0, 90)
--- pipeline
INSERT INTO out SELECT category, avg(final), count(*) FROM (
  SELECT auction, category, max(price) AS final FROM bids GROUP BY auction, category HAVING max(price) > 40) GROUP BY category
--- then
INSERT INTO bids SELECT TIMESTAMP '2026-01-01', value % 19, value % 19 % 3, 90 + value FROM range(0, 30)
--- batch
SELECT category, avg(final), count(*) FROM (
  SELECT auction, category, max(price) AS final FROM bids GROUP BY auction, category HAVING max(price) > 40) GROUP BY category
