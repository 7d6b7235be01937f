--- setup
CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT, f DOUBLE, b BOOLEAN);
CREATE TABLE out (k TEXT, c0 TEXT, c1 TEXT, c2 TEXT, c3 TEXT, c4 BIGINT, c5 BIGINT, c6 DOUBLE, c7 DOUBLE, c8 DOUBLE, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', 'k' || (value % 2)::TEXT, CASE WHEN value % 9 = 4 THEN NULL ELSE value * 7 % 11 END, value * 0.25 + value % 3, value % 5 <> 2 FROM range(0, 60)
--- pipeline
SET updating_ttl = 'off';
INSERT INTO out SELECT k,
  array_to_string(array_agg(v), ',', '-'),
  array_to_string(array_agg(v) FILTER (WHERE b), ',', '-'),
  string_agg(v::TEXT, ','),
  string_agg(k || v::TEXT, ';') FILTER (WHERE b),
  first_value(v),
  last_value(v),
  first_value(f) FILTER (WHERE NOT b),
  last_value(f) FILTER (WHERE b),
  nth_value(f, 2)
FROM src GROUP BY k
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', 'k' || (value % 2)::TEXT, CASE WHEN value % 9 = 4 THEN NULL ELSE value * 7 % 11 END, value * 0.25 + value % 3, value % 5 <> 2 FROM range(60, 100)
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:09:00', 'k0', 1, 1, true)
--- batch
SELECT k,
  array_to_string(array_agg(v ORDER BY time), ',', '-'),
  array_to_string(array_agg(v ORDER BY time) FILTER (WHERE b), ',', '-'),
  string_agg(v::TEXT, ',' ORDER BY time),
  string_agg(k || v::TEXT, ';' ORDER BY time) FILTER (WHERE b),
  first_value(v ORDER BY time),
  last_value(v ORDER BY time),
  first_value(f ORDER BY time) FILTER (WHERE NOT b),
  last_value(f ORDER BY time) FILTER (WHERE b),
  nth_value(f, 2 ORDER BY time)
FROM src GROUP BY k
