//! Subqueries whose answer is known before they run: DataFusion cannot decorrelate all that clients write.

use std::ops::ControlFlow;

use sqlparser::ast::{Query, visit_relations};

use super::{provider, system};

/// True if the query joins only inner and one of its relations has no rows for certain.
///
/// `pg_collation` is one: psql asks it for columns whose collation is not that of their type, and there are none. So is
/// `unnest`: arrays of catalog relations are all NULL.
pub(crate) fn reads_nothing(query: &Query) -> bool {
    if query.to_string().to_uppercase().contains(" LEFT ") {
        return false;
    }
    let mut nothing = false;
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) = visit_relations(query, |name| {
        let name = name.0.last().map(|part| part.to_string().to_lowercase()).unwrap_or_default();
        nothing |= matches!(name.as_str(), "pg_collation" | "unnest") || is_empty(&name);
        ControlFlow::Continue(())
    });
    nothing
}

fn is_empty(name: &str) -> bool {
    let made = provider::columns().any(|(made, _)| made == name);
    !made && system::system().is_ok_and(|system| system.rows(name).is_some_and(|rows| rows.num_rows() == 0))
}
