//! Which commands are risky.
//!
//! Names and abbreviations are those of Stata's manuals: [D] shell, erase, rmdir, copy, import, use, webuse; [R] ssc, net, ado
//! update, update; [P] PyStata integration, Java integration, plugin; [M-5] unlink(), chdir(), stata().

use std::sync::LazyLock;

use regex::Regex;

use super::{
    RiskKind,
    prefixes::{first_word, is},
};

/// Commands that are risky by their name alone, and the fewest letters that Stata takes.
const BY_NAME: [(&str, usize, RiskKind); 15] = [
    ("shell", 2, RiskKind::Shell),
    ("xshell", 6, RiskKind::Shell),
    ("winexec", 4, RiskKind::Shell),
    ("erase", 3, RiskKind::Erase),
    ("rm", 2, RiskKind::Erase),
    ("rmdir", 3, RiskKind::Erase),
    ("adoupdate", 9, RiskKind::Install),
    ("github", 6, RiskKind::Install),
    ("python", 6, RiskKind::Python),
    ("java", 4, RiskKind::Plugin),
    ("javacall", 8, RiskKind::Plugin),
    ("plugin", 6, RiskKind::Plugin),
    ("webuse", 6, RiskKind::Network),
    ("bcuse", 5, RiskKind::Network),
    ("freduse", 7, RiskKind::Network),
];

/// Words behind a command by which it is another, harmless one.
const HARMLESS: [(&str, &[&str]); 5] = [
    ("python", &["query", "describe", "which", "search", "clear"]),
    ("java", &["query", "clear", "initialize"]),
    ("webuse", &["query", "set"]),
    ("github", &["search", "list", "query"]),
    ("plugin", &[]),
];

/// Commands that are risky by the word behind them, with the fewest letters of that word.
const BY_SECOND: [(&str, &str, usize, RiskKind); 11] = [
    ("ssc", "install", 4, RiskKind::Install),
    ("ssc", "uninstall", 6, RiskKind::Install),
    ("ssc", "copy", 4, RiskKind::Network),
    ("net", "install", 3, RiskKind::Install),
    ("net", "from", 4, RiskKind::Network),
    ("net", "get", 3, RiskKind::Network),
    ("ado", "update", 6, RiskKind::Install),
    ("ado", "uninstall", 5, RiskKind::Install),
    ("update", "all", 3, RiskKind::Install),
    ("import", "fred", 4, RiskKind::Network),
    ("import", "haver", 5, RiskKind::Network),
];

/// Commands that read or write what an address names.
const TAKE_ADDRESSES: [(&str, usize); 16] = [
    ("use", 1),
    ("merge", 3),
    ("append", 3),
    ("joinby", 6),
    ("cross", 5),
    ("import", 3),
    ("insheet", 6),
    ("infile", 3),
    ("infix", 5),
    ("copy", 3),
    ("do", 2),
    ("run", 3),
    ("include", 3),
    ("type", 2),
    ("view", 4),
    ("export", 3),
];

/// Functions of Mata that remove files or run commands of Stata.
static MATA: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b_?(unlink|rmdir)\s*\(").ok());

/// A command of Stata in a text that Mata runs.
static MATA_STATA: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"\b_?stata\s*\(\s*`?"([^"]*)""#).ok());

/// What is risky about a command without prefixes.
pub(super) fn kind(command: &str) -> Option<RiskKind> {
    let command = command.trim_start();
    if command.starts_with('!') {
        return Some(RiskKind::Shell);
    }
    let (word, rest) = first_word(command);
    if !ends_word(rest) {
        return None;
    }
    let second = first_word(rest.trim_start_matches([' ', '\t', ':'])).0;
    if let Some((name, _, kind)) = BY_NAME.iter().find(|(name, least, _)| is(word, name, *least)) {
        let harmless = HARMLESS.iter().any(|(of, words)| of == name && words.contains(&second));
        return (!harmless && !is_operand(rest)).then_some(*kind);
    }
    let by_second = |(first, its, least, _): &&(&str, &str, usize, RiskKind)| word == *first && is(second, its, *least);
    if let Some((.., kind)) = BY_SECOND.iter().find(by_second) {
        return Some(*kind);
    }
    if is(word, "program", 2) && options(rest).any(|option| is(option, "plugin", 4)) {
        return Some(RiskKind::Plugin);
    }
    if TAKE_ADDRESSES.iter().any(|(name, least)| is(word, name, *least)) {
        let address = ["http://", "https://", "ftp://"].iter().any(|scheme| rest.to_ascii_lowercase().contains(scheme));
        return address.then_some(RiskKind::Network);
    }
    None
}

/// What is risky about code of Mata.
pub(super) fn mata(code: &str) -> Option<RiskKind> {
    let text = code.trim();
    if MATA.as_ref().is_some_and(|calls| calls.is_match(text)) {
        return Some(RiskKind::Erase);
    }
    let command = MATA_STATA.as_ref()?.captures(text)?.get(1)?.as_str();
    kind(super::prefixes::without(command).unwrap_or(command))
}

/// Whether a name has ended here: `erase.x` and `shell_x` are others.
fn ends_word(rest: &str) -> bool {
    rest.chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, ',' | ':' | '"' | '`' | '$' | '(' | ';' | '{'))
}

/// An operator behind a name: it is the name of a variable, as in `if rm > 2`.
fn is_operand(rest: &str) -> bool {
    rest.trim_start().starts_with(['=', '>', '<', '&', '|', '+', '*', '^'])
}

fn options(rest: &str) -> impl Iterator<Item = &str> {
    let behind = rest.split_once(',').map(|(_, options)| options).unwrap_or_default();
    behind.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_in_full_and_shortened() {
        use RiskKind::*;
        let check = |command: &str, want: Option<RiskKind>| assert_eq!(kind(command), want, "{command}");
        for shell in ["shell ls", "sh ls", "!ls", "! ls", "winexec x.exe", "xshell", "shell"] {
            check(shell, Some(Shell));
        }
        for erase in ["erase x.dta", "era x", "rm x", "rmdir d", "rmd d", "erase \"a b\"", "erase`x'"] {
            check(erase, Some(Erase));
        }
        for install in
            ["ssc install x", "ssc inst x", "net ins x", "net install x, from(http://a)", "ado update, update"]
        {
            check(install, Some(Install));
        }
        check("adoupdate, update", Some(Install));
        check("update all", Some(Install));
        for network in ["copy http://a.b/c d", "use \"https://a.b/c.dta\", clear", "import delimited HTTPS://a.b/c.csv"]
        {
            check(network, Some(Network));
        }
        for network in ["webuse auto", "net from http://a.b", "import fred GDP", "import excel using ftp://a/b.xlsx"] {
            check(network, Some(Network));
        }
        for python in ["python", "python:", "python: print(1)", "python script a.py"] {
            check(python, Some(Python));
        }
        for plugin in
            ["plugin call x", "javacall a b", "java: x", "program x, plugin", "program x, plugin using(\"y\")"]
        {
            check(plugin, Some(Plugin));
        }
        for other in [
            "sysuse auto",
            "use auto",
            "display \"shell\"",
            "shellfish",
            "erased x",
            "rmse",
            "python query",
            "webuse query",
            "ssc describe x",
            "ssc hot",
            "net describe x",
            "ado dir",
            "copy a b",
            "generate rm = 1",
            "rm = 1",
            "import delimited x.csv",
            "display \"http://a.b\"",
            "program x, rclass",
            "javaplot x",
            "update query",
            "s x",
            "net search x",
        ] {
            check(other, None);
        }
    }

    #[test]
    fn mata_that_removes_files_is_seen() {
        assert_eq!(mata("unlink(\"x.dta\")"), Some(RiskKind::Erase));
        assert_eq!(mata("(void) _unlink(f)"), Some(RiskKind::Erase));
        assert_eq!(mata("stata(\"quietly shell ls\")"), Some(RiskKind::Shell));
        assert_eq!(mata("x = 1; stata(`\"erase \"'+f)"), Some(RiskKind::Erase));
        assert_eq!(mata("stata(\"summarize\")"), None);
        assert_eq!(mata("my_unlinked(x)"), None);
    }
}
