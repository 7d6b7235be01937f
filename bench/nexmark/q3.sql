--- setup
CREATE TABLE out (name TEXT, city TEXT, state TEXT, id BIGINT)
--- query
SELECT p.name, p.city, p.state, a.id FROM auction AS a JOIN person AS p ON a.seller = p.id
WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')
