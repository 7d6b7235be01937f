//! Files that someone else wrote become files of a table: where they lie, without reading their rows.

use cenote_catalog::{Content, NewFile, TableDef};
use cenote_datafile::{StoredFile, Value, read_footer};
use cenote_vocab::Scope;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{Error, Lake, RowKey};

/// Footers that are read at a time.
const READERS: usize = 16;

impl Lake {
    /// The files at these paths below the table's location, for `Op::Append`; ownership passes to the table with its commit.
    ///
    /// `PathDenied` for a path elsewhere, `NotAdoptable` for a file that is not there, that a table has already, or whose columns are not the table's (they are
    /// told by field id), `Corrupt` for one that is no Parquet file, `Unsupported` if rows of the table replace each other.
    pub async fn adopt(
        &self,
        scope: &Scope,
        table: &TableDef,
        paths: &[String],
    ) -> Result<Vec<NewFile>, Error> {
        Error::refuse_view(table)?;
        if RowKey::of_dedup(table)?.is_some() {
            let name = table.full_name();
            return Err(Error::Unsupported(format!(
                "files of others for table {name}, whose option dedup is 'last'"
            )));
        }
        let paths = paths.iter().map(|path| below(table, path)).collect::<Result<Vec<_>, Error>>()?;
        let files = stream::iter(paths).map(|path| self.adopt_one(scope, table, path));
        files.buffered(READERS).try_collect().await
    }

    async fn adopt_one(&self, scope: &Scope, table: &TableDef, path: String) -> Result<NewFile, Error> {
        let refuse =
            |reason: String| Error::NotAdoptable { path: path.clone(), table: table.full_name(), reason };
        let object = cenote_store::object_path(&table.location, &path);
        let bytes = self.store.size(&object).await?.ok_or_else(|| refuse("it is not there".into()))?;
        if self.catalog.is_referenced(scope, object.as_ref()).await? {
            return Err(refuse("it is a file of a table already".into()));
        }
        let footer = read_footer(&self.store, &StoredFile::of_others(object, bytes)).await?;
        let statistics = footer.fit(&table.schema).map_err(refuse)?;
        let times = table
            .time_field
            .and_then(|time| statistics.column(time)?.min.clone().zip(statistics.column(time)?.max.clone()));
        let time_range = match times {
            Some((Value::Integer(min), Value::Integer(max))) => {
                i64::try_from(min).ok().zip(i64::try_from(max).ok())
            }
            _ => None,
        };
        Ok(NewFile {
            content: Content::Parquet,
            path,
            rows: footer.rows,
            bytes,
            footer_bytes: footer.footer_bytes,
            schema_no: table.schema.no,
            spec_no: 0, // the writer did not say which tuple it is of
            partition: Vec::new(),
            sort_no: 0,
            level: 0,
            time_range,
            statistics,
            row_ids_stored: false,
        })
    }
}

/// The path below the table's location; one below the storage root may be given too.
fn below(table: &TableDef, path: &str) -> Result<String, Error> {
    let inside = path.strip_prefix(&table.location).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path);
    let climbs = inside.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if climbs || inside.contains("://") || inside.contains('\\') || inside.chars().any(char::is_control) {
        return Err(Error::PathDenied { path: path.to_owned(), table: table.full_name() });
    }
    Ok(inside.to_owned())
}
