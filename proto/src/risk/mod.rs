//! What code names that a person may want to know before it runs: commands of the shell, erased files, installed packages,
//! addresses of the network, Python, plugins.
//!
//! It is a look at words, and **no boundary**: a do-file that wants to hide something can. Comments and texts in quotes are left
//! out, abbreviations and prefixes are known, and a command that is made of macros whose text stands in the code *may* be
//! what it makes. What another do-file on the host does, and what an ado-file does by itself, are not seen.

mod commands;
mod macros;
mod prefixes;
mod reader;
mod rule;
mod words;

use serde::{Deserialize, Serialize};

use crate::{faults, stata_log::commands::behind_condition, wire};

pub use rule::{Confirm, NotARule};
pub use words::{summary, summary_of_kinds};

/// Most that is told of one code: who wants to read more reads the code.
pub const MOST: usize = 20;
/// Longest command that is told, characters.
const COMMAND: usize = 100;

/// What is risky.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RiskKind {
    /// A program of the host runs.
    Shell,
    /// Files or folders are removed.
    Erase,
    /// Packages are installed, updated or removed.
    Install,
    /// Something is read from an address.
    Network,
    /// Python runs.
    Python,
    /// A plugin or Java runs.
    Plugin,
}

impl RiskKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Shell, Self::Erase, Self::Install, Self::Network, Self::Python, Self::Plugin];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Erase => "erase",
            Self::Install => "install",
            Self::Network => "network",
            Self::Python => "python",
            Self::Plugin => "plugin",
        }
    }

    /// The kind of a word; `None` = a later version's.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One risky command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Risk {
    /// What is risky about it.
    pub kind: RiskKind,
    /// The line where it begins, from 1.
    pub line: u32,
    /// The file of a bundle in which it stands; absent = the do-file that is run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// As it is written, in one line, cut where it is long; empty = it is not told here.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// It is made of macros, and may be another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may: bool,
}

/// Who agreed to the risky commands of a run, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Confirmed {
    /// The principal.
    pub by: String,
    /// `argument` (`confirm: true`), or `elicitation`: a person was asked by the MCP client.
    pub how: String,
}

/// The risky commands of some code, in the order in which they stand there, at most [`MOST`].
pub fn of_code(code: &[u8]) -> Vec<Risk> {
    bounded(of_file(code, ""))
}

/// Likewise, of all files of code of a bundle, by their paths in it. `entry` is the one that is run.
pub fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>, entry: &str) -> Vec<Risk> {
    let mut risks = Vec::new();
    for (path, content) in files {
        if path == entry {
            risks.splice(0..0, of_file(content, ""));
        } else if is_code(path) {
            risks.extend(of_file(content, path));
        }
    }
    bounded(risks)
}

/// Whether a file is code of Stata by its name.
pub fn is_code(path: &str) -> bool {
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ["do", "ado", "doh", "mata"].contains(&ending.as_str()))
}

/// All risky commands of one file, `file` in the answers.
fn of_file(code: &[u8], file: &str) -> Vec<Risk> {
    if faults::bug("risks_unseen") {
        return Vec::new();
    }
    // Editors of Windows begin a file with a mark of its encoding, which Stata skips.
    let text = String::from_utf8_lossy(code.strip_prefix(b"\xef\xbb\xbf").unwrap_or(code));
    let mut macros = macros::Macros::default();
    let (mut risks, mut in_mata) = (Vec::new(), false);
    for reader::Command { line, text } in reader::commands(&text) {
        let plain = prefixes::without(&text).unwrap_or(&text);
        let found = if in_mata {
            in_mata = plain.trim_end_matches('}').trim_end() != "end";
            commands::mata(plain).map(|kind| (kind, false))
        } else if let Some(code) = mata(plain) {
            in_mata = code.is_empty();
            commands::mata(code).map(|kind| (kind, false))
        } else {
            macros.note(plain);
            of_command(plain, &macros)
        };
        if let Some((kind, may)) = found {
            risks.push(Risk { kind, line, file: file.to_owned(), command: words::command(&text), may });
        }
    }
    risks
}

/// What is risky about a command without prefixes, and whether it only may be.
fn of_command(command: &str, macros: &macros::Macros) -> Option<(RiskKind, bool)> {
    if let Some(kind) = commands::kind(command) {
        return Some((kind, false));
    }
    let made = macros.made(command);
    if let Some(kind) = made.iter().find_map(|made| commands::kind(prefixes::without(made).unwrap_or(made))) {
        return Some((kind, true));
    }
    let behind = behind_condition(prefixes::condition(command)?, |rest| {
        let plain = prefixes::without(rest).unwrap_or(rest);
        commands::kind(plain).is_some().then_some(plain)
    });
    commands::kind(behind?).map(|kind| (kind, false))
}

/// The code behind `mata:` or `mata`; empty = a block follows.
fn mata(command: &str) -> Option<&str> {
    let (word, rest) = prefixes::first_word(command);
    let code = rest.trim_start().trim_start_matches(':').trim();
    // `mata drop x`, `mata describe` are commands about Mata, in which no function is called.
    (word == "mata").then_some(code)
}

/// At most [`MOST`], the first of each kind among them.
fn bounded(mut risks: Vec<Risk>) -> Vec<Risk> {
    let mut room = MOST.saturating_sub(RiskKind::ALL.len());
    let mut seen = Vec::new();
    risks.retain(|risk| {
        let first = !seen.contains(&risk.kind);
        if first {
            seen.push(risk.kind);
            return true;
        }
        room = room.saturating_sub(1);
        room > 0
    });
    risks
}

/// As they go over the wire.
pub fn to_wire(risks: &[Risk]) -> Vec<wire::Risk> {
    let one = |risk: &Risk| wire::Risk {
        kind: risk.kind.as_str().to_owned(),
        line: risk.line,
        file: risk.file.clone(),
        command: risk.command.clone(),
        may: risk.may,
    };
    risks.iter().map(one).collect()
}

/// As they come over the wire: kinds of later versions are left out, and texts are harmless and short.
pub fn from_wire(risks: &[wire::Risk]) -> Vec<Risk> {
    let one = |risk: &wire::Risk| {
        Some(Risk {
            kind: RiskKind::of(&risk.kind)?,
            line: risk.line,
            file: words::command(&risk.file),
            command: words::command(&risk.command),
            may: risk.may,
        })
    };
    risks.iter().take(MOST).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, want: &[(RiskKind, u32, bool)]) {
        let found: Vec<_> = of_code(code.as_bytes()).iter().map(|risk| (risk.kind, risk.line, risk.may)).collect();
        assert_eq!(found, want, "{code}");
    }

    #[test]
    fn risky_commands_are_found_and_words_about_them_are_not() {
        use RiskKind::*;
        check("sysuse auto\n\nquietly capture erase x.dta\n", &[(Erase, 3, false)]);
        check("#delimit ;\nshell\n  ls;\n#delimit cr\n!ls\n", &[(Shell, 2, false), (Shell, 5, false)]);
        check(
            "by id: rm x\nif (a > 2) & b qui rmdir d\nelse !ls",
            &[(Erase, 1, false), (Erase, 2, false), (Shell, 3, false)],
        );
        check("local c shell\nglobal d \"cap erase x\"\n`c' ls\n$d", &[(Shell, 3, true), (Erase, 4, true)]);
        check("foreach c in use erase {\n  `c' x\n}", &[(Erase, 2, true)]);
        check("mata\nx = 1\nunlink(\"x\")\nend\nunlink(\"x\")", &[(Erase, 3, false)]);
        check("mata: stata(\"shell ls\")\nmata: x = 1", &[(Shell, 1, false)]);
        check("python:\nimport os\nos.remove('*/x')\nend\nrm x", &[(Python, 1, false), (Erase, 5, false)]);
        check("* erase x\n// erase x\n/* erase x\n*/ display 1 // erase\ndisplay \"erase x\"", &[]);
        check("display ///\n  1\nerase ///\n x", &[(Erase, 3, false)]);
        check("generate rm = 1\nif rm > 2 display 1\nlocal erase x\nsysuse auto", &[]);
        check("program shell_x\nend\nlabel variable x \"shell\"", &[]);
        check("\u{feff}erase x", &[(Erase, 1, false)]);
    }

    #[test]
    fn what_is_told_is_bounded_and_has_every_kind() {
        let code = format!("{}shell ls\npython\nend\n", "erase x\n".repeat(100));
        let risks = of_code(code.as_bytes());
        assert!(risks.len() <= MOST && risks.iter().any(|risk| risk.kind == RiskKind::Python), "{}", risks.len());
        let long = of_code(format!("erase {}", "x".repeat(500)).as_bytes());
        assert_eq!(long[0].command.chars().count(), COMMAND);
        assert_eq!(from_wire(&to_wire(&risks)), risks);
    }

    #[test]
    fn all_code_of_a_bundle_is_read_the_entry_first() {
        let files: [(&str, &[u8]); 4] =
            [("a/b.do", b"erase x"), ("main.do", b"do a/b\nshell ls"), ("note.txt", b"erase x"), ("c.ADO", b"rm x")];
        let found: Vec<_> = of_files(files, "main.do").into_iter().map(|risk| (risk.file, risk.line)).collect();
        assert_eq!(found, [(String::new(), 2), ("a/b.do".to_owned(), 1), ("c.ADO".to_owned(), 1)]);
    }

    #[test]
    fn any_bytes_are_read() {
        for code in
            ["`", "`\"", "$", "${", "/*", "\"", "*", "///", "#", "#delimit ;\n", "}}{{", "mata:", "if", "!", "``x''"]
        {
            let _ = of_code(code.as_bytes());
            let _ = of_code(&[code.as_bytes(), b"\xff\n\xc3"].concat());
        }
    }
}
