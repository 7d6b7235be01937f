--fail=connector 'webhook' is only a sink
CREATE TABLE w (a INT) WITH (connector = 'webhook', type = 'source', endpoint = 'http://x')
