//! The table that a first write makes.

use std::collections::BTreeMap;

use cenote_catalog::NewTable;
use cenote_table::Dedup;
use cenote_vocab::{
    Field, FieldId, FieldType, Ids, PartitionField, PartitionSpec, Scope, SortField, SortOrder, TableId,
    TableSchema, TimeUnit, Transform,
};

use super::resolve::TIME;
use crate::Error;

/// Partition fields count from here.
const FIRST_PARTITION_FIELD: i32 = 1000;

/// Where and how a first write makes a table.
pub(super) struct Creation<'a> {
    pub(super) scope: &'a Scope,
    pub(super) ids: &'a Ids,
    pub(super) database: &'a str,
    /// The option `table.partition`.
    pub(super) partition: &'a str,
    /// The option `table.dedup`.
    pub(super) dedup: Dedup,
}

impl Creation<'_> {
    /// `time` first, then the columns in order of arrival; partitioned by time, sorted by tags and time.
    pub(super) fn table(
        &self,
        id: TableId,
        name: &str,
        columns: Vec<(String, FieldType)>,
        tags: &[String],
    ) -> Result<NewTable, Error> {
        let time = FieldId(1);
        let mut fields = vec![Field::new(time, TIME, FieldType::Timestamp(TimeUnit::Micro)).required()];
        fields.extend(
            (2..).zip(columns).map(|(id, (name, field_type))| Field::new(FieldId(id), name, field_type)),
        );
        let schema = TableSchema { no: 1, fields };
        let ascending = |source| SortField { source, descending: false, nulls_first: false };
        let tag_ids = tags.iter().filter_map(|tag| schema.field(tag)).map(|field| field.id);
        let sort = SortOrder { no: 1, fields: tag_ids.chain([time]).map(ascending).collect() };
        let mut properties = BTreeMap::from([("row_lineage".to_owned(), "false".to_owned())]);
        if self.dedup == Dedup::Last {
            properties.insert("dedup".to_owned(), "last".to_owned());
        }
        if !tags.is_empty() {
            properties.insert("tags".to_owned(), tags.join(","));
        }
        Ok(NewTable {
            spec: spec(self.partition, time)?,
            sort,
            time_field: Some(time),
            properties,
            if_not_exists: true,
            ..NewTable::plain(self.scope.tenant(), (id, self.ids.uuid()), (self.database, name), schema)
        })
    }
}

fn spec(partition: &str, time: FieldId) -> Result<PartitionSpec, Error> {
    if partition.is_empty() {
        return Ok(PartitionSpec::default());
    }
    let transform: Transform = partition.parse().map_err(|_| {
        Error::Internal(format!("option table.partition is {partition:?}, not day, hour or empty"))
    })?;
    let field = PartitionField { part_field_id: FIRST_PARTITION_FIELD, source: time, transform };
    Ok(PartitionSpec { no: 1, fields: vec![field] })
}
