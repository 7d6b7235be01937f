use std::collections::BTreeMap;

use cenote_datafile::{ColumnStatistics, FileStatistics, Value};
use cenote_vocab::{
    PartitionField, PartitionSpec, SchemaId, SortOrder, TableId, TimeUnit, Transform, Txn, WriteDefault,
};

use super::*;
use crate::TableKind;
use crate::evolution::Layouts;
use crate::widening::Findings;

fn field(id: i32, name: &str, field_type: FieldType) -> Field {
    Field::new(FieldId(id), name, field_type)
}

/// `n BIGINT, s STRUCT(a INTEGER, b INTEGER)`
fn table() -> TableDef {
    let inner = vec![field(3, "a", FieldType::Int32), field(4, "b", FieldType::Int32)];
    let fields = vec![field(1, "n", FieldType::Int64), field(2, "s", FieldType::Struct(inner))];
    TableDef {
        id: TableId(1),
        uuid: uuid::Uuid::nil(),
        schema_id: SchemaId(1),
        schema_name: "default".into(),
        name: "t".into(),
        kind: TableKind::Table,
        schema: Arc::new(TableSchema { no: 1, fields }),
        spec: PartitionSpec::default(),
        sort: SortOrder::default(),
        time_field: None,
        key_fields: Vec::new(),
        location: String::new(),
        properties: BTreeMap::new(),
        comment: None,
        begin_txn: Txn(1),
    }
}

fn path(text: &str) -> ColumnPath {
    text.split('.').map(str::to_owned).collect()
}

fn apply(def: &mut TableDef, change: Evolution, findings: Option<&Findings>) -> Result<(), Error> {
    let last = def.schema.all_fields().iter().map(|(field, _)| field.id.0).max().unwrap_or(0);
    let (mut next_field, mut next_part_field) = (last + 1, 1000);
    let (layouts, base) = (Layouts::default(), Txn(5));
    let (next_field, next_part_field, layouts) = (&mut next_field, &mut next_part_field, &layouts);
    change.apply(def, &mut Circumstances { base, next_field, next_part_field, layouts, findings })
}

fn shape(def: &TableDef) -> String {
    FieldType::Struct(def.schema.fields.clone()).sql_name()
}

#[test]
fn columns_are_added_moved_renamed_and_dropped_at_any_depth() {
    let mut def = table();
    let add = |parent: &[&str], name: &str, place| Evolution::AddColumn {
        parent: parent.iter().map(|name| (*name).to_owned()).collect(),
        column: field(0, name, FieldType::Boolean),
        place,
        if_not_exists: false,
    };
    apply(&mut def, add(&[], "x", Place::After("n".into())), None).expect("added");
    apply(&mut def, add(&["s"], "c", Place::First), None).expect("added");
    apply(&mut def, Evolution::RenameColumn { path: path("s.a"), name: "z".into() }, None).expect("renamed");
    apply(&mut def, Evolution::DropColumn { path: path("s.b"), if_exists: false }, None).expect("dropped");
    apply(&mut def, Evolution::MoveColumn { path: path("s"), place: Place::First }, None).expect("moved");
    assert_eq!(
        shape(&def),
        "STRUCT(\"s\" STRUCT(\"c\" BOOLEAN, \"z\" INTEGER), \"n\" BIGINT, \"x\" BOOLEAN)"
    );
    let ids: Vec<i32> = def.schema.all_fields().iter().map(|(field, _)| field.id.0).collect();
    assert_eq!(ids, [2, 6, 3, 1, 5], "ids stay, and new ones are new");
}

#[test]
fn what_has_no_place_is_refused_by_name() {
    let mut def = table();
    for (change, expected) in [
        (Evolution::DropColumn { path: path("s.q"), if_exists: false }, "\"s.q\""),
        (Evolution::RenameColumn { path: path("n"), name: "s".into() }, "already exists"),
        (Evolution::DropNotNull(path("nn")), "\"nn\""),
        (
            Evolution::AddColumn {
                parent: path("n"),
                column: field(0, "x", FieldType::Boolean),
                place: Place::Last,
                if_not_exists: false,
            },
            "only a STRUCT",
        ),
        (
            Evolution::AddColumn {
                parent: Vec::new(),
                column: field(0, "x", FieldType::Boolean).required(),
                place: Place::Last,
                if_not_exists: false,
            },
            "NOT NULL without a DEFAULT",
        ),
    ] {
        let error = apply(&mut def, change, None).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(def, table(), "nothing was changed");
    apply(&mut def, Evolution::DropColumn { path: path("q"), if_exists: true }, None).expect("not there");
    apply(&mut def, Evolution::DropColumn { path: path("n"), if_exists: false }, None).expect("dropped");
    let last = apply(&mut def, Evolution::DropColumn { path: path("s"), if_exists: false }, None);
    assert!(last.expect_err("the last").to_string().contains("is the last of table"));
}

#[test]
fn a_source_of_partitions_is_kept_and_keeps_its_values() {
    let mut def = table();
    def.schema = Arc::new(TableSchema {
        no: 1,
        fields: vec![field(1, "day", FieldType::Date), field(2, "n", FieldType::Int32)],
    });
    let part = |source, transform| PartitionField { part_field_id: 1000, source: FieldId(source), transform };
    def.spec =
        PartitionSpec { no: 1, fields: vec![part(1, Transform::Bucket(4)), part(2, Transform::Identity)] };
    let drop = apply(&mut def, Evolution::DropColumn { path: path("day"), if_exists: false }, None);
    assert!(drop.expect_err("a source").to_string().contains("needed by the partition spec"));
    let micro = FieldType::Timestamp(TimeUnit::Micro);
    let findings = Findings::default();
    let widen = |path, field_type| Evolution::SetType { path, field_type };
    let error = apply(&mut def, widen(path("day"), micro), Some(&findings)).expect_err("other buckets");
    assert!(error.to_string().contains("whose values would change"), "{error}");
    apply(&mut def, widen(path("n"), FieldType::Int64), Some(&findings)).expect("the same values");
    let error = apply(&mut def, widen(path("n"), FieldType::Int32), Some(&findings)).expect_err("narrower");
    assert_eq!(
        error.to_string(),
        "column \"n\" of table default.t is BIGINT and cannot become INTEGER: it may become DOUBLE, if all values are within ±2^53"
    );
}

#[test]
fn files_decide_about_doubles_and_not_null() {
    let known = |null_count, max| FileStatistics {
        columns: vec![ColumnStatistics {
            field_id: FieldId(1),
            value_count: 9,
            null_count,
            nan_count: None,
            min: Some(Value::Integer(0)),
            max: Some(Value::Integer(max)),
            min_exact: true,
            max_exact: true,
        }],
    };
    let findings = |begin, statistics| {
        let mut findings = Findings::default();
        findings.add(Txn(begin), table().schema, Arc::new(statistics));
        findings
    };
    let double = || Evolution::SetType { path: path("n"), field_type: FieldType::Double };
    apply(&mut table(), double(), Some(&findings(1, known(0, 1 << 53)))).expect("fits");
    let error =
        apply(&mut table(), double(), Some(&findings(1, known(0, (1 << 53) + 1)))).expect_err("too large");
    assert!(matches!(error, Error::SchemaIncompatible { .. }), "{error}");

    let required = || Evolution::SetNotNull(path("n"));
    apply(&mut table(), required(), Some(&findings(5, known(1, 1)))).expect("the caller has looked at it");
    apply(&mut table(), required(), Some(&findings(6, known(0, 1)))).expect("no NULL");
    let error = apply(&mut table(), required(), Some(&findings(6, known(1, 1)))).expect_err("a NULL came");
    assert!(matches!(error, Error::CommitConflict { with_txn: Txn(6), .. }), "{error}");
    let mut def = table();
    let default = Some(WriteDefault::Now);
    apply(&mut def, Evolution::SetDefault { path: path("n"), default: default.clone() }, None).expect("set");
    assert_eq!(def.schema.fields[0].write_default, default);
}
