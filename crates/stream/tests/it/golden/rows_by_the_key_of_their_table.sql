--- setup
CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT);
CREATE TABLE out (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO src SELECT TIMESTAMP '2026-01-01', value % 7, value FROM range(0, 90)
--- pipeline
CREATE TABLE impulse WITH (connector = 'impulse', event_rate = 0, event_time_interval = '1ms', message_count = 103);
INSERT INTO out SELECT counter % 7, count(*) FROM impulse GROUP BY 1
--- batch
SELECT value % 7, count(*) FROM range(0, 103) GROUP BY 1
