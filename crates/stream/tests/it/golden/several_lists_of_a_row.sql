--- setup
CREATE TABLE src (time TIMESTAMP, id BIGINT, tags TEXT[], sizes BIGINT[]);
CREATE TABLE out (kind TEXT, id BIGINT, tag TEXT, size BIGINT);
CREATE TABLE counts (tag TEXT, size BIGINT, n BIGINT, PRIMARY KEY (tag, size) NOT ENFORCED);
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', value, CASE value % 4 WHEN 0 THEN ['a', 'b'] WHEN 1 THEN ['b', 'c', 'c'] WHEN 2 THEN ['d'] ELSE NULL END,
  CASE value % 3 WHEN 0 THEN [1, 2, 3] WHEN 1 THEN [4] ELSE NULL END FROM range(0, 40)
--- pipeline
CREATE VIEW pairs AS SELECT id, unnest(tags) AS tag, unnest(sizes) AS size FROM src;
INSERT INTO out SELECT 'beside', id, tag, size FROM pairs;
INSERT INTO out SELECT 'below', id, tag, unnest(sizes) FROM (SELECT id, unnest(tags) AS tag, sizes FROM src);
INSERT INTO counts SELECT coalesce(tag, '-'), coalesce(size, 0), count(*) FROM pairs GROUP BY 1, 2
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:10:00', 100, ['a', 'z'], [9]), (TIMESTAMP '2026-01-01 00:10:01', 101, ['y'], [7, 8])
--- table
SELECT kind, id, tag, size FROM out UNION ALL SELECT 'count', n, tag, size FROM counts
--- batch
WITH pairs AS (SELECT id, unnest(tags) AS tag, unnest(sizes) AS size FROM src)
SELECT 'beside' AS kind, id, tag, size FROM pairs UNION ALL
SELECT 'below', id, tag, unnest(sizes) FROM (SELECT id, unnest(tags) AS tag, sizes FROM src) UNION ALL
SELECT 'count', count(*), coalesce(tag, '-'), coalesce(size, 0) FROM pairs GROUP BY 3, 4
