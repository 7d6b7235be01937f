--- setup
CREATE TABLE out (bidder BIGINT, bids BIGINT, start TIMESTAMP, until TIMESTAMP)
--- query
SELECT bidder, bids, w.start, w.end FROM (
  SELECT bidder, count(*) AS bids, session(INTERVAL '10 seconds') AS w FROM bid GROUP BY bidder, w)
--- batch
SELECT bidder, count(*), min(datetime), max(datetime) + INTERVAL '10 seconds' FROM (
  SELECT *, sum(new) OVER (PARTITION BY bidder ORDER BY datetime) AS visit FROM (
    SELECT bidder, datetime, CASE WHEN datetime <= lag(datetime) OVER (PARTITION BY bidder ORDER BY datetime) + INTERVAL '10 seconds'
      THEN 0 ELSE 1 END AS new FROM bid))
GROUP BY bidder, visit
--- flink
SELECT bidder, count(*) AS bids, window_start, window_end
FROM TABLE(SESSION(TABLE bid PARTITION BY bidder, DESCRIPTOR(datetime), INTERVAL '10' SECOND)) GROUP BY bidder, window_start, window_end
