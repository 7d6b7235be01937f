--- setup
CREATE TABLE bids (time TIMESTAMP, auction BIGINT, bidder BIGINT, price BIGINT);
CREATE TABLE out (auction BIGINT, place BIGINT, bidder BIGINT, price BIGINT, PRIMARY KEY (auction, place) NOT ENFORCED);
INSERT INTO bids SELECT TIMESTAMP '2026-01-01', value % 7, value, (value * 37) % 101 FROM range(0, 90)
--- pipeline
INSERT INTO out SELECT auction, place, bidder, price FROM (
  SELECT auction, bidder, price, row_number() OVER (PARTITION BY auction ORDER BY price DESC, bidder) AS place FROM bids) WHERE place <= 3
--- then
INSERT INTO bids SELECT TIMESTAMP '2026-01-01', value % 9, value, 80 + value FROM range(0, 30)
--- batch
SELECT auction, place, bidder, price FROM (
  SELECT auction, bidder, price, row_number() OVER (PARTITION BY auction ORDER BY price DESC, bidder) AS place FROM bids) WHERE place <= 3
