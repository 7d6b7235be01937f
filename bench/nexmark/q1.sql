--- setup
CREATE TABLE out (auction BIGINT, bidder BIGINT, price DOUBLE, datetime TIMESTAMP, extra TEXT)
--- query
SELECT auction, bidder, 0.908::DOUBLE * price AS price, datetime, extra FROM bid
--- flink
SELECT auction, bidder, CAST(0.908 AS DOUBLE) * price AS price, datetime, extra FROM bid
