//! The graph of lineage in memory is what the commits say, at every moment.

use cenote_catalog::{
    Code, ColumnEdge, ColumnKind, Commit, Direction, Facts, Input, Op, ReadSet, TableChange, Walk,
    WalkRequest,
};
use cenote_vocab::{FieldId, TableId, Txn};

use crate::fixture::Fixture;

/// A commit of rows that were made of those of other tables, by a code of this number; `value` came of `value`.
async fn derive(fixture: &Fixture, target: TableId, sources: &[TableId], code: u8) -> Txn {
    let head = fixture.head().await;
    let column = |source: &TableId| ColumnEdge {
        source: (*source, FieldId(3)),
        target: (target, FieldId(3)),
        kind: ColumnKind::Transformation,
    };
    let columns = Some(sources.iter().map(column).collect());
    let input = |source: &TableId| Input { node: source.to_string(), to: Some(head.to_string()), from: None };
    let facts = Facts {
        operation: "insert".into(),
        inputs: sources.iter().map(input).collect(),
        code: Some(Code { id: [code; 32], text: format!("code {code}"), columns, deterministic: None }),
        ..Facts::default()
    };
    let ops = vec![Op::Append { files: vec![fixture.file(10)] }];
    let change = TableChange { table: target, base: head, read: ReadSet::None, ops };
    let commit = Commit { facts, tables: vec![change], ..fixture.commit() };
    fixture.catalog.apply(commit).await.expect("applied").txn
}

fn request(at: Txn, direction: Direction) -> WalkRequest {
    WalkRequest { at, directions: vec![direction], depth: 100, nodes_max: 1_000 }
}

/// Ends, commits and rows of the edges downstream.
async fn downstream(fixture: &Fixture, from: TableId, at: Txn) -> Vec<(String, i64, i64)> {
    let asked = request(at, Direction::Downstream);
    let walk = fixture.catalog.walk_lineage(&fixture.scope, &from.to_string(), asked).await.expect("walked");
    assert!(!walk.truncated);
    let shown = |met: &cenote_catalog::WalkedEdge<cenote_catalog::LineageEdge>| {
        (
            format!("{} {}-{}", met.hop, met.edge.source, met.edge.target),
            met.edge.commits,
            met.edge.rows_written,
        )
    };
    walk.edges.iter().map(shown).collect()
}

pub(crate) async fn the_graph_in_memory_follows_every_commit(fixture: Fixture) {
    let (a, b, c) = (fixture.create("a").await, fixture.create("b").await, fixture.create("c").await);
    let edge = |hop: u32, source: TableId, target: TableId| format!("{hop} {source}-{target}");
    assert!(downstream(&fixture, a, fixture.head().await).await.is_empty());
    let first = derive(&fixture, b, &[a], 1).await;
    assert_eq!(downstream(&fixture, a, first).await, [(edge(1, a, b), 1, 10)]);
    let second = derive(&fixture, c, &[b], 2).await;
    let again = derive(&fixture, b, &[a], 1).await;
    let whole = [(edge(1, a, b), 2, 20), (edge(2, b, c), 1, 10)];
    assert_eq!(downstream(&fixture, a, again).await, whole, "the edge that was known is counted on");
    assert_eq!(downstream(&fixture, a, first).await.len(), 1, "before the second there was one");
    assert_eq!(downstream(&fixture, a, Txn(second.0 - 1)).await.len(), 1);

    // A cycle, and another code between tables that are joined already.
    let cycle = derive(&fixture, a, &[c], 3).await;
    let other = derive(&fixture, b, &[a], 4).await;
    let met = downstream(&fixture, a, other).await;
    let ends: Vec<&str> = met.iter().map(|(ends, ..)| ends.as_str()).collect();
    assert_eq!(ends, [edge(1, a, b), edge(1, a, b), edge(2, b, c), edge(3, c, a)]);
    assert_eq!(downstream(&fixture, c, cycle).await.len(), 3);

    // What is read anew is the same, and so is what another process sees.
    if fixture.durable {
        let before = downstream(&fixture, a, other).await;
        let stranger = fixture.other("node-2").await;
        let asked = request(other, Direction::Downstream);
        let seen = stranger.walk_lineage(&fixture.scope, &a.to_string(), asked).await.expect("walked");
        assert_eq!(seen.edges.len(), before.len());
        let later = derive(&fixture, c, &[a], 5).await;
        let asked = request(later, Direction::Upstream);
        let seen = stranger.walk_lineage(&fixture.scope, &c.to_string(), asked).await.expect("walked");
        assert!(seen.edges.iter().any(|met| *met.edge.source == *a.to_string() && met.hop == 1), "{seen:?}");
    }
    let head = fixture.head().await;
    let (start, asked) = (a.to_string(), request(Txn(head.0 + 1), Direction::Upstream));
    let future = fixture.catalog.walk_lineage(&fixture.scope, &start, asked).await;
    assert!(future.is_err(), "a transaction that is not there");
}

pub(crate) async fn columns_are_walked_as_they_were_at_a_transaction(fixture: Fixture) {
    let (a, b, c) = (fixture.create("a").await, fixture.create("b").await, fixture.create("c").await);
    let first = derive(&fixture, b, &[a], 1).await;
    let (start, catalog) = ((a, FieldId(3)), &fixture.catalog);
    let walk = async |at: Txn| -> Walk<ColumnEdge> {
        catalog.walk_columns(&fixture.scope, start, request(at, Direction::Downstream)).await.expect("walked")
    };
    assert_eq!(walk(first).await.edges.len(), 1);
    let second = derive(&fixture, c, &[b], 2).await;
    derive(&fixture, c, &[b], 2).await;
    assert_eq!((walk(second).await.edges.len(), walk(first).await.edges.len()), (2, 1));
    let pairs = async |at: Txn, pairs: &[(TableId, TableId)]| {
        let pairs = pairs.iter().copied().collect();
        catalog.columns_between(&fixture.scope, at, pairs).await.expect("read").len()
    };
    assert_eq!(pairs(second, &[(a, b), (b, c), (a, c)]).await, 2);
    assert_eq!(pairs(second, &[(a, c)]).await, 0);
    assert_eq!(pairs(first, &[(b, c)]).await, 0);
}
