--- setup
CREATE TABLE clicks (time TIMESTAMP, page TEXT);
CREATE TABLE buys (time TIMESTAMP, page TEXT, price BIGINT);
CREATE TABLE out (kind TEXT, start TIMESTAMP, page TEXT, n BIGINT, paid BIGINT);
INSERT INTO clicks SELECT to_timestamp_micros(1767225600000000 + value * 2000000), 'p' || (value % 4) FROM range(0, 30);
INSERT INTO buys SELECT to_timestamp_micros(1767225600000000 + value * 5000000), 'p' || (value % 6), value FROM range(0, 12)
--- pipeline
SET watermark_delay = '30 seconds';
CREATE VIEW c AS SELECT tumble(INTERVAL '10 seconds') AS w, page, count(*) AS n FROM clicks GROUP BY 1, 2;
CREATE VIEW b AS SELECT tumble(INTERVAL '10 seconds') AS w, page, sum(price) AS paid FROM buys GROUP BY 1, 2;
INSERT INTO out SELECT 'inner', c.w.start, c.page, n, paid FROM c JOIN b ON c.page = b.page;
INSERT INTO out SELECT 'all', c.w.start, c.page, n, paid FROM c JOIN b ON c.page <> b.page;
INSERT INTO out SELECT 'left', c.w.start, c.page, n, paid FROM c LEFT JOIN b ON c.page = b.page;
INSERT INTO out SELECT 'right', b.w.start, b.page, n, paid FROM c RIGHT JOIN b ON c.w = b.w AND c.page = b.page;
INSERT INTO out SELECT 'full', coalesce(c.w.start, b.w.start), coalesce(c.page, b.page), n, paid FROM c FULL JOIN b ON c.w = b.w AND c.page = b.page;
INSERT INTO out SELECT 'semi', c.w.start, c.page, n, NULL FROM c LEFT SEMI JOIN b ON c.w = b.w AND c.page = b.page;
INSERT INTO out SELECT 'anti', c.w.start, c.page, n, NULL FROM c LEFT ANTI JOIN b ON c.page = b.page;
INSERT INTO out SELECT 'right semi', b.w.start, b.page, NULL, paid FROM c RIGHT SEMI JOIN b ON c.page = b.page;
INSERT INTO out SELECT 'right anti', b.w.start, b.page, NULL, paid FROM c RIGHT ANTI JOIN b ON c.w = b.w AND c.page = b.page;
INSERT INTO out SELECT 'exists', c.w.start, c.page, n, NULL FROM c WHERE EXISTS (SELECT 1 FROM b WHERE b.w = c.w AND b.page = c.page AND paid > 5)
--- then
INSERT INTO clicks SELECT to_timestamp_micros(1767225660000000 + value * 3000000), 'p' || (value % 5) FROM range(0, 20);
INSERT INTO buys VALUES (TIMESTAMP '2026-01-01 00:01:30', 'p1', 7), (TIMESTAMP '2026-01-01 00:01:45', 'p9', 8)
--- then
INSERT INTO clicks VALUES (TIMESTAMP '2026-01-01 00:09:00', 'p0');
INSERT INTO buys VALUES (TIMESTAMP '2026-01-01 00:09:00', 'p0', 1)
--- batch
WITH c AS (SELECT date_bin(INTERVAL '10 seconds', time) AS s, page, count(*) AS n FROM clicks WHERE date_bin(INTERVAL '10 seconds', time) + INTERVAL '10 seconds' <= {watermark} GROUP BY 1, 2),
b AS (SELECT date_bin(INTERVAL '10 seconds', time) AS s, page, sum(price) AS paid FROM buys WHERE date_bin(INTERVAL '10 seconds', time) + INTERVAL '10 seconds' <= {watermark} GROUP BY 1, 2)
SELECT 'inner', c.s, c.page, n, paid FROM c JOIN b ON c.s = b.s AND c.page = b.page UNION ALL
SELECT 'all', c.s, c.page, n, paid FROM c JOIN b ON c.s = b.s AND c.page <> b.page UNION ALL
SELECT 'left', c.s, c.page, n, paid FROM c LEFT JOIN b ON c.s = b.s AND c.page = b.page UNION ALL
SELECT 'right', b.s, b.page, n, paid FROM c RIGHT JOIN b ON c.s = b.s AND c.page = b.page UNION ALL
SELECT 'full', coalesce(c.s, b.s), coalesce(c.page, b.page), n, paid FROM c FULL JOIN b ON c.s = b.s AND c.page = b.page UNION ALL
SELECT 'semi', c.s, c.page, n, NULL FROM c LEFT SEMI JOIN b ON c.s = b.s AND c.page = b.page UNION ALL
SELECT 'anti', c.s, c.page, n, NULL FROM c LEFT ANTI JOIN b ON c.s = b.s AND c.page = b.page UNION ALL
SELECT 'right semi', b.s, b.page, NULL, paid FROM c RIGHT SEMI JOIN b ON c.s = b.s AND c.page = b.page UNION ALL
SELECT 'right anti', b.s, b.page, NULL, paid FROM c RIGHT ANTI JOIN b ON c.s = b.s AND c.page = b.page UNION ALL
SELECT 'exists', c.s, c.page, n, NULL FROM c WHERE EXISTS (SELECT 1 FROM b WHERE b.s = c.s AND b.page = c.page AND paid > 5)
