//! Rows per second of the two formats that carry the load: `cargo bench -p cenote-codec`.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use cenote_codec::{Decoded, Limits, Nothing, Precision, line_protocol, message_pack};
use cenote_vocab::Micros;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Numbers that differ from each other and are the same in every run.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn two_decimals(&mut self) -> f64 {
        self.below(10_000) as f64 / 100.0
    }
}

const START: i64 = 1_700_000_000_000_000_000;

/// As TSBS writes "cpu-only": ten tags, ten fields, about 340 bytes a line.
fn tsbs_cpu(lines: u64) -> String {
    const FIELDS: [&str; 10] = [
        "usage_user",
        "usage_system",
        "usage_idle",
        "usage_nice",
        "usage_iowait",
        "usage_irq",
        "usage_softirq",
        "usage_steal",
        "usage_guest",
        "usage_guest_nice",
    ];
    let (mut body, mut numbers) = (String::new(), Sequence(1));
    for line in 0..lines {
        let host = line % 100;
        write!(
            body,
            "cpu,hostname=host_{host},region=eu-central-1,datacenter=eu-central-1a,rack={},os=Ubuntu15.10,arch=x86,\
             team=SF,service={},service_version=1,service_environment=test",
            host % 7,
            host % 19
        )
        .expect("memory");
        for (index, field) in FIELDS.iter().enumerate() {
            let separator = if index == 0 { ' ' } else { ',' };
            write!(body, "{separator}{field}={}", numbers.two_decimals()).expect("memory");
        }
        writeln!(body, " {}", START + line as i64 * 10_000_000).expect("memory");
    }
    body
}

/// Four measurements in turn, one tag, three fields: the payload of the ingest page.
fn four_measurements(lines: u64) -> String {
    let (mut body, mut numbers) = (String::new(), Sequence(2));
    for line in 0..lines {
        writeln!(
            body,
            "{},host=server_{} value={},cpu_idle={},cpu_user={} {}",
            ["cpu", "mem", "disk", "net"][(line % 4) as usize],
            numbers.below(1000),
            numbers.two_decimals(),
            numbers.two_decimals(),
            numbers.two_decimals(),
            START + line as i64 * 1000
        )
        .expect("memory");
    }
    body
}

/// One columnar item: times, hosts and three columns of doubles.
fn columnar(rows: u64) -> Vec<u8> {
    let (mut body, mut numbers) = (Vec::new(), Sequence(3));
    let text = |body: &mut Vec<u8>, text: &str| {
        body.push(0xa0 | text.len() as u8);
        body.extend_from_slice(text.as_bytes());
    };
    let array = |body: &mut Vec<u8>| {
        body.push(0xdd);
        body.extend_from_slice(&(rows as u32).to_be_bytes());
    };
    body.push(0x82);
    text(&mut body, "m");
    text(&mut body, "cpu");
    text(&mut body, "columns");
    body.push(0x85);
    text(&mut body, "time");
    array(&mut body);
    for row in 0..rows {
        body.push(0xd3);
        body.extend_from_slice(&(START / 1000 + row as i64).to_be_bytes());
    }
    text(&mut body, "host");
    array(&mut body);
    for _ in 0..rows {
        text(&mut body, &format!("server_{}", numbers.below(1000)));
    }
    for name in ["value", "cpu_idle", "cpu_user"] {
        text(&mut body, name);
        array(&mut body);
        for _ in 0..rows {
            body.push(0xcb);
            body.extend_from_slice(&numbers.two_decimals().to_be_bytes());
        }
    }
    body
}

fn decode_lines(body: &str) -> Decoded {
    let options = line_protocol::Options {
        precision: Precision::Nanosecond,
        received: Micros(0),
        limits: Limits::default(),
    };
    line_protocol::decode(body.as_bytes(), &options, &Nothing).expect("good lines")
}

fn decode_items(body: &[u8]) -> Decoded {
    let options = message_pack::Options {
        precision: None,
        received: Micros(0),
        accept_partial: false,
        limits: Limits::default(),
    };
    message_pack::decode(body, &options).expect("good items")
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for rows in [1_000, 10_000] {
        group.throughput(Throughput::Elements(rows));
        for (name, body) in [("tsbs_cpu", tsbs_cpu(rows)), ("four_measurements", four_measurements(rows))] {
            assert_eq!(decode_lines(&body).rows(), rows);
            group.bench_function(format!("line_protocol/{name}/{rows}"), |bencher| {
                bencher.iter(|| decode_lines(black_box(&body)));
            });
        }
        let body = columnar(rows);
        assert_eq!(decode_items(&body).rows(), rows);
        group.bench_function(format!("message_pack/columnar/{rows}"), |bencher| {
            bencher.iter(|| decode_items(black_box(&body)));
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
