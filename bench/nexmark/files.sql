CREATE TABLE person (id BIGINT, name TEXT, email_address TEXT, credit_card TEXT, city TEXT, state TEXT, datetime TIMESTAMP, extra TEXT,
  WATERMARK FOR datetime AS datetime - INTERVAL '4 seconds')
WITH (connector = 'filesystem', type = 'source', format = 'json', path = '{directory}/person');
CREATE TABLE auction (id BIGINT, item_name TEXT, description TEXT, initial_bid BIGINT, reserve BIGINT, datetime TIMESTAMP, expires TIMESTAMP,
  seller BIGINT, category BIGINT, extra TEXT, WATERMARK FOR datetime AS datetime - INTERVAL '4 seconds')
WITH (connector = 'filesystem', type = 'source', format = 'json', path = '{directory}/auction');
CREATE TABLE bid (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP, extra TEXT,
  WATERMARK FOR datetime AS datetime - INTERVAL '4 seconds')
WITH (connector = 'filesystem', type = 'source', format = 'json', path = '{directory}/bid');
CREATE TABLE bid_now (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP, extra TEXT)
WITH (connector = 'filesystem', type = 'source', format = 'json', path = '{directory}/bid', event_time = 'ingest')
