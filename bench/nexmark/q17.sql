--- setup
CREATE TABLE out (auction BIGINT, day TEXT, bids BIGINT, low BIGINT, middle BIGINT, high BIGINT, least BIGINT, most BIGINT, mean DOUBLE, total BIGINT,
    PRIMARY KEY (auction, day) NOT ENFORCED)
--- query
SELECT auction, to_char(datetime, 'YYYY-MM-DD') AS day, count(*) AS bids,
  count(*) FILTER (WHERE price < 10000) AS low, count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS middle,
  count(*) FILTER (WHERE price >= 1000000) AS high,
  min(price) AS least, max(price) AS most, avg(price) AS mean, sum(price) AS total
FROM bid GROUP BY auction, to_char(datetime, 'YYYY-MM-DD')
--- flink
SELECT auction, DATE_FORMAT(datetime, 'yyyy-MM-dd') AS d, count(*) AS bids,
  count(*) FILTER (WHERE price < 10000) AS low, count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS middle,
  count(*) FILTER (WHERE price >= 1000000) AS high,
  min(price) AS least, max(price) AS most, avg(price) AS mean, sum(price) AS total
FROM bid GROUP BY auction, DATE_FORMAT(datetime, 'yyyy-MM-dd')
