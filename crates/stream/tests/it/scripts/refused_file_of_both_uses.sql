--fail=say type = 'source' or 'sink'
CREATE TABLE f (a INT) WITH (connector = 'single_file', path = 'x')
