--- setup
CREATE TABLE out (category BIGINT, final DOUBLE, PRIMARY KEY (category) NOT ENFORCED)
--- query
SELECT category, avg(final) AS final FROM (
  SELECT max(b.price) AS final, a.category AS category FROM auction AS a JOIN bid AS b ON a.id = b.auction
  WHERE b.datetime BETWEEN a.datetime AND a.expires GROUP BY a.id, a.category)
GROUP BY category
