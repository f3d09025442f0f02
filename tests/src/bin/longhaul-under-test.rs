//! The program as people install it, built by cargo for the tests of this crate.

fn main() -> std::process::ExitCode {
    longhaul::main()
}
