//! Which data files a command names, as Stata would open them: `use`, `save`, `merge … using`, `import` and their like.
//!
//! Names are as they were written, macros included, beside the ending that Stata adds. Files that hold results alone (graphs,
//! logs, tables of estimates) are no data; commands of packages are not known. A command that cannot be read names nothing.

use super::{
    commands::{self, without_prefixes},
    locate::words,
};

/// One file that a command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataUse {
    /// As it was written.
    pub(super) file: String,
    /// The command writes it; otherwise it reads it.
    pub(super) writes: bool,
    ending: &'static str,
}

impl DataUse {
    /// The file that Stata opens where its name, macros replaced, is `name`.
    pub(super) fn with_ending(&self, name: String) -> String {
        let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let whole = last.is_empty() || last.contains('.') || name.contains("://");
        if whole { name } else { format!("{name}.{}", self.ending) }
    }
}

/// How a command names its files.
struct Verb {
    /// All of its name, and how many letters of it suffice.
    name: &'static str,
    least: usize,
    writes: bool,
    /// Only behind `using`.
    using: bool,
    ending: &'static str,
}

const fn verb(name: &'static str, least: usize, writes: bool, using: bool, ending: &'static str) -> Verb {
    Verb { name, least, writes, using, ending }
}

/// Names and abbreviations as Stata's own help gives them.
const VERBS: [Verb; 14] = [
    verb("use", 1, false, false, "dta"),
    verb("save", 2, true, false, "dta"),
    verb("saveold", 7, true, false, "dta"),
    verb("merge", 3, false, true, "dta"),
    verb("append", 3, false, true, "dta"),
    verb("joinby", 6, false, true, "dta"),
    verb("cross", 5, false, true, "dta"),
    verb("mmerge", 6, false, true, "dta"),
    verb("insheet", 6, false, true, "raw"),
    verb("infile", 3, false, true, "raw"),
    verb("infix", 5, false, true, "raw"),
    verb("outsheet", 7, true, true, "out"),
    verb("outfile", 3, true, true, "raw"),
    verb("rmerge", 6, false, true, "dta"),
];

/// Kinds of `import` and `export` that mean files, least letters, and their ending.
const KINDS: [(&str, usize, &str); 7] = [
    ("delimited", 5, "csv"),
    ("excel", 3, "xls"),
    ("sas", 3, "sas7bdat"),
    ("spss", 4, "sav"),
    ("dbase", 5, "dbf"),
    ("sasxport5", 9, "xpt"),
    ("sasxport8", 9, "v8xpt"),
];

/// Most files of one command.
const FILES: usize = 20;

/// The files that a command names. `command` is one command, without the `;` that may end it.
pub(super) fn named(command: &str) -> Vec<DataUse> {
    let joined = joined(command);
    let mut rest = without_prefixes(&joined);
    // `by id:`, `version 16:`, `frame other:`, and whatever stands before a command of its own.
    for _ in 0..4 {
        let (word, after) = first(rest);
        match word {
            "by" | "bysort" | "bys" | "version" | "versio" | "vers" | "frame" | "xi" => {
                let Some((_, behind)) = after.split_once(':') else { return vec![] };
                rest = without_prefixes(behind);
            }
            "if" | "else" => match behind_condition(after) {
                Some(behind) => rest = without_prefixes(behind),
                None => return vec![],
            },
            _ => break,
        }
    }
    plain(rest)
}

fn plain(command: &str) -> Vec<DataUse> {
    let (word, rest) = first(command);
    if let Some(writes) = match word {
        "import" | "impor" | "impo" | "imp" => Some(false),
        "export" | "expor" | "expo" | "exp" => Some(true),
        _ => None,
    } {
        let (kind, rest) = first(rest);
        let Some((.., ending)) = KINDS.iter().find(|(name, least, _)| is(kind, name, *least)) else { return vec![] };
        return files(rest, Behind::UsingOrOne, writes, ending);
    }
    let Some(verb) = VERBS.iter().find(|verb| is(word, verb.name, verb.least)) else { return vec![] };
    let behind = match (verb.using, verb.writes) {
        (true, _) => Behind::Using,
        // `use x y using file`, and `use file`.
        (false, false) => Behind::UsingOrOne,
        (false, true) => Behind::One,
    };
    files(rest, behind, verb.writes, verb.ending)
}

/// Where the names are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Using,
    One,
    UsingOrOne,
}

fn files(rest: &str, behind: Behind, writes: bool, ending: &'static str) -> Vec<DataUse> {
    let parts: Vec<String> = words(rest).into_iter().take_while(|word| word != ",").collect();
    let using = parts.iter().position(|word| is(word, "using", 2)).filter(|_| behind != Behind::One);
    let names = match (using, behind) {
        (Some(at), _) => &parts[at + 1..],
        (None, Behind::Using) => &[],
        (None, _) => parts.get(..1).unwrap_or_default(),
    };
    // Behind `using` may come `if` and `in`, as of `export delimited using x if y`.
    let named = names.iter().take_while(|word| !matches!(word.as_str(), "if" | "in")).filter(|word| !word.is_empty());
    named.take(FILES).map(|file| DataUse { file: file.clone(), writes, ending }).collect()
}

fn first(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    (&text[..end], &text[end..])
}

fn is(word: &str, name: &str, least: usize) -> bool {
    word.len() >= least && name.starts_with(word)
}

/// The command behind the condition of an `if` in one line.
fn behind_condition(text: &str) -> Option<&str> {
    commands::behind_condition(text, |rest| {
        let rest = without_prefixes(rest);
        // One letter is the name of a variable rather than a command.
        (first(rest).0.len() > 1 && !plain(rest).is_empty()).then_some(rest)
    })
}

/// One line: `///` and comments at the end of lines are left out.
fn joined(command: &str) -> String {
    let line = |line: &str| {
        let cut = ["///", " //"].iter().filter_map(|mark| Some((line.find(mark)?, *mark)));
        // Two slashes within a word are part of an address.
        let end = cut.map(|(at, _)| at).min().unwrap_or(line.len());
        line[..end].trim().to_owned()
    };
    command.lines().map(line).collect::<Vec<_>>().join(" ")
}

/// The seed that a command sets, as written: `set seed 12345`, `set sortseed 1`.
pub(super) fn seed(command: &str) -> Option<String> {
    let joined = joined(command);
    let (word, rest) = first(without_prefixes(&joined));
    let (what, value) = first(rest);
    let named = matches!(what, "seed" | "sortseed" | "rng" | "rngstream" | "rngstate" | "sortrngstate");
    let value = value.trim();
    (word == "set" && named && !value.is_empty()).then(|| format!("set {what} {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_from_commands() {
        fn check(command: &str, writes: bool, want: &[&str]) {
            let found = named(command);
            let names: Vec<String> = found.iter().map(|found| found.with_ending(found.file.clone())).collect();
            assert_eq!(names, want, "{command}");
            assert!(found.iter().all(|found| found.writes == writes), "{command}");
        }
        check("use auto", false, &["auto.dta"]);
        check("u \"my data/auto.dta\", clear", false, &["my data/auto.dta"]);
        check("use make price if foreign using \"/d/auto\" , clear", false, &["/d/auto.dta"]);
        check("qui: capture use `\"/d/a\"'", false, &["/d/a.dta"]);
        check("use `file', clear", false, &["`file'.dta"]);
        check("use \"$root/x_`y'\"", false, &["$root/x_`y'.dta"]);
        check("use https://site.org/a.dta, clear", false, &["https://site.org/a.dta"]);
        check("sa out, replace", true, &["out.dta"]);
        check("saveold out, version(12)", true, &["out.dta"]);
        check("save, replace", true, &[]);
        check("merge 1:1 id using b, keep(3) nogen", false, &["b.dta"]);
        check("merge m:1 id ///\n  using \"sub/c\" // note", false, &["sub/c.dta"]);
        check("append using a b.dta \"c d\"", false, &["a.dta", "b.dta", "c d.dta"]);
        check("joinby id using z", false, &["z.dta"]);
        check("import delimited \"raw/x.csv\", clear", false, &["raw/x.csv"]);
        check("import delim a b using raw, clear", false, &["raw.csv"]);
        check("import excel using book.xlsx, sheet(1) firstrow", false, &["book.xlsx"]);
        check("export delimited id x using out if x > 1, replace", true, &["out.csv"]);
        check("export excel out.xlsx, replace", true, &["out.xlsx"]);
        check("insheet using old.txt", false, &["old.txt"]);
        check("infix x 1-3 using fixed", false, &["fixed.raw"]);
        check("if \"`x'\" == \"use y\" use z", false, &["z.dta"]);
        check("if (use > 2) quietly merge 1:1 id using w", false, &["w.dta"]);
        check("by id: use q", false, &["q.dta"]);
        check("frame other: use q", false, &["q.dta"]);
        check("outsheet using o", true, &["o.out"]);
    }

    #[test]
    fn other_commands_name_none() {
        for other in [
            "",
            "user",
            "useful x",
            "merged",
            "import fred GDP",
            "append",
            "display \"use x\"",
            "* use x",
            "generate use = 1",
            "export",
            "estimates save m",
            "log using x",
            "graph save x",
            "if x > 1 display 1",
            "infer using x",
        ] {
            assert!(named(other).is_empty(), "{other}: {:?}", named(other));
        }
    }

    #[test]
    fn seeds_are_told() {
        assert_eq!(seed("set seed 12345").as_deref(), Some("set seed 12345"));
        assert_eq!(seed("quietly set sortseed 7 // why").as_deref(), Some("set sortseed 7"));
        for other in ["set seed", "set more off", "display 1", "set seedy 1"] {
            assert_eq!(seed(other), None, "{other}");
        }
    }
}
