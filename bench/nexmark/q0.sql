--- setup
CREATE TABLE out (auction BIGINT, bidder BIGINT, price BIGINT, datetime TIMESTAMP, extra TEXT)
--- query
SELECT auction, bidder, price, datetime, extra FROM bid
