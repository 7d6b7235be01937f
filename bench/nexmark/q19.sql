--- setup
CREATE TABLE out (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP, extra TEXT, place BIGINT,
    PRIMARY KEY (auction, place) NOT ENFORCED)
--- query
SELECT auction, bidder, price, channel, url, datetime, extra, place FROM (
  SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, datetime) AS place FROM bid)
WHERE place <= 10
