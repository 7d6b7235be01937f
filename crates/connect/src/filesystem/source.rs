//! Reads files in the order of their paths. A position says which are read, and where the reader stands in the next.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use cenote_codec::record::AtBad;
use cenote_vocab::{Clock, Micros};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::IN_PROGRESS;
use super::options::FilesystemSourceOptions;
use super::sink::stored;
use crate::connector::Column;
use crate::file_reader::{FilePlace, FileReader};
use crate::{Error, Pulled, Reach, Source, Wanted};

/// Names that a position remembers where new files are looked for.
const SEEN_MAX: usize = 100_000;

/// Where the reader stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// Without looking for new files: all up to this one are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// Looking for new files: these are read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    seen: BTreeSet<String>,
    /// The one that is being read, and where in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<(String, u64, u64)>,
}

/// The reader of files.
pub struct FilesystemSource {
    name: String,
    shown: String,
    objects: Arc<dyn ObjectStore>,
    options: FilesystemSourceOptions,
    reach: Reach,
    reader: FileReader,
    clock: Clock,
    /// Paths of all files in their order, and when they were listed.
    listed: Option<(Micros, Vec<String>)>,
}

impl FilesystemSource {
    /// `Denied` if the place is out of reach, `Missing` if it is not there.
    pub fn open(
        name: &str,
        options: &FilesystemSourceOptions,
        columns: &[Column],
        at_bad: AtBad,
        clock: Clock,
        reach: &Reach,
    ) -> Result<Self, Error> {
        let objects = options.location.objects(name, reach)?;
        let format = (options.format.clone(), options.compression);
        let reader = FileReader::new(name, objects.clone(), format, columns, at_bad)?;
        let shown = options.location.shown().to_owned();
        Ok(Self {
            name: name.to_owned(),
            shown,
            objects,
            options: options.clone(),
            reach: reach.clone(),
            reader,
            clock,
            listed: None,
        })
    }

    fn place(&self, position: &str) -> Result<Place, Error> {
        if position.is_empty() {
            return Ok(Place::default());
        }
        serde_json::from_str(position)
            .map_err(|_| Error::Position { source_name: self.name.clone(), position: position.to_owned() })
    }

    /// The files that are there; looked for again when it is time.
    async fn list(&mut self) -> Result<&[String], Error> {
        let now = self.clock.now();
        let is_old = |listed: Micros| self.options.watch.is_some_and(|every| now.since(listed) >= every);
        if self.listed.as_ref().is_none_or(|(listed, _)| is_old(*listed)) {
            let failed = |error| cenote_store::Error::from_store(&Path::default(), error);
            let mut objects = self.objects.list(None);
            let mut paths = Vec::new();
            while let Some(object) = objects.try_next().await.map_err(failed)? {
                let path = object.location.to_string();
                let is_wanted = !object.location.parts().any(|part| part.as_ref() == IN_PROGRESS)
                    && self.options.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&path));
                if is_wanted {
                    paths.push(path);
                }
            }
            paths.sort_unstable();
            self.listed = Some((now, paths));
        }
        Ok(self.listed.as_ref().map_or(&[], |(_, paths)| paths))
    }

    /// The next file that was not read.
    async fn next_file(&mut self, place: &Place) -> Result<Option<String>, Error> {
        let watches = self.options.watch.is_some();
        let paths = self.list().await?;
        Ok(match watches {
            true => paths.iter().find(|path| !place.seen.contains(*path)).cloned(),
            false => {
                let at = place.after.as_ref().map_or(0, |after| paths.partition_point(|path| path <= after));
                paths.get(at).cloned()
            }
        })
    }
}

#[async_trait]
impl Source for FilesystemSource {
    fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }

    fn node(&self) -> String {
        format!("ext:{}", self.shown)
    }

    async fn read(&mut self, from: &str, wanted: Wanted) -> Result<Pulled, Error> {
        let mut place = self.place(from)?;
        let Wanted { rows_max, now, .. } = wanted;
        let mut pulled = Pulled::of(Vec::new(), String::new());
        let mut rows = 0;
        while rows < rows_max {
            let (path, stands) = match place.file.take() {
                Some((path, bytes, rows)) => (path, FilePlace { bytes, rows }),
                None => match self.next_file(&place).await? {
                    Some(path) => (path, FilePlace::default()),
                    None => {
                        pulled.ended = self.options.watch.is_none();
                        break;
                    }
                },
            };
            let file = stored(&path)?;
            self.options.location.check_file(&file, &self.reach)?;
            let part = self.reader.read(&file, stands, rows_max - rows, now).await?;
            rows += usize::try_from(part.place.rows - stands.rows).unwrap_or(usize::MAX);
            let is_bad = !part.bad.is_empty();
            pulled.batches.extend(part.batches);
            pulled.places.extend(part.places);
            pulled.bad.extend(part.bad);
            if !part.at_end {
                place.file = Some((path, part.place.bytes, part.place.rows));
                if is_bad {
                    break;
                }
                continue;
            }
            match self.options.watch {
                None => place.after = Some(path),
                Some(_) if place.seen.len() >= SEEN_MAX => {
                    return Err(Error::Options(format!(
                        "source {} watches more than {SEEN_MAX} files",
                        self.name
                    )));
                }
                Some(_) => drop(place.seen.insert(path)),
            }
        }
        pulled.position = serde_json::to_string(&place).map_err(|error| Error::Position {
            source_name: self.name.clone(),
            position: error.to_string(),
        })?;
        Ok(pulled)
    }

    async fn wait(&self, _from: &str) {
        if let Some(every) = self.options.watch {
            let listed = self.listed.as_ref().map_or(Micros(0), |(listed, _)| *listed);
            let due = listed.plus(every);
            self.clock.pause(due.since(self.clock.now()).max(Duration::from_millis(1))).await;
        }
    }

    async fn committed(&mut self, _position: &str) -> Result<(), Error> {
        Ok(())
    }
}
