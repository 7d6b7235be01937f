--fail=option 'endpoint' is required
CREATE TABLE w WITH (connector = 'webhook')
