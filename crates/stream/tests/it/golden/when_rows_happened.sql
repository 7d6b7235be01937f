--- setup
CREATE TABLE out (counter BIGINT, at TIMESTAMP)
--- pipeline
CREATE TABLE impulse WITH (connector = 'impulse', event_rate = 0, event_time_interval = '250ms', message_count = 103, start_time = 1767225600000000);
INSERT INTO out SELECT counter, row_time() + INTERVAL '1 day' FROM impulse WHERE row_time() >= TIMESTAMP '2026-01-01 00:00:05' AND counter % 3 <> 1
--- batch
SELECT value, TIMESTAMP '2026-01-02' + value * INTERVAL '250 milliseconds' FROM range(0, 103) WHERE value >= 20 AND value % 3 <> 1
