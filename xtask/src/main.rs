//! Tasks of the checkout: `cargo xtask test`, `cargo xtask tidy`.

mod test;
mod tidy;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first().map(|(task, rest)| (task.as_str(), rest)) {
        Some(("test", rest)) => test::run(rest),
        Some(("tidy", [])) => tidy::run(),
        _ => bail!("usage: cargo xtask test [nextest arguments] | tidy"),
    }
}
