--- setup
CREATE TABLE out (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP, extra TEXT,
    PRIMARY KEY (bidder, auction) NOT ENFORCED)
--- query
SELECT auction, bidder, price, channel, url, datetime, extra FROM (
  SELECT *, row_number() OVER (PARTITION BY bidder, auction ORDER BY datetime DESC) AS place FROM bid)
WHERE place <= 1
