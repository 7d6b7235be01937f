--- setup
CREATE TABLE src (time TIMESTAMP, host TEXT, v DOUBLE);
CREATE TABLE out (host TEXT, doubled DOUBLE, time TIMESTAMP);
INSERT INTO src SELECT to_timestamp_micros(1767225600000000 + value * 1000000), 'h' || (value % 3), value * 0.5 FROM range(0, 45)
--- pipeline
CREATE VIEW wanted AS SELECT * FROM src WHERE v > 3;
INSERT INTO out SELECT upper(host), v * 2, time FROM wanted WHERE host <> 'h1'
--- then
INSERT INTO src VALUES (TIMESTAMP '2025-01-01', 'late', 100)
--- batch
SELECT upper(host), v * 2, time FROM src WHERE v > 3 AND host <> 'h1'
