--- setup
CREATE TABLE bids (time TIMESTAMP, auction BIGINT, bidder BIGINT, price BIGINT);
CREATE TABLE out (start TIMESTAMP, auction BIGINT, num BIGINT)
--- pipeline
CREATE TABLE nexmark WITH (connector = 'nexmark', event_rate = 0, message_count = 150, start_time = 1767225600000000);
CREATE VIEW bid AS SELECT bid.datetime AS time, bid.auction AS auction, bid.bidder AS bidder, bid.price AS price FROM nexmark WHERE bid IS NOT NULL;
CREATE VIEW counts AS
SELECT hop(INTERVAL '4 milliseconds', INTERVAL '8 milliseconds') AS w, auction, count(*) AS num FROM bid GROUP BY 1, 2;
INSERT INTO bids SELECT * FROM bid;
INSERT INTO out
SELECT c.w.start, c.auction, c.num FROM counts AS c
JOIN (SELECT w, max(num) AS most FROM counts GROUP BY w) AS m ON c.w = m.w AND c.num >= m.most
--- batch
SELECT s, auction, num FROM (
  SELECT s, auction, count(*) AS num, max(count(*)) OVER (PARTITION BY s) AS most FROM (
    SELECT date_bin(INTERVAL '4 milliseconds', time) AS s, auction FROM bids
    UNION ALL SELECT date_bin(INTERVAL '4 milliseconds', time) - INTERVAL '4 milliseconds', auction FROM bids)
  GROUP BY s, auction)
WHERE num >= most AND s < {watermark}
