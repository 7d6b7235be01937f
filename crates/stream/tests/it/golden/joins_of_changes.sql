--- setup
CREATE TABLE people (id BIGINT, city TEXT, age BIGINT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE cities (name TEXT, code BIGINT, least BIGINT, PRIMARY KEY (name) NOT ENFORCED);
CREATE TABLE inners (id BIGINT, name TEXT, code BIGINT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE lefts (id BIGINT, name TEXT, code BIGINT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE pairs (id BIGINT, name TEXT, code BIGINT, PRIMARY KEY (id, name) NOT ENFORCED);
CREATE TABLE fulls (code BIGINT, people BIGINT, names BIGINT, PRIMARY KEY (code) NOT ENFORCED);
CREATE TABLE semis (id BIGINT, age BIGINT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE antis (id BIGINT, age BIGINT, PRIMARY KEY (id) NOT ENFORCED);
INSERT INTO people SELECT value, CASE WHEN value % 9 = 0 THEN NULL ELSE 'c' || (value % 9)::TEXT END, value % 50 FROM range(0, 60);
INSERT INTO cities SELECT 'c' || value::TEXT, value * 100, value * 5 FROM range(3, 12)
--- pipeline
INSERT INTO inners SELECT p.id, c.name, c.code FROM people p JOIN cities c ON p.city = c.name AND p.age >= c.least;
INSERT INTO lefts SELECT p.id, c.name, c.code FROM people p LEFT JOIN cities c ON p.city = c.name AND p.age >= c.least;
INSERT INTO pairs SELECT p.id, c.name, c.code FROM people p JOIN cities c ON p.age = c.least;
INSERT INTO fulls SELECT coalesce(c.code, -1), count(p.id), count(c.name) FROM people p FULL JOIN cities c ON p.city = c.name GROUP BY 1;
INSERT INTO semis SELECT id, age FROM people WHERE city IN (SELECT name FROM cities WHERE code > 500);
INSERT INTO antis SELECT id, age FROM people p WHERE NOT EXISTS (SELECT 1 FROM cities c WHERE c.name = p.city)
--- then
UPDATE cities SET name = 'c1', code = 1 WHERE name = 'c10';
DELETE FROM people WHERE id % 6 = 1;
UPDATE people SET age = age + 30 WHERE id % 4 = 0
--- then
DELETE FROM cities WHERE code BETWEEN 400 AND 600;
UPDATE people SET city = 'c11' WHERE city = 'c3'
--- table
SELECT 'inner' AS kind, id, name, code FROM inners UNION ALL SELECT 'left', id, name, code FROM lefts UNION ALL
SELECT 'pair', id, name, code FROM pairs UNION ALL SELECT 'full', code, people::TEXT, names FROM fulls UNION ALL SELECT 'semi', id, NULL, age FROM semis UNION ALL SELECT 'anti', id, NULL, age FROM antis
--- batch
SELECT 'inner' AS kind, p.id, c.name, c.code FROM people p JOIN cities c ON p.city = c.name AND p.age >= c.least UNION ALL
SELECT 'left', p.id, c.name, c.code FROM people p LEFT JOIN cities c ON p.city = c.name AND p.age >= c.least UNION ALL
SELECT 'pair', p.id, c.name, c.code FROM people p JOIN cities c ON p.age = c.least UNION ALL
SELECT 'full', coalesce(c.code, -1), count(p.id)::TEXT, count(c.name) FROM people p FULL JOIN cities c ON p.city = c.name GROUP BY 2 UNION ALL
SELECT 'semi', id, NULL, age FROM people WHERE city IN (SELECT name FROM cities WHERE code > 500) UNION ALL
SELECT 'anti', id, NULL, age FROM people p WHERE NOT EXISTS (SELECT 1 FROM cities c WHERE c.name = p.city)
