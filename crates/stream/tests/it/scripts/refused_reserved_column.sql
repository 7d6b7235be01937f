--fail=column name '__arroyo_custom' in table 'cars' is invalid; names starting with '__arroyo' are reserved
CREATE TABLE cars (__arroyo_custom BIGINT) WITH (connector = 'single_file', path = 'x', type = 'source')
