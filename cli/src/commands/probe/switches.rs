//! The switches that follow from answers, in the configuration file.
//!
//! There is one: where gathering changes something of the user's, it is switched off (`results = false`). The file is changed in
//! that line alone, and read again before it takes the old one's place.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use longhaul_proto::durable;

use crate::context::Context;

/// What became of a switch, in words.
pub(super) fn switch_results_off(context: &Context) -> String {
    match context.config.settings.results {
        Some(false) => return "`results` is false already".to_owned(),
        Some(true) if !matches!(context.config.origin("results"), Some(crate::config::Origin::File(_))) => {
            return "set `results` to false where it is set now: a variable or flag is stronger than the file"
                .to_owned();
        }
        _ => {}
    }
    let Some(file) = context.config.file.clone().or_else(|| own_file(context)) else {
        return "put `results = false` into the configuration".to_owned();
    };
    match change(&file) {
        Ok(()) => {
            "`results = false` is in the configuration now: agents that start from here gather no results".to_owned()
        }
        Err(error) => format!("put `results = false` into the configuration; it could not be done here: {error}"),
    }
}

/// Where this user's file is looked for.
fn own_file(context: &Context) -> Option<PathBuf> {
    let folder = context.env.path("XDG_CONFIG_HOME").or_else(|| Some(context.env.path("HOME")?.join(".config")))?;
    Some(folder.join("longhaul/config.toml"))
}

fn change(file: &Path) -> io::Result<()> {
    let before = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let after = with_results_off(&before);
    let read: toml::Table = after.parse().map_err(io::Error::other)?;
    if read.get("results") != Some(&toml::Value::Boolean(false)) {
        return Err(io::Error::other("the line could not be placed"));
    }
    if let Some(folder) = file.parent().filter(|folder| !folder.exists()) {
        durable::create_folder(folder)?;
    }
    durable::replace(file, after.as_bytes())
}

/// The text with the switch: in place of the line that sets it, or before everything else, above any table.
fn with_results_off(text: &str) -> String {
    const LINE: &str = "results = false    # set by `longhaul doctor --probe`";
    let sets = |line: &str| {
        let rest = line.trim_start().strip_prefix("results").map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with('='))
    };
    let top = text.lines().take_while(|line| !line.trim_start().starts_with('['));
    match top.enumerate().find(|(_, line)| sets(line)) {
        Some((at, _)) => {
            let lines = text.lines().enumerate().map(|(n, line)| if n == at { LINE } else { line });
            lines.map(|line| format!("{line}\n")).collect()
        }
        None => format!("{LINE}\n{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_that_line_is_changed() {
        let check = |before: &str, want: &str| {
            let after = with_results_off(before);
            assert_eq!(after.replace("    # set by `longhaul doctor --probe`", ""), want);
            let read: toml::Table = after.parse().unwrap();
            assert_eq!(read["results"].as_bool(), Some(false));
        };
        check("", "results = false\n");
        check("seats = 2\n", "results = false\nseats = 2\n");
        check("seats = 2\nresults=true # x\n# y\n", "seats = 2\nresults = false\n# y\n");
        check("# results = true\n", "results = false\n# results = true\n");
        check("[labels]\nresults = \"a\"\n", "results = false\n[labels]\nresults = \"a\"\n");
    }

    #[test]
    fn a_file_is_made_or_changed_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("longhaul/config.toml");
        change(&file).unwrap();
        assert!(fs::read_to_string(&file).unwrap().starts_with("results = false"));
        fs::write(&file, "seats = \n").unwrap();
        assert!(change(&file).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "seats = \n", "what cannot be read stays");
    }
}
