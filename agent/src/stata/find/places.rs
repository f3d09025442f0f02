//! Where Stata is usually installed, one table for each operating system. Each row says who installs it there.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The operating systems whose layouts are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Linux.
    Linux,
    /// macOS, where a Stata is a bundle.
    MacOs,
}

impl System {
    /// The one of this program.
    pub const OWN: Self = if cfg!(target_os = "macos") { Self::MacOs } else { Self::Linux };
}

impl Default for System {
    fn default() -> Self {
        Self::OWN
    }
}

/// Folders that may hold a console executable, or a bundle that does.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// A path from the root, or from the home (`~`). Within a part, `*` at its end stands for any characters, and large and
    /// small letters are the same; `#` is a name that begins with a digit.
    pub pattern: &'static str,
    /// Who installs it there, or looks for it there; public sources.
    pub source: &'static str,
}

const fn row(pattern: &'static str, source: &'static str) -> Row {
    Row { pattern, source }
}

/// Linux. Clusters that use `module load stata/17` put the folder on PATH, which is searched before.
pub const LINUX: &[Row] = &[
    row(
        "/usr/local/stata*",
        "StataCorp's installation guide for Unix; docker-stata of the AEA data editor has statanow19",
    ),
    row("/usr/local/stata/#", "several releases side by side, as university computing pages describe them"),
    row("/usr/local/stata/stata*", "the same, each with its whole name"),
    row("/opt/stata*", "stacy, src/executor/binary.rs; mcp-stata, discovery.py"),
    row("/opt/stata/#", "as below /usr/local"),
    row("/opt/stata/stata*", "as below /usr/local"),
    row("/usr/local/bin", "links to the executables; the finder of mcp-for-stata looks here alone"),
    row("~/stata*", "a user without root's rights; mcp-stata, discovery.py"),
    row("~/stata/#", "as below /usr/local"),
];

/// macOS.
pub const MAC_OS: &[Row] = &[
    row("/Applications/StataNow*/Stata*.app", "StataCorp's installer of StataNow"),
    row("/Applications/Stata*/Stata*.app", "StataCorp's installer: /Applications/Stata, or `Stata 18` beside another"),
    row("/Applications/Stata*.app", "a bundle that was moved out of its folder; mcp-stata, discovery.py"),
    row("~/Applications/Stata*/Stata*.app", "an installation for one user"),
    row("~/Applications/Stata*.app", "the same"),
    row("/usr/local/bin", "links that Stata's menu `Install terminal utility` makes"),
];

/// The table of a system.
pub fn table(system: System) -> &'static [Row] {
    match system {
        System::Linux => LINUX,
        System::MacOs => MAC_OS,
    }
}

impl Row {
    /// The folders that there are, in the order of their names.
    pub fn folders(&self, root: &Path, home: Option<&Path>) -> Vec<PathBuf> {
        let (mut found, parts) = match (self.pattern.strip_prefix("~/"), home) {
            (Some(parts), Some(home)) => (vec![home.to_owned()], parts),
            (Some(_), None) => return vec![],
            (None, _) => (vec![root.to_owned()], self.pattern.trim_start_matches('/')),
        };
        for part in parts.split('/') {
            found = found.iter().flat_map(|folder| below(folder, part)).collect();
        }
        found
    }
}

fn below(folder: &Path, part: &str) -> Vec<PathBuf> {
    if !part.contains(['*', '#']) {
        let one = folder.join(part);
        return if one.is_dir() { vec![one] } else { vec![] };
    }
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let fits = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| fits(name, part));
    let mut found: Vec<PathBuf> = entries.flatten().filter(fits).map(|e| e.path()).filter(|p| p.is_dir()).collect();
    found.sort();
    found
}

fn fits(name: &str, part: &str) -> bool {
    let name = name.to_ascii_lowercase();
    match part.to_ascii_lowercase().split_once('*') {
        Some((begin, end)) => name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end),
        None => name.starts_with(|c: char| c.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(fits("Stata 18", "stata*") && fits("statanow19", "stata*") && !fits("mystata", "stata*"));
        assert!(fits("StataMP.app", "Stata*.app") && !fits("StataMP", "Stata*.app"));
        assert!(fits("18", "#") && !fits("stata18", "#"));
        for row in LINUX.iter().chain(MAC_OS) {
            assert!(row.pattern.starts_with(['/', '~']) && row.source.len() > 5, "{row:?}");
        }
    }
}
