//! What is lowered, and what must not be.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_catalog::{TableDef, TableKind};
use cenote_vocab::{FieldId, SchemaId, TableId, TableSchema, Txn};
use datafusion::prelude::{cast, col, lit};

use super::*;

fn table() -> TableDef {
    let field = |id: i32, name: &str, field_type: FieldType| Field::new(FieldId(id), name, field_type);
    TableDef {
        id: TableId(1),
        uuid: uuid::Uuid::nil(),
        schema_id: SchemaId(1),
        schema_name: "default".into(),
        name: "cpu".into(),
        kind: TableKind::Table,
        schema: Arc::new(TableSchema {
            no: 1,
            fields: vec![
                field(1, "time", FieldType::Timestamp(TimeUnit::Micro)),
                field(2, "host", FieldType::String),
                field(3, "v", FieldType::Double),
                field(4, "n", FieldType::Int32),
            ],
        }),
        spec: Default::default(),
        sort: Default::default(),
        time_field: Some(FieldId(1)),
        key_fields: Vec::new(),
        location: String::new(),
        properties: BTreeMap::new(),
        comment: None,
        begin_txn: Txn(1),
    }
}

fn nanos(value: i64) -> Expr {
    lit(ScalarValue::TimestampNanosecond(Some(value), Some("+00:00".into())))
}

fn time(comparison: Comparison, micros: i128) -> Predicate {
    Predicate::Compare { field: FieldId(1), comparison, value: Value::Integer(micros) }
}

#[test]
fn a_bound_between_two_ticks_is_rounded_to_keep_its_meaning() {
    let cast_time = || cast(col("time"), DataType::Timestamp(ArrowUnit::Nanosecond, Some("+00:00".into())));
    for (filter, lowered) in [
        (cast_time().gt(nanos(1500)), time(Comparison::Greater, 1)),
        (cast_time().gt_eq(nanos(1500)), time(Comparison::GreaterOrEqual, 2)),
        (cast_time().lt(nanos(1500)), time(Comparison::Less, 2)),
        (cast_time().lt_eq(nanos(-1500)), time(Comparison::LessOrEqual, -2)),
        (nanos(2000).lt(col("time")), time(Comparison::Greater, 2)),
        (cast_time().eq(nanos(1500)), Predicate::True),
    ] {
        assert_eq!(lower(&filter, &table()), lowered, "{filter}");
    }
}

#[test]
fn a_cast_to_a_coarser_unit_is_not_seen_through() {
    let seconds = cast(col("time"), DataType::Timestamp(ArrowUnit::Second, None));
    let filter = seconds.eq(lit(ScalarValue::TimestampSecond(Some(1), None)));
    assert_eq!(lower(&filter, &table()), Predicate::True);
}

#[test]
fn an_unknown_part_spoils_or_but_not_and() {
    let known = col("host").eq(lit("a"));
    let unknown = col("host").like(lit("%a"));
    assert_ne!(lower(&known.clone().and(unknown.clone()), &table()), Predicate::True);
    assert_eq!(lower(&known.or(unknown), &table()), Predicate::True);
}

#[test]
fn floats_are_pruned_from_above_only() {
    assert_eq!(lower(&col("v").gt(lit(1.0)), &table()), Predicate::True);
    assert_ne!(lower(&col("v").lt(lit(1.0)), &table()), Predicate::True);
}

#[test]
fn lists_and_ranges_are_lowered() {
    let Predicate::Or(items) = lower(&col("n").in_list(vec![lit(1_i32), lit(2_i32)], false), &table()) else {
        panic!("a list")
    };
    assert_eq!(items.len(), 2);
    assert!(
        matches!(lower(&col("n").between(lit(1_i32), lit(2_i32)), &table()), Predicate::And(parts) if parts.len() == 2)
    );
    assert_eq!(lower(&col("n").is_null(), &table()), Predicate::IsNull(FieldId(4)));
}
