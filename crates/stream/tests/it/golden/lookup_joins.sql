--- setup
CREATE TABLE src (time TIMESTAMP, id BIGINT, k INT, v BIGINT);
CREATE TABLE names (name TEXT, id BIGINT, least BIGINT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE names_before (name TEXT, id BIGINT, least BIGINT);
CREATE TABLE inners (id BIGINT, name TEXT);
CREATE TABLE lefts (id BIGINT, name TEXT);
CREATE TABLE windows (start TIMESTAMP, name TEXT, n BIGINT);
CREATE TABLE totals (name TEXT, n BIGINT, PRIMARY KEY (name) NOT ENFORCED);
INSERT INTO names SELECT 'n' || value::TEXT, value, value * 3 FROM range(0, 6);
INSERT INTO names_before SELECT * FROM names;
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', value, CASE WHEN value % 10 = 9 THEN NULL ELSE value % 8 END, value % 20 FROM range(0, 50)
--- pipeline
CREATE TEMPORARY TABLE named (id BIGINT PRIMARY KEY, NAME TEXT, least INT) WITH (connector = 'lake', table = 'names');
INSERT INTO inners SELECT s.id, n.name FROM src s JOIN named n ON s.k = n.id AND s.v >= n.least;
INSERT INTO lefts SELECT s.id, n.name FROM src s LEFT JOIN named AS n ON n.id = s.k AND s.v >= n.least;
INSERT INTO windows SELECT w.start, name, n FROM (
  SELECT tumble(INTERVAL '10 seconds') AS w, name, count(*) AS n FROM src JOIN named ON src.k = named.id GROUP BY w, name);
INSERT INTO totals SELECT name, count(*) FROM src JOIN named USING (id) GROUP BY name
--- then
UPDATE names SET name = name || '!' WHERE id % 2 = 1;
DELETE FROM names WHERE id = 2;
INSERT INTO names VALUES ('seven', 7, 0);
INSERT INTO src SELECT TIMESTAMP '2026-01-01 00:10:00' + value * INTERVAL '1 second', 100 + value, value % 8, value % 20 FROM range(0, 30)
--- table
SELECT 'inner' AS kind, NULL::TIMESTAMP AS start, id, name FROM inners UNION ALL SELECT 'left', NULL, id, name FROM lefts UNION ALL
SELECT 'window', start, n, name FROM windows UNION ALL SELECT 'total', NULL, n, name FROM totals
--- batch
WITH looked AS (SELECT s.time, s.id, s.k, s.v, n.name, n.least, n.id AS nid FROM src s JOIN names_before n ON s.k = n.id WHERE s.id < 100
  UNION ALL SELECT s.time, s.id, s.k, s.v, n.name, n.least, n.id FROM src s JOIN names n ON s.k = n.id WHERE s.id >= 100)
SELECT 'inner' AS kind, NULL::TIMESTAMP AS start, id, name FROM looked WHERE v >= least UNION ALL
SELECT 'left', NULL, s.id, l.name FROM src s LEFT JOIN looked l ON s.id = l.id AND l.v >= l.least UNION ALL
SELECT 'window', date_bin(INTERVAL '10 seconds', time) AS w, count(*), name FROM looked WHERE date_bin(INTERVAL '10 seconds', time) + INTERVAL '10 seconds' <= {watermark} GROUP BY w, name UNION ALL
SELECT 'total', NULL, count(*), n.name FROM src s JOIN names_before n ON s.id = n.id GROUP BY n.name
