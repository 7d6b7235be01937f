--- setup
CREATE TABLE people (id BIGINT, city TEXT, age BIGINT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE cities (name TEXT, code BIGINT, least BIGINT, PRIMARY KEY (name) NOT ENFORCED);
CREATE TABLE rights (id BIGINT, name TEXT, age BIGINT, code BIGINT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE oldest (name TEXT, age BIGINT, PRIMARY KEY (name) NOT ENFORCED);
INSERT INTO people SELECT value, CASE WHEN value % 9 = 0 THEN NULL ELSE 'c' || (value % 9)::TEXT END, value % 50 FROM range(0, 60);
INSERT INTO cities SELECT 'c' || value::TEXT, value * 100, value * 5 FROM range(3, 12)
--- pipeline
INSERT INTO rights SELECT p.id, c.name, p.age, c.code FROM cities c RIGHT JOIN people p ON p.city = c.name AND p.age >= c.least;
INSERT INTO oldest SELECT c.name, p.age FROM (SELECT city, max(age) AS age FROM people GROUP BY city) p RIGHT JOIN cities c ON p.city = c.name
--- then
UPDATE cities SET name = 'c1', code = 1 WHERE name = 'c10';
DELETE FROM people WHERE id % 6 = 1;
UPDATE people SET age = age + 30 WHERE id % 4 = 0
--- then
DELETE FROM cities WHERE code BETWEEN 400 AND 600;
UPDATE people SET city = 'c11' WHERE city = 'c3';
DELETE FROM people WHERE city = 'c8'
--- table
SELECT 'right' AS kind, id, name, age, code FROM rights UNION ALL SELECT 'oldest', NULL, name, age, NULL FROM oldest
--- batch
SELECT 'right' AS kind, p.id, c.name, p.age, c.code FROM cities c RIGHT JOIN people p ON p.city = c.name AND p.age >= c.least UNION ALL
SELECT 'oldest', NULL, c.name, p.age, NULL FROM (SELECT city, max(age) AS age FROM people GROUP BY city) p RIGHT JOIN cities c ON p.city = c.name
