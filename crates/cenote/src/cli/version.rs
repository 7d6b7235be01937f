//! `cenote version`.

use clap::Args;

use super::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

const FEATURES: &[(&str, bool)] =
    &[("s3", cfg!(feature = "s3")), ("failpoints", cfg!(feature = "failpoints"))];

#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn run(arguments: &VersionArgs) -> Result<(), Failure> {
    let features: Vec<&str> = FEATURES.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    if arguments.json {
        let version = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "features": features,
            "data_format": 1,
            "catalogs": ["sqlite", "postgresql"],
        });
        println!("{version}");
    } else {
        println!("cenote {}", env!("CARGO_PKG_VERSION"));
        println!("features: {}", features.join(", "));
        println!("data format 1; catalogs: sqlite, postgresql");
    }
    Ok(())
}
