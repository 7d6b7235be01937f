//! The protocols by which rows came in. A record of the log says its own, so that lineage knows it after a restart, too.

use crate::Format;

/// Where a section's flags hold the number of its protocol; 0 where a log of an earlier version did not say it.
const SHIFT: u32 = 8;
const MASK: u32 = 0xff;
/// By number, from 1 on. Numbers are in logs: new ones come at the end.
const NAMES: [&str; 4] = ["line_protocol", "message_pack", "json", "csv"];
/// What is said of rows whose record does not say how they came.
const UNTOLD: &str = "log";

/// Some protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Protocols(u8);

impl Protocols {
    /// The one of a request.
    pub(crate) fn of(format: &Format) -> Self {
        Self(1 << number(format))
    }

    /// The one that the flags of a section tell.
    pub(crate) fn of_flags(flags: u32) -> Self {
        let number = (flags >> SHIFT) & MASK;
        Self(1 << if number as usize <= NAMES.len() { number } else { 0 })
    }

    /// These and those.
    pub(crate) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The nodes of lineage that they are.
    pub(crate) fn nodes(self) -> impl Iterator<Item = String> {
        let names = std::iter::once(UNTOLD).chain(NAMES).enumerate();
        let present = names.filter(move |(number, _)| self.0 & (1 << number) != 0);
        present.map(|(_, name)| format!("ingest:{name}"))
    }
}

/// The flags by which a section tells the protocol.
pub(crate) fn flags(format: &Format) -> u32 {
    number(format) << SHIFT
}

fn number(format: &Format) -> u32 {
    match format {
        Format::LineProtocol { .. } => 1,
        Format::MessagePack { .. } => 2,
        Format::Json { .. } => 3,
        Format::Csv { .. } => 4,
    }
}

#[cfg(test)]
mod tests {
    use cenote_codec::Precision;

    use super::*;

    #[test]
    fn flags_tell_the_protocol_and_what_they_do_not_know_is_the_log() {
        let lines = Format::LineProtocol { precision: Precision::Nanosecond };
        let packed = Format::MessagePack { precision: None };
        let told = |flags| Protocols::of_flags(flags).nodes().collect::<Vec<_>>();
        for format in [&lines, &packed] {
            assert_eq!(Protocols::of_flags(flags(format) | 1), Protocols::of(format));
            assert_eq!(told(flags(format)), [format!("ingest:{}", format.name())]);
        }
        assert_eq!((told(1), told(0xff00)), (vec!["ingest:log".to_owned()], vec!["ingest:log".to_owned()]));
        let both = Protocols::of(&packed).and(Protocols::of(&lines));
        assert_eq!(both.nodes().collect::<Vec<_>>(), ["ingest:line_protocol", "ingest:message_pack"]);
    }
}
