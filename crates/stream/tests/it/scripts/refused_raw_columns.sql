--fail=format 'raw_string' has exactly one column, value TEXT
CREATE TABLE l (a TEXT, b TEXT) WITH (connector = 'single_file', path = 'x', format = 'raw_string', type = 'source')
