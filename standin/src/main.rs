//! The stand-in alone, for tests and for use without the rest of Longhaul.

use std::process::ExitCode;

fn main() -> ExitCode {
    longhaul_standin::main(std::env::args_os().skip(1).collect())
}
