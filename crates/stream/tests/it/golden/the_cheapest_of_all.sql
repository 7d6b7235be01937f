--- setup
CREATE TABLE src (id BIGINT, price BIGINT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE out (part BIGINT, n BIGINT, PRIMARY KEY (part) NOT ENFORCED);
INSERT INTO src SELECT value, (value * 37) % 23 FROM range(0, 90)
--- pipeline
CREATE VIEW cheap AS SELECT price, count(*) AS n FROM src GROUP BY price;
INSERT INTO out SELECT price % 3, max(n) FROM (SELECT price, n FROM cheap ORDER BY price LIMIT 5) GROUP BY 1
--- then
DELETE FROM src WHERE price IN (0, 3);
UPDATE src SET price = 1 WHERE price = 22
--- then
INSERT INTO src VALUES (1000, -7)
--- batch
SELECT price % 3, max(n) FROM (SELECT price, count(*) AS n FROM src GROUP BY price ORDER BY price LIMIT 5) GROUP BY 1
