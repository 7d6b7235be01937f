//! Definitions change under files of older ones.

use cenote_catalog::{Alter, Error, Evolution, NewFile, ObjectChange, Op, Place, SortColumn};
use cenote_vocab::{Fault, Field, FieldId, FieldType, Transform, WriteDefault};

use crate::fixture::{Fixture, field, statistics};

fn path(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

fn ops(evolutions: impl IntoIterator<Item = Evolution>) -> Vec<Op> {
    evolutions.into_iter().map(|evolution| Op::Alter(Alter::Evolve(evolution))).collect()
}

fn add(column: Field) -> Evolution {
    Evolution::AddColumn { parent: Vec::new(), column, place: Place::Last, if_not_exists: false }
}

fn partition(parts: &[(&str, Transform)]) -> Vec<Op> {
    let parts = parts.iter().map(|(column, transform)| ((*column).to_owned(), *transform));
    ops([Evolution::SetPartition(parts.collect())])
}

pub(crate) async fn all_changes_of_a_statement_are_one_and_survive_a_restart(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let before = fixture.head().await;
    let inner = vec![field(0, "a", FieldType::Int32), field(0, "b", FieldType::Uuid).required()];
    let pair = FieldType::List(Box::new(field(0, "element", FieldType::Struct(inner))));
    let sort = |column: &str| SortColumn { column: column.into(), descending: true, nulls_first: true };
    let given = Field {
        initial_default: Some("1".into()),
        write_default: Some(WriteDefault::Literal("it's".into())),
        comment: Some("given".into()),
        ..field(0, "given", FieldType::String).required()
    };
    let changes = ops([
        add(field(0, "pairs", pair)),
        add(given),
        Evolution::RenameColumn { path: path("host"), name: "machine".into() },
        Evolution::AddColumn {
            parent: path("pairs.element"),
            column: field(0, "c", FieldType::Date),
            place: Place::First,
            if_not_exists: false,
        },
        Evolution::MoveColumn { path: path("value"), place: Place::First },
        Evolution::SetDefault { path: path("time"), default: Some(WriteDefault::Now) },
        Evolution::SetPartition(vec![
            ("time".into(), Transform::Month),
            ("machine".into(), Transform::Bucket(8)),
        ]),
        Evolution::SetSort(vec![sort("value")]),
        Evolution::SetKey(vec!["given".into()]),
        Evolution::SetComment(Some("all of it".into())),
    ]);
    let committed = fixture.change(table, changes).await.expect("changed");
    assert_eq!(committed.txn.0, before.0 + 1, "one transaction");
    let def = fixture.by_id(table).await;
    assert_eq!((def.schema.no, def.spec.no, def.sort.no), (2, 1, 2));
    assert_eq!(def.key().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["given"]);
    assert_eq!(def.properties.get("tags").map(String::as_str), Some("machine"), "tags follow their columns");
    let shape = FieldType::Struct(def.schema.fields.clone()).sql_name();
    assert_eq!(
        shape,
        "STRUCT(\"value\" BIGINT, \"time\" TIMESTAMP(6), \"machine\" VARCHAR, \
         \"pairs\" STRUCT(\"c\" DATE, \"a\" INTEGER, \"b\" UUID NOT NULL)[], \"given\" VARCHAR NOT NULL)"
    );
    let fixture = fixture.restart().await;
    assert_eq!(fixture.by_id(table).await, def);
    let first = fixture.catalog.schema_at(&fixture.scope, table, 1).await.expect("kept");
    assert_eq!(
        first.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(),
        ["time", "host", "value"]
    );
    let second = fixture.catalog.schema_at(&fixture.scope, table, 2).await.expect("kept");
    assert_eq!(second, def.schema);
    let then = fixture.catalog.names(&fixture.scope, before).await.expect("names");
    assert_eq!(then.table_by_id(table).expect("there").schema, first);
}

pub(crate) async fn a_dropped_name_comes_back_as_another_column(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let drop = Evolution::DropColumn { path: path("value"), if_exists: false };
    fixture.change(table, ops([drop])).await.expect("dropped");
    fixture.change(table, ops([add(field(0, "value", FieldType::Int64))])).await.expect("added");
    let def = fixture.by_id(table).await;
    assert_eq!(def.schema.field("value").map(|field| field.id), Some(FieldId(4)));
    let used = Evolution::DropColumn { path: path("host"), if_exists: false };
    let error = fixture.change(table, ops([used])).await.expect_err("sorted by it");
    assert_eq!((error.sqlstate().0, error.to_string().contains("sort order")), ("2BP01", true), "{error}");
}

pub(crate) async fn a_change_planned_on_an_older_definition_is_planned_again(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let base = fixture.head().await;
    let rename = |name: &str| ops([Evolution::RenameColumn { path: path("value"), name: name.into() }]);
    fixture.append(table, 1).await;
    fixture.change_at(table, base, rename("a")).await.expect("rows do not matter");
    let late = fixture.change_at(table, base, rename("b")).await;
    assert!(matches!(late, Err(Error::CommitConflict { .. })), "{late:?}");
}

pub(crate) async fn files_of_earlier_specs_are_taken_and_numbers_never_repeat(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let day = [("time", Transform::Day)];
    fixture.change(table, partition(&day)).await.expect("by day");
    let base = fixture.head().await;
    let of_day = || NewFile { spec_no: 1, partition: vec![Some(3.into())], ..fixture.file(1) };
    fixture
        .change(table, partition(&[("host", Transform::Identity), ("time", Transform::Day)]))
        .await
        .expect("host");
    fixture.change_at(table, base, vec![Op::Append { files: vec![of_day()] }]).await.expect("planned before");
    fixture.change(table, partition(&[])).await.expect("unpartitioned");
    fixture.change(table, partition(&[("value", Transform::Truncate(10))])).await.expect("again");
    fixture.change(table, vec![Op::Append { files: vec![of_day()] }]).await.expect("still an earlier spec");
    let def = fixture.by_id(table).await;
    let ids = |no: i32| {
        let (catalog, scope) = (fixture.catalog.clone(), fixture.scope.clone());
        async move {
            let spec = catalog.spec_at(&scope, table, no).await.expect("kept");
            spec.fields.iter().map(|part| part.part_field_id).collect::<Vec<_>>()
        }
    };
    assert_eq!(def.spec.no, 3);
    assert_eq!((ids(1).await, ids(2).await, ids(3).await), (vec![1000], vec![1001, 1000], vec![1002]));
    assert!(fixture.catalog.spec_at(&fixture.scope, table, 4).await.is_err());
    let never = NewFile { spec_no: 9, ..of_day() };
    assert!(fixture.change(table, vec![Op::Append { files: vec![never] }]).await.is_err());
    let float = fixture.change(table, ops([add(field(0, "f", FieldType::Double))])).await;
    float.expect("added");
    let error = fixture.change(table, partition(&[("f", Transform::Identity)])).await.expect_err("a float");
    assert_eq!(error.sqlstate().0, "22023", "{error}");

    let sort = |columns: &[&str]| {
        let column =
            |name: &&str| SortColumn { column: (*name).into(), descending: false, nulls_first: false };
        ops([Evolution::SetSort(columns.iter().map(column).collect())])
    };
    fixture.change(table, sort(&[])).await.expect("unsorted");
    fixture
        .change(table, vec![Op::Append { files: vec![fixture.file(1)] }])
        .await
        .expect("of the first order");
    fixture.change(table, sort(&["value"])).await.expect("sorted");
    assert_eq!(fixture.by_id(table).await.sort.no, 2);
}

pub(crate) async fn rows_planned_before_a_rule_do_not_break_it(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let base = fixture.head().await;
    let nulls = |null_count| {
        let mut file = fixture.file(4);
        file.statistics = statistics(4, 0, 100);
        file.statistics.columns[0].null_count = null_count;
        vec![Op::Append { files: vec![file] }]
    };
    fixture.change(table, nulls(1)).await.expect("a NULL");
    let required = || ops([Evolution::SetNotNull(path("value"))]);
    let unseen = fixture.change_at(table, base, required()).await;
    assert!(matches!(unseen, Err(Error::CommitConflict { .. })), "a NULL came after the look: {unseen:?}");
    fixture.change(table, required()).await.expect("the caller has looked");
    let late = fixture.change_at(table, base, nulls(1)).await;
    assert!(matches!(late, Err(Error::CommitConflict { .. })), "{late:?}");
    fixture.change_at(table, base, nulls(0)).await.expect("no NULL");

    let double = Evolution::SetType { path: path("value"), field_type: FieldType::Double };
    fixture.change(table, ops([double])).await.expect("100 is a double");
    let mut large = fixture.file(4);
    large.statistics = statistics(4, 0, 1 << 60);
    let large = fixture.change_at(table, base, vec![Op::Append { files: vec![large] }]).await;
    assert!(matches!(large, Err(Error::CommitConflict { .. })), "{large:?}");
}

pub(crate) async fn a_table_moves_to_another_schema(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let create = ObjectChange::CreateSchema { name: "app".into(), if_not_exists: false };
    fixture.change_object(create).await.expect("created");
    let moved = |schema: &str, name: &str| ObjectChange::RenameTable {
        table,
        schema: Some(schema.into()),
        name: name.into(),
    };
    fixture.change_object(moved("app", "load")).await.expect("moved");
    assert!(fixture.table("cpu").await.is_err());
    let names = fixture.catalog.names(&fixture.scope, fixture.head().await).await.expect("names");
    assert_eq!(names.table("app", "load").expect("there").id, table);
    assert!(matches!(fixture.change_object(moved("nowhere", "x")).await, Err(Error::SchemaNotFound { .. })));
}
