//! The shell's history: kept in a file of its owner, without lines that hold a secret.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use reedline::{
    FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId, Result, SearchQuery,
};

const LINES_MAX: usize = 10_000;

/// A file-backed history that forgets secrets before they are saved.
pub(super) struct CarefulHistory(FileBackedHistory);

impl CarefulHistory {
    /// `$XDG_STATE_HOME/cenote/history`, 0600; `None` if there is no place for it.
    pub(super) fn open() -> Option<Self> {
        let state = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
        let directory = state.join("cenote");
        std::fs::create_dir_all(&directory).ok()?;
        let file = directory.join("history");
        std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&file).ok()?;
        FileBackedHistory::with_file(LINES_MAX, file).ok().map(Self)
    }
}

/// True for a line that must not be kept: it starts with a space or holds a token or password.
fn is_private(line: &str) -> bool {
    let upper = line.to_uppercase();
    line.starts_with(' ') || line.contains("cnt_") || upper.contains("PASSWORD") || upper.contains("SECRET")
}

impl History for CarefulHistory {
    fn save(&mut self, item: HistoryItem) -> Result<HistoryItem> {
        if is_private(&item.command_line) { Ok(item) } else { self.0.save(item) }
    }

    fn load(&self, id: HistoryItemId) -> Result<HistoryItem> {
        self.0.load(id)
    }

    fn count(&self, query: SearchQuery) -> Result<i64> {
        self.0.count(query)
    }

    fn search(&self, query: SearchQuery) -> Result<Vec<HistoryItem>> {
        self.0.search(query)
    }

    fn update(&mut self, id: HistoryItemId, updater: &dyn Fn(HistoryItem) -> HistoryItem) -> Result<()> {
        self.0.update(id, updater)
    }

    fn clear(&mut self) -> Result<()> {
        self.0.clear()
    }

    fn delete(&mut self, id: HistoryItemId) -> Result<()> {
        self.0.delete(id)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.0.sync()
    }

    fn session(&self) -> Option<HistorySessionId> {
        self.0.session()
    }
}

#[cfg(test)]
mod tests {
    use super::is_private;

    #[test]
    fn secrets_are_not_kept() {
        assert!(
            is_private("SELECT 'cnt_abc'") && is_private(" SELECT 1") && is_private("SET password = 'x'")
        );
        assert!(!is_private("SELECT 1"));
    }
}
