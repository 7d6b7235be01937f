--- setup
CREATE TABLE src (time TIMESTAMP, id BIGINT, tags TEXT[], doc TEXT);
CREATE TABLE out (id BIGINT, tag TEXT);
CREATE TABLE counts (tag TEXT, n BIGINT, PRIMARY KEY (tag) NOT ENFORCED);
CREATE TABLE windows (start TIMESTAMP, tag TEXT, n BIGINT);
CREATE TABLE docs (id BIGINT, name TEXT, age BIGINT, first TEXT);
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', value, CASE value % 4 WHEN 0 THEN ['a', 'b'] WHEN 1 THEN ['b', 'c', 'c'] WHEN 2 THEN [] ELSE NULL END,
  '{"name": "n' || value::TEXT || '", "age": ' || value::TEXT || ', "of": ["x' || (value % 3)::TEXT || '", 2]}' FROM range(0, 40)
--- pipeline
CREATE VIEW tagged AS SELECT time, id, unnest(tags) AS tag FROM src;
INSERT INTO out SELECT id, tag FROM tagged WHERE tag IS NOT NULL;
INSERT INTO counts SELECT tag, count(*) FROM tagged WHERE tag IS NOT NULL GROUP BY tag;
INSERT INTO windows SELECT w.start, tag, n FROM (SELECT tumble(INTERVAL '10 seconds') AS w, tag, count(*) AS n FROM tagged WHERE tag IS NOT NULL GROUP BY w, tag);
INSERT INTO docs SELECT id, doc ->> 'name', json_get_int(doc, 'age'), json_get_str(doc, 'of', 0) FROM src WHERE json_get_int(doc, 'age') % 2 = 0
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:10:00', 100, ['a', 'z'], '{"name": null, "age": 8, "of": []}'), (TIMESTAMP '2026-01-01 00:10:01', 101, ['y'], 'no document')
--- table
SELECT 'row' AS kind, id, tag, NULL AS n, NULL AS start FROM out UNION ALL SELECT 'count', NULL, tag, n, NULL FROM counts UNION ALL SELECT 'window', NULL, tag, n, start FROM windows
UNION ALL SELECT 'doc', id, name || '/' || first, age, NULL FROM docs
--- batch
WITH tagged AS (SELECT time, id, unnest(tags) AS tag FROM src)
SELECT 'row' AS kind, id, tag, NULL::BIGINT AS n, NULL::TIMESTAMP AS start FROM tagged WHERE tag IS NOT NULL UNION ALL
SELECT 'count', NULL, tag, count(*), NULL FROM tagged WHERE tag IS NOT NULL GROUP BY tag UNION ALL
SELECT 'window', NULL, tag, count(*), date_bin(INTERVAL '10 seconds', time) AS s FROM tagged WHERE tag IS NOT NULL AND date_bin(INTERVAL '10 seconds', time) + INTERVAL '10 seconds' <= {watermark} GROUP BY tag, s UNION ALL
SELECT 'doc', id, (doc ->> 'name') || '/' || json_get_str(doc, 'of', 0), json_get_int(doc, 'age'), NULL FROM src WHERE json_get_int(doc, 'age') % 2 = 0
