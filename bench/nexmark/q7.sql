--- setup
CREATE TABLE out (auction BIGINT, price BIGINT, bidder BIGINT, datetime TIMESTAMP, extra TEXT)
--- query
SELECT b.auction, b.price, b.bidder, b.datetime, b.extra FROM bid AS b
JOIN (SELECT most, w.end AS until FROM (
  SELECT max(price) AS most, tumble(INTERVAL '10 seconds') AS w FROM bid GROUP BY w)) AS m
ON b.price = m.most AND b.datetime >= m.until - INTERVAL '10 seconds' AND b.datetime < m.until
--- batch
SELECT auction, price, bidder, datetime, extra FROM (
  SELECT *, max(price) OVER (PARTITION BY date_bin(INTERVAL '10 seconds', datetime)) AS most FROM bid)
WHERE price = most
--- flink
SELECT b.auction, b.price, b.bidder, b.datetime, b.extra FROM bid AS b
JOIN (
  SELECT max(price) AS most, window_end AS until FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(datetime), INTERVAL '10' SECOND))
  GROUP BY window_start, window_end) AS m
ON b.price = m.most AND b.datetime >= m.until - INTERVAL '10' SECOND AND b.datetime < m.until
