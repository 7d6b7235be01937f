--- setup
CREATE TABLE a (time TIMESTAMP, v BIGINT);
CREATE TABLE b (time TIMESTAMP, v BIGINT);
CREATE TABLE out (start TIMESTAMP, source TEXT, total BIGINT);
INSERT INTO a SELECT to_timestamp_micros(1767225600000000 + value * 1000000), value FROM range(0, 30);
INSERT INTO b SELECT to_timestamp_micros(1767225600000000 + value * 2000000), value FROM range(0, 20)
--- pipeline
SET watermark_delay = '1 minute';
INSERT INTO out
SELECT w.start, source, total FROM (
  SELECT tumble(INTERVAL '5 seconds') AS w, source, sum(v) AS total
  FROM (SELECT 'a' AS source, v FROM a UNION ALL SELECT 'b', v FROM b) GROUP BY 1, 2);
INSERT INTO out SELECT time, 'copy', v FROM a WHERE v > 20
--- then
INSERT INTO a VALUES (TIMESTAMP '2026-01-01 00:10:00', 1);
INSERT INTO b VALUES (TIMESTAMP '2026-01-01 00:10:00', 1)
--- batch
SELECT s, source, sum(v) FROM (
  SELECT date_bin(INTERVAL '5 seconds', time) AS s, 'a' AS source, v FROM a
  UNION ALL SELECT date_bin(INTERVAL '5 seconds', time), 'b', v FROM b)
WHERE s + INTERVAL '5 seconds' <= {watermark} GROUP BY 1, 2
UNION ALL SELECT time, 'copy', v FROM a WHERE v > 20
