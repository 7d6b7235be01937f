--fail=memory table 'memory' has a generated column
CREATE TABLE memory (a BIGINT, b BIGINT GENERATED ALWAYS AS (a + 1))
