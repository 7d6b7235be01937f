//! Arrow batches become immutable files and back, with statistics and deletion vectors.
//!
//! ```text
//! TableSchema ─ arrow_schema ─► RecordBatch ─ ParquetWriter ─► object + WrittenFile { statistics, sizes }
//! object      ─ read_batches ─► RecordBatch of any schema of the table, less deleted rows
//! few rows    ─ encode_inline ─► bytes for a row of the catalog, and back
//! positions   ─ DeletionVector ─► bytes (`deletion-vector-v1`)
//! ```
//! Invariants: every Parquet node carries a field id; a bound is never narrower than the values it bounds;
//! bytes of a file that are not those that were written are an error.

mod adapt;
mod arrow_schema;
mod bound;
mod checks;
mod deletion_vector;
mod error;
mod extremes;
mod file_schema;
mod footer;
mod inline;
mod object_reader;
mod properties;
mod published;
mod reader;
mod row_ids;
mod row_set;
mod statistics;
mod stored_statistics;
mod value;
mod writer;

pub use adapt::{absent, adapt, adapt_with, literal};
pub use arrow_schema::{
    FIELD_ID_KEY, LIST_ELEMENT, arrow_field, arrow_schema, arrow_type, field_id, field_type, sql_schema,
};
pub use bound::{next_bytes, next_text};
pub use checks::Checks;
pub use deletion_vector::DeletionVector;
pub use error::Error;
pub use extremes::{integers, min_max, value_at};
pub use footer::{Footer, FooterColumn, RowGroup, read_footer, read_row_groups};
pub use inline::{decode_inline, encode_inline, read_inline, select_rows};
pub use object_reader::{ObjectReader, StoredFile};
pub use properties::row_group_bytes;
pub use published::{decode_rows, encode_rows};
pub use reader::{ReadOptions, read_batches};
pub use row_ids::{LAST_UPDATED, ROW_ID, RowIdentity, has_row_ids, is_hidden, with_row_ids};
pub use row_set::RowSet;
pub use statistics::{ColumnStatistics, FileStatistics, StatisticsCollector};
pub use value::Value;
pub use writer::{Level, ParquetWriter, WriterOptions, WrittenFile};
