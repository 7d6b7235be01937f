--- setup
CREATE TABLE out (id BIGINT, item_name TEXT, seller BIGINT, category BIGINT, bidder BIGINT, price BIGINT, datetime TIMESTAMP, PRIMARY KEY (id) NOT ENFORCED)
--- query
SELECT id, item_name, seller, category, bidder, price, datetime FROM (
  SELECT a.id AS id, a.item_name AS item_name, a.seller AS seller, a.category AS category,
    b.bidder AS bidder, b.price AS price, b.datetime AS datetime,
    row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.datetime) AS place
  FROM auction AS a JOIN bid AS b ON a.id = b.auction WHERE b.datetime BETWEEN a.datetime AND a.expires)
WHERE place <= 1
