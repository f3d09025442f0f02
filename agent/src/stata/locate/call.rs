//! Commands that open do-files or change the directory, and the few macros that name them.

use std::{collections::HashMap, path::Path};

use crate::stata::commands;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Do,
    Include,
    Cd,
}

/// One such command, macros unexpanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) verb: Verb,
    pub(super) file: String,
    pub(super) args: Vec<String>,
    /// False behind `quietly`, `capture` and for `run`: then neither its echo nor its end is in the log.
    pub(super) echoes: bool,
}

/// A command as it runs: without the `;` that ends it under `#delimit ;`, and then without its line breaks.
pub(super) fn plain(text: &str) -> String {
    match text.trim_end().strip_suffix(';') {
        Some(command) => command.replace('\n', " "),
        None => text.to_owned(),
    }
}

/// The name of a file that Stata opens: without an ending it is a `.do`.
pub(super) fn with_ending(file: String) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or("");
    if name.is_empty() || name.contains('.') { file } else { file + ".do" }
}

/// The part of a single-line `if` or `else` that depends on it: the rest from the first word that may start such a
/// command.
fn behind_condition(text: &str) -> Option<&str> {
    const BEGINS: [&str; 12] =
        ["do", "run", "include", "cd", "quietly", "qui", "noisily", "noi", "capture", "cap", "if", "else"];
    commands::behind_condition(text, |rest| {
        let word = &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())];
        let begins = BEGINS.contains(&word) && rest[word.len()..].starts_with([' ', '\t', ':', '"']);
        begins.then_some(rest)
    })
}

/// Reads `do "file" args`, `include file`, `cd dir` behind any prefixes and conditions.
pub(super) fn parse(text: &str) -> Option<Call> {
    let mut rest = text.trim();
    let mut echoes = true;
    let (verb, is_do) = loop {
        let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let word = &rest[..end];
        rest = rest[end..].trim_start_matches([' ', '\t', ':']);
        match word {
            "do" => break (Verb::Do, true),
            "run" | "ru" => {
                echoes = false;
                break (Verb::Do, true);
            }
            "include" | "inc" | "incl" | "inclu" | "includ" => break (Verb::Include, false),
            "cd" | "chdir" => break (Verb::Cd, false),
            "noi" | "nois" | "noisi" | "noisil" | "noisily" | "n" => echoes = true,
            "qui" | "quie" | "quiet" | "quietl" | "quietly" | "cap" | "capt" | "captu" | "captur" | "capture" => {
                echoes = false;
            }
            "if" | "else" => rest = behind_condition(rest)?,
            "version" | "versio" | "versi" | "vers" => rest = rest.split_once(':')?.1.trim_start(),
            _ => return None,
        }
    };
    let mut words = words(rest).into_iter();
    let file = words.next()?;
    if file.starts_with('=') {
        return None;
    }
    let args = if is_do { words.take_while(|w| w != ",").collect() } else { vec![] };
    Some(Call { verb, file, args, echoes })
}

/// Whether a command opens a do-file whose commands and end are in the log.
pub(in crate::stata) fn opens_do_file(command: &str) -> bool {
    parse(&plain(command)).is_some_and(|call| call.verb == Verb::Do && call.echoes)
}

/// Splits like Stata: at blanks, quotes and compound quotes keep theirs, a comma outside of quotes is a word.
pub(in crate::stata) fn words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    let mut rest = text.split('\n').next().unwrap_or("").trim();
    while !rest.is_empty() {
        let (word, after) = if let Some(inner) = rest.strip_prefix("`\"") {
            inner.split_once("\"'").unwrap_or((inner, ""))
        } else if let Some(inner) = rest.strip_prefix('"') {
            inner.split_once('"').unwrap_or((inner, ""))
        } else if let Some(after) = rest.strip_prefix(',') {
            (",", after)
        } else if rest.starts_with("//") || rest.starts_with("/*") {
            break;
        } else {
            rest.split_at(rest.find([' ', '\t', ',']).unwrap_or(rest.len()))
        };
        out.push(word.to_owned());
        rest = after.trim_start();
    }
    out
}

/// Values that a do-file assigned to its macros literally.
pub(in crate::stata) struct Macros<'a> {
    pub(in crate::stata) locals: &'a mut HashMap<String, String>,
    pub(in crate::stata) globals: &'a mut HashMap<String, String>,
    /// What `c(pwd)' is now, if it is known.
    pub(in crate::stata) directory: Option<&'a Path>,
}

impl Macros<'_> {
    /// Records `local`, `global` and `args`; a value that cannot be followed is dropped.
    pub(in crate::stata) fn learn(&mut self, text: &str) {
        let text = text.trim();
        let Some((word, rest)) = text.split_once([' ', '\t']) else { return };
        let rest = rest.trim();
        if word == "args" {
            for (i, name) in rest.split_whitespace().enumerate() {
                if let Some(value) = self.locals.get(&(i + 1).to_string()).cloned() {
                    self.locals.insert(name.to_owned(), value);
                }
            }
            return;
        }
        let global = word.len() >= 2 && "global".starts_with(word);
        let local = word.len() >= 3 && "local".starts_with(word);
        if !global && !local {
            return;
        }
        let (name, value) = rest.split_once([' ', '\t', '=']).unwrap_or((rest, ""));
        let literal = rest[name.len()..].trim();
        let (computed, literal) = match literal.strip_prefix('=') {
            Some(expression) => (!expression.trim().starts_with('"'), expression.trim()),
            None => (value.trim_start().starts_with(':'), literal),
        };
        let value = words(literal);
        let known = match value.as_slice() {
            _ if computed => None,
            [one] => self.expand(one),
            several if !literal.contains(['"', ',']) => self.expand(&several.join(" ")),
            _ => None,
        };
        let map = if global { &mut *self.globals } else { &mut *self.locals };
        match known.filter(|_| map.len() < 10_000) {
            Some(value) => map.insert(name.to_owned(), value),
            None => map.remove(name),
        };
    }

    /// The text with its macros replaced; none if one is not known.
    pub(super) fn expand(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['`', '$']) {
            out.push_str(&rest[..at]);
            let global = rest.as_bytes()[at] == b'$';
            let inner = &rest[at + 1..];
            let (name, after) = if !global {
                inner.split_once('\'')?
            } else if let Some(braced) = inner.strip_prefix('{') {
                braced.split_once('}')?
            } else {
                inner.split_at(inner.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inner.len()))
            };
            match name {
                "c(pwd)" if !global => out.push_str(self.directory?.to_str()?),
                _ if global => out.push_str(self.globals.get(name)?),
                _ => out.push_str(self.locals.get(name)?),
            }
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls() {
        fn check(text: &str, expected: Option<(Verb, &str, &[&str], bool)>) {
            let found = parse(text);
            let found = found
                .as_ref()
                .map(|c| (c.verb, c.file.as_str(), c.args.iter().map(String::as_str).collect(), c.echoes));
            assert_eq!(found, expected.map(|(v, f, a, e)| (v, f, a.to_vec(), e)), "{text}");
        }
        check("do a", Some((Verb::Do, "a", &[], true)));
        check("if 1 do \"a.do\" 2", Some((Verb::Do, "a.do", &["2"], true)));
        check("if (x == 1 & do > 2) qui do a", Some((Verb::Do, "a", &[], false)));
        check("if \"`do'\" == \" do x \" noi do a", Some((Verb::Do, "a", &[], true)));
        check("else if x do a", Some((Verb::Do, "a", &[], true)));
        check("else do a", Some((Verb::Do, "a", &[], true)));
        check("if 1 display 2", None);
        check(&plain("do sub.do;"), Some((Verb::Do, "sub.do", &[], true)));
        check(&plain("do\n  \"sub.do\"\n  7 ;"), Some((Verb::Do, "sub.do", &["7"], true)));
        check("    do \"my file.do\" 1 \"b c\", nostop", Some((Verb::Do, "my file.do", &["1", "b c"], true)));
        check("do `\"/x/y.do\"' a // note", Some((Verb::Do, "/x/y.do", &["a"], true)));
        check("qui do a.do", Some((Verb::Do, "a.do", &[], false)));
        check("capture noisily: do a.do", Some((Verb::Do, "a.do", &[], true)));
        check("run a", Some((Verb::Do, "a", &[], false)));
        check("include \"$x/defs.doh\"", Some((Verb::Include, "$x/defs.doh", &[], true)));
        check("cd \"/tmp\"", Some((Verb::Cd, "/tmp", &[], true)));
        check("version 16.1: do code/sub", Some((Verb::Do, "code/sub", &[], true)));
        check("cap noi version 16: do sub", Some((Verb::Do, "sub", &[], true)));
        check("version 16", None);
        check("doedit x", None);
        check("di 1", None);
        check("do", None);
    }

    #[test]
    fn macros() {
        let (mut locals, mut globals) = (HashMap::new(), HashMap::new());
        let directory = Some(Path::new("/w"));
        let mut macros = Macros { locals: &mut locals, globals: &mut globals, directory };
        for line in [
            "global root \"/data/my project\"",
            "local sub = \"code\"",
            "gl g x",
            "global here \"`c(pwd)'\"",
            "local both a b",
            "local n = 1 + 1",
            "local w : word 1 of a",
        ] {
            macros.learn(line);
        }
        for (text, expected) in [
            ("$root/a.do", Some("/data/my project/a.do")),
            ("${root}/`sub'/a.do", Some("/data/my project/code/a.do")),
            ("$g.do", Some("x.do")),
            ("$here/a", Some("/w/a")),
            ("`both'", Some("a b")),
            ("`n'.do", None),
            ("`w'.do", None),
            ("`open", None),
        ] {
            assert_eq!(macros.expand(text).as_deref(), expected, "{text}");
        }
    }
}
