--- setup
CREATE TABLE out (auction BIGINT, bidder BIGINT, price DOUBLE, part TEXT, datetime TIMESTAMP, extra TEXT, letters BIGINT)
--- query
SELECT auction, bidder, 0.908::DOUBLE * price AS price,
  CASE WHEN extract(hour FROM datetime) BETWEEN 8 AND 18 THEN 'day'
    WHEN extract(hour FROM datetime) <= 6 OR extract(hour FROM datetime) >= 20 THEN 'night' ELSE 'other' END AS part,
  datetime, extra, length(extra) - length(replace(extra, 'c', '')) AS letters
FROM bid WHERE 0.908::DOUBLE * price > 1000000 AND 0.908::DOUBLE * price < 50000000
--- flink
SELECT auction, bidder, CAST(0.908 AS DOUBLE) * price AS price,
  CASE WHEN extract(hour FROM datetime) BETWEEN 8 AND 18 THEN 'day'
    WHEN extract(hour FROM datetime) <= 6 OR extract(hour FROM datetime) >= 20 THEN 'night' ELSE 'other' END AS part,
  datetime, extra, char_length(extra) - char_length(replace(extra, 'c', '')) AS letters
FROM bid WHERE CAST(0.908 AS DOUBLE) * price > 1000000 AND CAST(0.908 AS DOUBLE) * price < 50000000
