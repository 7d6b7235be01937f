--- setup
CREATE TABLE out (auction BIGINT, price BIGINT)
--- query
SELECT auction, price FROM bid WHERE auction % 123 = 0
