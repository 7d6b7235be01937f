--- setup
CREATE TABLE side (key BIGINT, value TEXT, PRIMARY KEY (key) NOT ENFORCED);
INSERT INTO side SELECT value, 'side ' || value::TEXT FROM range(0, 100);
CREATE TABLE out (auction BIGINT, bidder BIGINT, price BIGINT, datetime TIMESTAMP, value TEXT)
--- views
CREATE TEMPORARY TABLE side_input (key BIGINT PRIMARY KEY, value TEXT) WITH (connector = 'lake', table = 'side')
--- query
SELECT b.auction, b.bidder, b.price, b.datetime, s.value FROM (
  SELECT auction % 128 AS key, auction, bidder, price, datetime FROM bid) AS b
JOIN side_input AS s ON b.key = s.key
--- batch
SELECT b.auction, b.bidder, b.price, b.datetime, s.value FROM bid AS b JOIN side AS s ON b.auction % 128 = s.key
