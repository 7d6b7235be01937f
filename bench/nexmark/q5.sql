--- setup
CREATE TABLE out (auction BIGINT, num BIGINT, start TIMESTAMP)
--- views
CREATE VIEW counts AS
SELECT auction, count(*) AS num, hop(INTERVAL '2 seconds', INTERVAL '10 seconds') AS w FROM bid GROUP BY auction, w
--- query
SELECT c.auction, c.num, c.w.start FROM counts AS c
JOIN (SELECT max(num) AS most, w FROM counts GROUP BY w) AS m ON c.w = m.w AND c.num >= m.most
--- batch
SELECT auction, num, s FROM (
  SELECT s, auction, count(*) AS num, max(count(*)) OVER (PARTITION BY s) AS most FROM (
    SELECT date_bin(INTERVAL '2 seconds', datetime) - value * INTERVAL '2 seconds' AS s, auction FROM bid CROSS JOIN range(0, 5))
  GROUP BY s, auction)
WHERE num >= most
--- flink
SELECT c.auction, c.num, c.window_start FROM (
  SELECT auction, count(*) AS num, window_start, window_end
  FROM TABLE(HOP(TABLE bid, DESCRIPTOR(datetime), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end) AS c
JOIN (
  SELECT max(num) AS most, window_start, window_end FROM (
    SELECT count(*) AS num, window_start, window_end
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(datetime), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end)
  GROUP BY window_start, window_end) AS m
ON c.window_start = m.window_start AND c.window_end = m.window_end AND c.num >= m.most
