//! Metrics as text: OpenMetrics as the library writes it, the older Prometheus text 0.0.4, and flat JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use prometheus_client::registry::Registry;
use serde_json::{Map, Number, Value};

/// Media type of [`open_metrics`].
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Media type of [`text`].
pub(crate) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One metric: its lines of description, then its samples.
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    unit: Option<&'a str>,
    samples: Vec<&'a str>,
}

/// OpenMetrics 1.0, families that several crates share written once.
pub(crate) fn open_metrics(registry: &Registry, tenant: Option<&str>) -> Result<String, std::fmt::Error> {
    let encoded = encoded(registry, tenant)?;
    let mut out = String::with_capacity(encoded.len());
    for family in families(&encoded) {
        writeln!(out, "# HELP {} {}", family.name, family.help)?;
        writeln!(out, "# TYPE {} {}", family.name, family.kind)?;
        if let Some(unit) = family.unit {
            writeln!(out, "# UNIT {} {unit}", family.name)?;
        }
        write_samples(&mut out, &family)?;
    }
    out.push_str("# EOF\n");
    Ok(out)
}

/// Text 0.0.4: counters are described by their samples' name, with `_total`; there is no UNIT and no EOF.
pub(crate) fn text(registry: &Registry, tenant: Option<&str>) -> Result<String, std::fmt::Error> {
    let encoded = encoded(registry, tenant)?;
    let mut out = String::with_capacity(encoded.len());
    for family in families(&encoded) {
        let total = if family.kind == "counter" { "_total" } else { "" };
        let kind = match family.kind {
            "unknown" => "untyped",
            "info" => "gauge",
            kind => kind,
        };
        writeln!(out, "# HELP {}{total} {}", family.name, family.help)?;
        writeln!(out, "# TYPE {}{total} {kind}", family.name)?;
        write_samples(&mut out, &family)?;
    }
    Ok(out)
}

/// One number per metric: the sum over its labels, named without the prefix; of histograms their count and sum.
pub(crate) fn json(registry: &Registry, tenant: Option<&str>) -> Result<Value, std::fmt::Error> {
    let encoded = encoded(registry, tenant)?;
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for family in families(&encoded) {
        for sample in family.samples {
            let name = sample_name(sample);
            let value = sample.rsplit(' ').next().and_then(|text| text.parse::<f64>().ok());
            if let Some(value) = value.filter(|_| !name.ends_with("_bucket")) {
                *sums.entry(name.strip_prefix("cenote_").unwrap_or(name).to_owned()).or_default() += value;
            }
        }
    }
    // Arc's name for the same number
    if let Some(rows) = sums.get("ingest_rows_total").copied() {
        sums.insert("ingest_records_total".into(), rows);
    }
    let number = |value: f64| match value {
        whole if whole.fract() == 0.0 && whole.abs() < 9e15 => Some(Number::from(whole as i64)),
        value => Number::from_f64(value),
    };
    let members =
        sums.into_iter().map(|(name, value)| (name, number(value).map_or(Value::Null, Value::Number)));
    Ok(Value::Object(members.collect::<Map<_, _>>()))
}

/// What the library writes; if a tenant is given, only the samples that name it: those of the node are of all.
fn encoded(registry: &Registry, tenant: Option<&str>) -> Result<String, std::fmt::Error> {
    let mut encoded = String::new();
    prometheus_client::encoding::text::encode(&mut encoded, registry)?;
    let Some(tenant) = tenant else { return Ok(encoded) };
    // a quote inside of a value has a backslash before it, so only labels look so
    let own = format!("tenant=\"{tenant}\"");
    let is_seen = |line: &&str| line.starts_with('#') || line.contains(&own);
    Ok(encoded.lines().filter(is_seen).map(|line| format!("{line}\n")).collect())
}

fn write_samples(out: &mut String, family: &Family<'_>) -> std::fmt::Result {
    family.samples.iter().try_for_each(|sample| writeln!(out, "{sample}"))
}

fn sample_name(sample: &str) -> &str {
    sample.split(['{', ' ']).next().unwrap_or(sample)
}

/// Families in order of first appearance. Two crates may register the same name, such as `connections` by protocol.
fn families(encoded: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    let mut current = 0;
    for line in encoded.lines() {
        let Some(description) = line.strip_prefix("# ") else {
            if let Some(family) = families.get_mut(current) {
                family.samples.push(line);
            }
            continue;
        };
        let mut words = description.splitn(3, ' ');
        let (Some(word), Some(name)) = (words.next(), words.next()) else { continue };
        let rest = words.next().unwrap_or("");
        current = families.iter().position(|family| family.name == name).unwrap_or_else(|| {
            families.push(Family { name, kind: "unknown", help: "", unit: None, samples: Vec::new() });
            families.len() - 1
        });
        let family = &mut families[current];
        match word {
            "HELP" => family.help = rest,
            "TYPE" => family.kind = rest,
            "UNIT" => family.unit = Some(rest),
            _ => {}
        }
    }
    families
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;

    use super::*;
    use crate::metrics::ProtocolLabels;

    fn registry() -> Registry {
        let mut registry = Registry::default();
        let rows = Counter::<u64>::default();
        rows.inc_by(7);
        registry.register("cenote_ingest_rows", "rows stored", rows);
        for protocol in ["http", "postgres"] {
            let connections = Family::<ProtocolLabels, Gauge>::default();
            connections.get_or_create(&ProtocolLabels { protocol }).set(2);
            registry.register("cenote_connections", "open connections", connections);
        }
        let seconds = Histogram::new([0.5]);
        seconds.observe(0.25);
        registry.register("cenote_wal_sync_duration_seconds", "one sync", seconds);
        registry
    }

    #[test]
    fn prometheus_text_names_counters_as_their_samples() {
        insta::assert_snapshot!(text(&registry(), None).expect("text"), @r#"
        # HELP cenote_ingest_rows_total rows stored.
        # TYPE cenote_ingest_rows_total counter
        cenote_ingest_rows_total 7
        # HELP cenote_connections open connections.
        # TYPE cenote_connections gauge
        cenote_connections{protocol="http"} 2
        cenote_connections{protocol="postgres"} 2
        # HELP cenote_wal_sync_duration_seconds one sync.
        # TYPE cenote_wal_sync_duration_seconds histogram
        cenote_wal_sync_duration_seconds_sum 0.25
        cenote_wal_sync_duration_seconds_count 1
        cenote_wal_sync_duration_seconds_bucket{le="0.5"} 1
        cenote_wal_sync_duration_seconds_bucket{le="+Inf"} 1
        "#);
    }

    #[test]
    fn a_tenant_sees_only_its_own_samples() {
        let mut registry = registry();
        let rows = Family::<Vec<(String, String)>, Counter>::default();
        for (tenant, pipeline) in [("default", "p"), ("other", "tenant=\"default\"")] {
            rows.get_or_create(&vec![("tenant".into(), tenant.into()), ("pipeline".into(), pipeline.into())])
                .inc();
        }
        registry.register("cenote_pipeline_rows", "rows", rows);
        let samples = |tenant| {
            let text = text(&registry, tenant).expect("text");
            let own: Vec<String> = text
                .lines()
                .filter(|line| line.starts_with("cenote_pipeline_rows_total{"))
                .map(str::to_owned)
                .collect();
            assert_eq!(text.contains("cenote_ingest_rows_total 7"), tenant.is_none(), "{text}");
            own
        };
        assert_eq!(samples(None).len(), 2);
        assert_eq!(
            samples(Some("default")),
            ["cenote_pipeline_rows_total{tenant=\"default\",pipeline=\"p\"} 1"]
        );
        assert_eq!(samples(Some("third")).len(), 0);
    }

    #[test]
    fn open_metrics_ends_and_json_sums_over_labels() {
        let registry = registry();
        assert!(open_metrics(&registry, None).expect("text").ends_with("# EOF\n"));
        let flat = json(&registry, None).expect("flat");
        assert_eq!(flat["connections"], 4);
        assert_eq!((&flat["ingest_rows_total"], &flat["ingest_records_total"]), (&7.into(), &7.into()));
        assert_eq!(flat["wal_sync_duration_seconds_sum"], 0.25);
    }
}
