//! `cenote`: the binary. See `cenote --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything speaks TLS: two providers in one process would panic at run time.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    cenote::cli::run()
}
