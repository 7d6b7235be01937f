//! The registry: one declaration per control table gives its live form in SQL.

/// A table that `system.*` shows.
#[derive(Clone, Copy, Debug)]
pub struct SystemTable {
    /// `catalog.tables`, `storage.files`, …: group and name.
    pub name: &'static str,
}

/// All that are declared.
pub fn system_tables() -> &'static [SystemTable] {
    todo!()
}
