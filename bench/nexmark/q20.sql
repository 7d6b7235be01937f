--- setup
CREATE TABLE out (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, bid_at TIMESTAMP, extra TEXT,
    item_name TEXT, description TEXT, initial_bid BIGINT, reserve BIGINT, begun TIMESTAMP, expires TIMESTAMP, seller BIGINT, category BIGINT)
--- query
SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.datetime AS bid_at, b.extra,
  a.item_name, a.description, a.initial_bid, a.reserve, a.datetime AS begun, a.expires, a.seller, a.category
FROM bid AS b JOIN auction AS a ON b.auction = a.id WHERE a.category = 10
