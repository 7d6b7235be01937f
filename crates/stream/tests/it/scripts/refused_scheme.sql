--fail=a path that begins with gs:// is not supported yet
CREATE TABLE f (a INT) WITH (connector = 'filesystem', path = 'gs://b/x', type = 'source')
