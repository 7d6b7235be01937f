//! Declared: pipelines.

use super::{Table, id, name, nullable, text, time, uuid};

/// Streaming queries that run for as long as they are wanted. How far each is, its producer says.
pub(crate) const PIPELINE: Table = Table::new(
    "cn_pipeline",
    &[
        id("catalog_id"),
        uuid("pipeline_id"),
        name("producer"),
        name("schema_name"),
        name("name"),
        id("owner"),
        text("search_path"),
        text("script"),
        text("options"),
        name("desired"),
        name("state"),
        nullable(text("error")),
        time("created_us"),
        id("version"),
    ],
    &["catalog_id", "pipeline_id"],
)
.unique(&[&["catalog_id", "schema_name", "name"]]);
