//! What the program tells of itself: completions, manual pages, a configuration file. None of it reads a configuration.

use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use crate::{
    args::Cli,
    config::{self, Settings},
    context::{Context, Failure},
    output::{Out, say},
    serve,
};

/// The command without what is hidden: the libraries below leave it out in some places only.
fn visible(command: &Command) -> Command {
    // A name is a static text to the library; this process ends when it has printed them.
    let name: &'static str = command.get_name().to_owned().leak();
    let mut seen = Command::new(name).version(env!("CARGO_PKG_VERSION"));
    if let Some(about) = command.get_about() {
        seen = seen.about(about.clone());
    }
    if let Some(about) = command.get_long_about() {
        seen = seen.long_about(about.clone());
    }
    if let Some(help) = command.get_after_help() {
        seen = seen.after_help(help.clone());
    }
    // Their own flags for help and version are made anew.
    let ours = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    seen = seen.args(command.get_arguments().filter(ours).cloned());
    seen.subcommands(command.get_subcommands().filter(|below| !below.is_hide_set()).map(visible))
}

/// `completions`.
///
/// # Errors
/// When stdout fails.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut text = vec![];
    clap_complete::generate(shell, &mut visible(&Cli::command()), "longhaul", &mut text);
    Ok(Out::default().bytes(&text).map(|()| 0)?)
}

/// `man`.
///
/// # Errors
/// When the pages cannot be written.
pub(crate) fn man(folder: &Path) -> Result<u8, Failure> {
    let written =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(visible(&Cli::command()), folder));
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

/// `config check`: what was read already could be read; here is what its values mean to a gateway and an agent.
///
/// # Errors
/// With what cannot be used.
pub(crate) fn check(context: &Context) -> Result<u8, Failure> {
    serve::gateway_options(context)?;
    serve::check_roots(context)?;
    let (config, mut out) = (&context.config, Out::default());
    for (key, _, value) in config.settings.show() {
        let (Some(value), Some(origin)) = (value, config.origins.get(key)) else { continue };
        let value = if Settings::SECRETS.contains(&key) { "(not shown)".to_owned() } else { value };
        out.text(&format!("{key} = {value} ({origin})\n"))?;
    }
    match &config.file {
        Some(file) => say(&format!("{} can be used", file.display())),
        None => say("there is no configuration file, and what is set can be used"),
    }
    Ok(0)
}
