//! The one program people install.

fn main() -> std::process::ExitCode {
    longhaul::main()
}
