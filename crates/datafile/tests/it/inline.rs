//! Rows that need no object.

use cenote_datafile::{decode_inline, encode_inline, read_inline};

use super::*;

#[tokio::test]
async fn an_inline_batch_answers_what_a_file_of_the_same_rows_answers() {
    let store = Store::memory();
    let (schema, batch) = every_type();
    let file =
        write(&store, options(&schema, Level::Fresh), std::slice::from_ref(&batch)).await.unwrap().unwrap();
    let (payload, known) = encode_inline(&batch, &options(&schema, Level::Fresh)).unwrap();
    assert_eq!((known.rows, &known.statistics), (file.rows, &file.statistics));

    let vector: DeletionVector = [1].into_iter().collect();
    for vector in [None, Some(vector)] {
        let from_file = read(&store, &stored(&file), 3, &schema, vector.clone()).await.unwrap();
        let stored = decode_inline("a batch", &payload, 3).unwrap();
        let rows = RowSet::live(vector.map(Arc::new));
        assert_eq!(read_inline("a batch", &stored, &schema, &rows).unwrap(), from_file);
    }
}

#[test]
fn a_null_where_none_may_be_is_refused() {
    let schema = schema(vec![Field { required: true, ..field(1, "n", FieldType::Int32) }]);
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![None, Some(1)]))];
    let nullable = arrow::datatypes::Schema::new(
        arrow_schema(&schema)
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect::<Vec<_>>(),
    );
    let batch = RecordBatch::try_new(Arc::new(nullable), columns).unwrap();
    let refused = encode_inline(&batch, &options(&schema, Level::Fresh));
    assert!(matches!(refused, Err(Error::RowsDoNotFit { .. })), "{refused:?}");
}
