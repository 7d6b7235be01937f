//! This machine's CPU, memory, disk and network, from `/proc`, as line protocol.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cenote_vocab::Micros;

use crate::cli::failure::Failure;

/// Sectors of `/proc/diskstats` have 512 bytes, whatever the device says.
const SECTOR_BYTES: u64 = 512;

/// Counters of the last reading: rates are differences.
pub(super) struct Readings {
    host: String,
    cpu: BTreeMap<String, Cpu>,
}

#[derive(Clone, Copy, Default)]
struct Cpu {
    busy: u64,
    total: u64,
}

impl Readings {
    /// Reads the counters once, so that the next reading has something to differ from.
    pub(super) fn begin() -> Result<Self, Failure> {
        let host = read("/proc/sys/kernel/hostname")?.trim().to_owned();
        Ok(Self { host, cpu: parse_cpu(&read("/proc/stat")?) })
    }

    /// All readings of this instant.
    pub(super) fn line_protocol(&mut self, at: Micros) -> Result<String, Failure> {
        let host = escape(&self.host);
        let mut lines = String::new();
        let cpu = parse_cpu(&read("/proc/stat")?);
        for (name, now) in &cpu {
            let before = self.cpu.get(name).copied().unwrap_or_default();
            let total = now.total.saturating_sub(before.total);
            let busy = percent(now.busy.saturating_sub(before.busy), total);
            push(&mut lines, format_args!("cpu,host={host},cpu={name} busy={busy} {at}", at = at.0));
        }
        self.cpu = cpu;
        let memory = parse_memory(&read("/proc/meminfo")?);
        let of = |name: &str| memory.get(name).copied().unwrap_or(0);
        let (total, available) = (of("MemTotal"), of("MemAvailable"));
        push(
            &mut lines,
            format_args!(
                "memory,host={host} total_bytes={total}i,available_bytes={available}i,used={used} {at}",
                used = percent(total.saturating_sub(available), total),
                at = at.0
            ),
        );
        for (device, [read_sectors, written_sectors]) in parse_disks(&read("/proc/diskstats")?) {
            push(
                &mut lines,
                format_args!(
                    "disk,host={host},device={} read_bytes={}i,written_bytes={}i {}",
                    escape(&device),
                    read_sectors * SECTOR_BYTES,
                    written_sectors * SECTOR_BYTES,
                    at.0
                ),
            );
        }
        for (interface, [received, sent]) in parse_network(&read("/proc/net/dev")?) {
            push(
                &mut lines,
                format_args!(
                    "network,host={host},interface={} received_bytes={received}i,sent_bytes={sent}i {}",
                    escape(&interface),
                    at.0
                ),
            );
        }
        Ok(lines)
    }
}

fn push(lines: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(lines, "{line}").expect("writing to a string");
}

fn read(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::other(format!("{path}: {error}; the demo needs Linux")))
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1000.0).round() / 10.0 }
}

fn escape(tag: &str) -> String {
    tag.replace(' ', "\\ ").replace(',', "\\,").replace('=', "\\=")
}

fn numbers(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split_whitespace().map(|word| word.parse().unwrap_or(0))
}

fn parse_cpu(stat: &str) -> BTreeMap<String, Cpu> {
    stat.lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| name.starts_with("cpu"))
        .map(|(name, counters)| {
            let counters: Vec<u64> = numbers(counters).take(8).collect();
            let total: u64 = counters.iter().sum();
            let idle: u64 = counters.iter().skip(3).take(2).sum();
            let name = if name == "cpu" { "all" } else { name };
            (name.to_owned(), Cpu { busy: total - idle, total })
        })
        .collect()
}

fn parse_memory(meminfo: &str) -> BTreeMap<String, u64> {
    meminfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, kibibytes)| (name.to_owned(), numbers(kibibytes).next().unwrap_or(0) * 1024))
        .collect()
}

fn parse_disks(diskstats: &str) -> Vec<(String, [u64; 2])> {
    diskstats
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = *words.get(2)?;
            let sectors = [words.get(5)?.parse().ok()?, words.get(9)?.parse().ok()?];
            (!name.starts_with("loop") && !name.starts_with("ram")).then(|| (name.to_owned(), sectors))
        })
        .collect()
}

fn parse_network(dev: &str) -> Vec<(String, [u64; 2])> {
    dev.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, counters)| {
            let counters: Vec<u64> = numbers(counters).collect();
            let at = |n: usize| counters.get(n).copied().unwrap_or(0);
            (name.trim().to_owned(), [at(0), at(8)])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_proc_are_read() {
        let cpu = parse_cpu("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 0 1 8 0 0 0 0 0 0\nintr 5\n");
        assert_eq!((cpu["all"].busy, cpu["all"].total, cpu.len()), (20, 100, 2));
        assert_eq!(parse_memory("MemTotal:  2 kB\n")["MemTotal"], 2048);
        assert_eq!(
            parse_disks(" 254 0 vda 1 2 30 4 5 6 70 8\n 7 0 loop0 1 2 3 4 5 6 7 8\n"),
            [("vda".to_owned(), [30, 70])]
        );
        assert_eq!(parse_network("  lo: 5 1 0 0 0 0 0 0 9 1\n"), [("lo".to_owned(), [5, 9])]);
    }
}
