--- setup
CREATE TABLE out (channel TEXT, day TEXT, minute TEXT, bids BIGINT, low BIGINT, middle BIGINT, high BIGINT, bidders BIGINT, low_bidders BIGINT, middle_bidders BIGINT, high_bidders BIGINT,
  auctions BIGINT, low_auctions BIGINT, middle_auctions BIGINT, high_auctions BIGINT,
  PRIMARY KEY (channel, day) NOT ENFORCED)
--- query
SELECT channel, to_char(datetime, 'YYYY-MM-DD') AS day, max(to_char(datetime, 'HH24:MI')) AS minute, count(*) AS bids,
    count(*) FILTER (WHERE price < 10000) AS low, count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS middle,
    count(*) FILTER (WHERE price >= 1000000) AS high,
    count(DISTINCT bidder) AS bidders, count(DISTINCT bidder) FILTER (WHERE price < 10000) AS low_bidders,
    count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000) AS middle_bidders,
    count(DISTINCT bidder) FILTER (WHERE price >= 1000000) AS high_bidders,
    count(DISTINCT auction) AS auctions, count(DISTINCT auction) FILTER (WHERE price < 10000) AS low_auctions,
    count(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000) AS middle_auctions,
    count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS high_auctions
FROM bid GROUP BY channel, to_char(datetime, 'YYYY-MM-DD')
--- flink
SELECT channel, DATE_FORMAT(datetime, 'yyyy-MM-dd') AS d, max(DATE_FORMAT(datetime, 'HH:mm')) AS m, count(*) AS bids,
    count(*) FILTER (WHERE price < 10000) AS low, count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS middle,
    count(*) FILTER (WHERE price >= 1000000) AS high,
    count(DISTINCT bidder) AS bidders, count(DISTINCT bidder) FILTER (WHERE price < 10000) AS low_bidders,
    count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000) AS middle_bidders,
    count(DISTINCT bidder) FILTER (WHERE price >= 1000000) AS high_bidders,
    count(DISTINCT auction) AS auctions, count(DISTINCT auction) FILTER (WHERE price < 10000) AS low_auctions,
    count(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000) AS middle_auctions,
    count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS high_auctions
FROM bid GROUP BY channel, DATE_FORMAT(datetime, 'yyyy-MM-dd')
