//! Tests of a whole node: `it/` is the one binary, `slt/` holds its SQL, `clients/` its foreign clients.
