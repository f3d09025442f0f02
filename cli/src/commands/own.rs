//! What the program tells of itself: completions, manual pages, a configuration file. None of it reads a configuration.

use std::path::Path;

use clap::CommandFactory;

use crate::{args::Cli, config, context::Failure, output::Out};

/// `completions`.
///
/// # Errors
/// When stdout fails.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut text = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "longhaul", &mut text);
    Ok(Out::default().bytes(&text).map(|()| 0)?)
}

/// `man`.
///
/// # Errors
/// When the pages cannot be written.
pub(crate) fn man(folder: &Path) -> Result<u8, Failure> {
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written
        .map(|()| 0)
        .map_err(|error| Failure::system(format!("cannot write manual pages to {}: {error}", folder.display())))
}

/// `config template`.
///
/// # Errors
/// When stdout fails.
pub(crate) fn template() -> Result<u8, Failure> {
    Ok(Out::default().bytes(config::template().as_bytes()).map(|()| 0)?)
}
