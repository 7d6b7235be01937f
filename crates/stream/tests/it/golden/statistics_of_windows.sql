--- setup
CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT, f DOUBLE, b BOOLEAN);
CREATE TABLE out (start TIMESTAMP, k TEXT, c0 DOUBLE, c1 DOUBLE, c2 DOUBLE, c3 DOUBLE, c4 DOUBLE, c5 DOUBLE, c6 DOUBLE, c7 DOUBLE, c8 DOUBLE, c9 DOUBLE, c10 DOUBLE, c11 DOUBLE, c12 DOUBLE, c13 DOUBLE, c14 DOUBLE, c15 DOUBLE, c16 DOUBLE, c17 DOUBLE, c18 DOUBLE, c19 DOUBLE, c20 BIGINT);
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', 'k' || (value % 2)::TEXT, CASE WHEN value % 9 = 4 THEN NULL ELSE value * 7 % 11 END, value * 0.25 + value % 3, value % 5 <> 2 FROM range(0, 60)
--- pipeline
INSERT INTO out SELECT w.start, k, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18, c19, c20 FROM (
  SELECT hop(INTERVAL '10 seconds', INTERVAL '20 seconds') AS w, k,
  var(v) AS c0,
  var_pop(f) AS c1,
  stddev(v) AS c2,
  stddev_pop(f) AS c3,
  covar_samp(v, f) AS c4,
  covar_pop(v, f) AS c5,
  corr(v, f) AS c6,
  regr_slope(f, v) AS c7,
  regr_intercept(f, v) AS c8,
  regr_r2(f, v) AS c9,
  regr_avgx(f, v) AS c10,
  regr_avgy(f, v) AS c11,
  regr_sxx(f, v) AS c12,
  regr_syy(f, v) AS c13,
  regr_sxy(f, v) AS c14,
  var(f) FILTER (WHERE b) AS c15,
  stddev_pop(v) FILTER (WHERE v > 3) AS c16,
  corr(f, v) FILTER (WHERE b) AS c17,
  regr_slope(v, f) FILTER (WHERE b) AS c18,
  covar_pop(f, v) FILTER (WHERE v > 3) AS c19,
  regr_count(f, v) AS c20
  FROM src GROUP BY 1, 2)
--- then
INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 second', 'k' || (value % 2)::TEXT, CASE WHEN value % 9 = 4 THEN NULL ELSE value * 7 % 11 END, value * 0.25 + value % 3, value % 5 <> 2 FROM range(60, 100)
--- then
INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:09:00', 'k0', 1, 1, true)
--- batch
SELECT s, k,
  var(v),
  var_pop(f),
  stddev(v),
  stddev_pop(f),
  covar_samp(v, f),
  covar_pop(v, f),
  corr(v, f),
  regr_slope(f, v),
  regr_intercept(f, v),
  regr_r2(f, v),
  regr_avgx(f, v),
  regr_avgy(f, v),
  regr_sxx(f, v),
  regr_syy(f, v),
  regr_sxy(f, v),
  var(f) FILTER (WHERE b),
  stddev_pop(v) FILTER (WHERE v > 3),
  corr(f, v) FILTER (WHERE b),
  regr_slope(v, f) FILTER (WHERE b),
  covar_pop(f, v) FILTER (WHERE v > 3),
  regr_count(f, v)
FROM (SELECT date_bin(INTERVAL '10 seconds', time) - value * INTERVAL '10 seconds' AS s, time, k, v, f, b FROM src, range(0, 2))
WHERE s + INTERVAL '20 seconds' <= {watermark} GROUP BY s, k
