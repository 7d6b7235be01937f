//! Rows on which an expression below state fails: looked for once an epoch has failed, and left out as the source says.
//!
//! What is above state has no row of its own to blame: that fails the epoch.

use cenote_connect::{BadRow, RowPlace, RowPlaces};
use cenote_vocab::{ErrorKind, Fault};

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;

use super::cut::refuse;
use super::{Cut, Ran, Run};
use crate::Error;
use crate::epoch::Executor;
use crate::feed::{FeedId, Feeds};
use crate::intake::{shown, without_time};
use crate::options::BadData;
use crate::streams::SourceKind;

/// Where the rows of a source stand that an epoch takes.
#[derive(Debug)]
pub(super) struct Taken {
    /// The source, by number.
    pub(super) planned: usize,
    /// The rows of each batch that was read, and how many it has.
    pub(super) batches: Vec<(RowPlaces, usize)>,
    /// Rows of them that were left out.
    pub(super) left_out: Vec<RowPlace>,
}

impl Taken {
    /// Where the rows stand that were not left out.
    fn places(&self) -> impl Iterator<Item = RowPlace> + '_ {
        let of_batch = |(places, rows): &(RowPlaces, usize)| {
            let places = places.clone();
            (0..*rows).map(move |at| places.row(at))
        };
        self.batches.iter().flat_map(of_batch).filter(|place| !self.left_out.contains(place))
    }
}

impl Run {
    /// What the epoch gives. Rows that fail an expression below state are bad ones.
    pub(super) async fn run_without_bad(&self, cut: &mut Cut) -> Result<Ran, Error> {
        match self.run(cut).await {
            Err(error) if is_of_rows(&error) => match self.leave_out(cut).await? {
                0 => Err(error),
                _ => self.run(cut).await,
            },
            ran => ran,
        }
    }

    /// Takes bad rows out of the cut; answers how many there were.
    async fn leave_out(&self, cut: &mut Cut) -> Result<u64, Error> {
        let executor = self.executor();
        let mut count = 0;
        for taken in &cut.taken {
            let source = &self.plan.sources[taken.planned];
            // Of a row that comes and goes both would have to be left out.
            if matches!(source.kind, SourceKind::Lake(..)) || source.is_changelog() {
                continue;
            }
            let mut places = taken.places();
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            for batch in cut.feeds.rows(source.feed) {
                let reasons = self.failures(&executor, source.feed, batch).await?;
                let kept: BooleanArray = reasons.iter().map(|reason| Some(reason.is_none())).collect();
                for (at, reason) in reasons.into_iter().enumerate() {
                    let place = places.next();
                    if let (Some(reason), Some(place)) = (reason, place) {
                        bad.push(BadRow::new(
                            place,
                            shown(&without_time(&batch.slice(at, 1))).as_bytes(),
                            reason,
                        ));
                    }
                }
                good.push(filter_record_batch(batch, &kept)?);
            }
            drop(places);
            count += bad.len() as u64;
            match self.bad_data(source) {
                BadData::Drop => {}
                BadData::Table => cut.bad.extend(bad.into_iter().map(|row| (source.name.clone(), row))),
                BadData::Fail => refuse(&source.name, &bad)?,
            }
            cut.feeds.set(source.feed, good);
        }
        cut.standing.rows_bad += count;
        Ok(count)
    }

    /// Why each row fails, if it does: halves are tried until a row is alone.
    async fn failures(
        &self,
        executor: &Executor<'_>,
        feed: FeedId,
        batch: &RecordBatch,
    ) -> Result<Vec<Option<String>>, Error> {
        let mut reasons = vec![None; batch.num_rows()];
        let mut open = vec![(0, batch.num_rows())];
        while let Some((from, rows)) = open.pop() {
            match self.try_rows(executor, feed, batch.slice(from, rows)).await {
                Ok(()) => {}
                Err(Error::Plan(error)) if rows == 1 => reasons[from] = Some(error.strip_backtrace()),
                Err(error) if is_of_rows(&error) => {
                    let half = rows / 2;
                    open.extend([(from + half, rows - half), (from, half)]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(reasons)
    }

    /// Runs whatever reads the source itself over some of its rows.
    async fn try_rows(&self, executor: &Executor<'_>, feed: FeedId, rows: RecordBatch) -> Result<(), Error> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mut feeds = Feeds::default();
        feeds.set(feed, vec![rows]);
        for plan in self.plan.below_state() {
            executor.run(plan, &feeds).await?;
        }
        Ok(())
    }
}

/// True if a value may be the reason.
fn is_of_rows(error: &Error) -> bool {
    matches!(error, Error::Plan(_)) && error.kind() == ErrorKind::Invalid
}
