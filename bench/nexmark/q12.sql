--- setup
CREATE TABLE out (bidder BIGINT, bids BIGINT, start TIMESTAMP, until TIMESTAMP)
--- query
SELECT bidder, bids, w.start, w.end FROM (
  SELECT bidder, count(*) AS bids, tumble(INTERVAL '10 seconds') AS w FROM bid_now GROUP BY bidder, w)
--- table
SELECT bidder, sum(bids) FROM out GROUP BY bidder
--- batch
SELECT bidder, count(*) FROM bid GROUP BY bidder
--- flink
SELECT bidder, count(*) AS bids, window_start, window_end
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(now), INTERVAL '10' SECOND)) GROUP BY bidder, window_start, window_end
