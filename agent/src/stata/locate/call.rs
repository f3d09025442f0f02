//! Commands that open do-files or change the directory, and the few macros that name them.

use std::collections::HashMap;

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
    /// False behind `quietly`, `capture` and for `run`: then neither its echo nor its end is seen.
    pub(super) echoes: bool,
}

/// Reads `do "file" args`, `include file`, `cd dir` behind any prefixes.
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
            _ => return None,
        }
    };
    let mut words = words(rest).into_iter();
    let mut file = words.next()?;
    if file.starts_with('=') {
        return None;
    }
    let name = file.rsplit(['/', '\\']).next().unwrap_or("");
    if verb != Verb::Cd && !name.contains('.') && !name.ends_with(['\'', '$']) {
        file.push_str(".do");
    }
    let args = if is_do { words.take_while(|w| w != ",").collect() } else { vec![] };
    Some(Call { verb, file, args, echoes })
}

/// Splits like Stata: at blanks, quotes and compound quotes keep theirs, a comma outside of quotes is a word.
fn words(text: &str) -> Vec<String> {
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

/// Values that a do-file gave its macros in plain sight.
pub(super) struct Macros<'a> {
    pub(super) locals: &'a mut HashMap<String, String>,
    pub(super) globals: &'a mut HashMap<String, String>,
}

impl Macros<'_> {
    /// Takes note of `local`, `global` and `args`; what cannot be followed is forgotten.
    pub(super) fn learn(&mut self, text: &str) {
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
            [one] if !computed => self.expand(one),
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
            out.push_str(if global { self.globals.get(name)? } else { self.locals.get(name)? });
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
        check("do a", Some((Verb::Do, "a.do", &[], true)));
        check("    do \"my file.do\" 1 \"b c\", nostop", Some((Verb::Do, "my file.do", &["1", "b c"], true)));
        check("do `\"/x/y.do\"' a // note", Some((Verb::Do, "/x/y.do", &["a"], true)));
        check("qui do a.do", Some((Verb::Do, "a.do", &[], false)));
        check("capture noisily: do a.do", Some((Verb::Do, "a.do", &[], true)));
        check("run a", Some((Verb::Do, "a.do", &[], false)));
        check("include \"$x/defs.doh\"", Some((Verb::Include, "$x/defs.doh", &[], true)));
        check("cd \"/tmp\"", Some((Verb::Cd, "/tmp", &[], true)));
        check("doedit x", None);
        check("di 1", None);
        check("do", None);
    }

    #[test]
    fn macros() {
        let (mut locals, mut globals) = (HashMap::new(), HashMap::new());
        let mut macros = Macros { locals: &mut locals, globals: &mut globals };
        for line in [
            "global root \"/data/my project\"",
            "local sub = \"code\"",
            "gl g x",
            "local n = 1 + 1",
            "local w : word 1 of a",
        ] {
            macros.learn(line);
        }
        for (text, expected) in [
            ("$root/a.do", Some("/data/my project/a.do")),
            ("${root}/`sub'/a.do", Some("/data/my project/code/a.do")),
            ("$g.do", Some("x.do")),
            ("`n'.do", None),
            ("`w'.do", None),
            ("`open", None),
        ] {
            assert_eq!(macros.expand(text).as_deref(), expected, "{text}");
        }
    }
}
