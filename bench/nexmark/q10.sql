--- setup
CREATE TABLE out (auction BIGINT, bidder BIGINT, price BIGINT, datetime TIMESTAMP, extra TEXT)
--- views
CREATE TABLE files (auction BIGINT, bidder BIGINT, price BIGINT, datetime TIMESTAMP, extra TEXT)
WITH (connector = 'filesystem', type = 'sink', path = '{directory}', format = 'parquet',
  partitioning.time_pattern = '%Y-%m-%d/%H-%M', rolling_policy.file_size = '1MB')
--- query
SELECT auction, bidder, price, datetime, extra FROM bid
--- after
CREATE TABLE files (auction BIGINT, bidder BIGINT, price BIGINT, datetime TIMESTAMP, extra TEXT)
WITH (connector = 'filesystem', type = 'source', path = '{directory}', format = 'parquet');
INSERT INTO out SELECT * FROM files
