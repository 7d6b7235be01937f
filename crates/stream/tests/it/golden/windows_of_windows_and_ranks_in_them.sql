--- setup
CREATE TABLE bids (time TIMESTAMP, auction BIGINT, price BIGINT);
CREATE TABLE out (start TIMESTAMP, auction BIGINT, n BIGINT, place BIGINT, busiest BIGINT);
INSERT INTO bids SELECT to_timestamp_micros(1767225600000000 + value * 300000), (value * value) % 7, value FROM range(0, 80)
--- pipeline
CREATE VIEW counts AS
SELECT tumble(INTERVAL '4 seconds') AS w, auction, count(*) AS n FROM bids GROUP BY 1, 2;
INSERT INTO out
SELECT r.w.start, r.auction, r.n, r.place, m.busiest FROM (
  SELECT w, auction, n, row_number() OVER (PARTITION BY w ORDER BY n DESC, auction) AS place FROM counts) AS r
JOIN (SELECT w, max(n) AS busiest FROM counts GROUP BY w) AS m ON r.w = m.w
WHERE r.place <= 2
--- then
INSERT INTO bids SELECT to_timestamp_micros(1767225630000000 + value * 300000), value % 5, value FROM range(0, 60)
--- batch
SELECT s, auction, n, place, busiest FROM (
  SELECT s, auction, n, row_number() OVER (PARTITION BY s ORDER BY n DESC, auction) AS place, max(n) OVER (PARTITION BY s) AS busiest FROM (
    SELECT date_bin(INTERVAL '4 seconds', time) AS s, auction, count(*) AS n FROM bids GROUP BY 1, 2))
WHERE place <= 2 AND s + INTERVAL '4 seconds' <= {watermark}
