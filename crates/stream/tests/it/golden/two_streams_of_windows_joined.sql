--- setup
CREATE TABLE clicks (time TIMESTAMP, page TEXT);
CREATE TABLE buys (time TIMESTAMP, page TEXT, price BIGINT);
CREATE TABLE out (start TIMESTAMP, page TEXT, clicks BIGINT, paid BIGINT);
INSERT INTO clicks SELECT to_timestamp_micros(1767225600000000 + value * 1000000), 'p' || (value % 4) FROM range(0, 60);
INSERT INTO buys SELECT to_timestamp_micros(1767225600000000 + value * 5000000), 'p' || (value % 4), value FROM range(0, 12)
--- pipeline
SET watermark_delay = '30 seconds';
INSERT INTO out
SELECT c.w.start, c.page, c.n, b.paid
FROM (SELECT tumble(INTERVAL '10 seconds') AS w, page, count(*) AS n FROM clicks GROUP BY 1, 2) AS c
LEFT JOIN (SELECT tumble(INTERVAL '10 seconds') AS w, page, sum(price) AS paid FROM buys GROUP BY 1, 2) AS b
ON c.w = b.w AND c.page = b.page
--- then
INSERT INTO clicks SELECT to_timestamp_micros(1767225660000000 + value * 1000000), 'p' || (value % 4) FROM range(0, 60);
INSERT INTO buys VALUES (TIMESTAMP '2026-01-01 00:01:30', 'p1', 7)
--- then
INSERT INTO clicks VALUES (TIMESTAMP '2026-01-01 00:09:00', 'p0');
INSERT INTO buys VALUES (TIMESTAMP '2026-01-01 00:09:00', 'p0', 1)
--- batch
SELECT c.s, c.page, c.n, b.paid
FROM (SELECT date_bin(INTERVAL '10 seconds', time) AS s, page, count(*) AS n FROM clicks GROUP BY 1, 2) AS c
LEFT JOIN (SELECT date_bin(INTERVAL '10 seconds', time) AS s, page, sum(price) AS paid FROM buys GROUP BY 1, 2) AS b
ON c.s = b.s AND c.page = b.page WHERE c.s + INTERVAL '10 seconds' <= {watermark}
