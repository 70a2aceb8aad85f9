//! `percloud-runtime`: one percloud, under a provider or at home.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenant_runtime::cli::main()
}
