//! Keys of the sections `compaction`, `retention`, `flow` and `metadata` of the configuration.

use std::time::Duration;

/// How much runs by itself. Defaults of tables are [`TableOptions`](cenote_table::TableOptions).
#[derive(Clone, Debug)]
pub struct FlowOptions {
    /// `compaction.jobs_max`: partitions that are merged at a time, at least 1.
    pub compaction_jobs_max: u32,
    /// `retention.enabled`
    pub retention_enabled: bool,
    /// `flow.history_keep`: how long ended runs are listed.
    pub history_keep: Duration,
    /// `metadata.publish_interval`: how often metadata is published at most; zero: not by itself.
    pub publish_interval: Duration,
}

impl Default for FlowOptions {
    fn default() -> Self {
        Self {
            compaction_jobs_max: 2,
            retention_enabled: true,
            history_keep: Duration::from_secs(90 * 86_400),
            publish_interval: Duration::from_secs(30),
        }
    }
}
