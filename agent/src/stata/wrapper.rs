//! The do-file that Stata is started with, around the user's.
//!
//! ```stata
//! cd "/home/ana/project"
//! do `"/home/ana/project/main.do"' 2024 "north west"
//! file open lh7f3a9c21_1 using `"/state/spool/…/sentinel-1"', write text
//! capture run `"/state/spool/…/control/gather.do"'
//! ```
//!
//! Where the run's cores are limited, `` set processors `=min(2, c(processors_max))' `` comes before the `do` line. It is
//! a setting that the user's code can change.
//!
//! The last line closes the file and gathers results ([`super::gather`]); where that is not wanted it is
//! `file close lh7f3a9c21_1`. `capture run` echoes and prints nothing of its own, whatever happens in it, so a log of
//! the user's that is still open receives as many commands of ours as without, and what comes after the sentinel says
//! nothing about the user's code.
//!
//! The sentinel file is made only when the user's code has returned without error; Stata's exit status cannot show
//! that. Why `file open` makes it: it is part of every release and edition, needs no shell or other file, and makes the
//! file at once, so its existence is the proof and it may stay empty. Nothing has to survive the user's `clear all`,
//! `macro drop _all`, `program drop _all` or `file close _all`: the path is literal, the handle is opened and closed
//! after them, and its name carries the run and attempt, so it cannot clash with a handle left open. `version` and
//! `#delimit` end with the do-file that set them. There is no `replace`: it would print a note, and a sentinel that
//! exists already is a bug of Longhaul's worth an `r(602);`. There is no `capture` (it would remove `r(N);` and
//! continue), and no log of the wrapper's own. If the user's code leaves the interpreter in Mata, the line fails but is
//! echoed, which proves the same (see [`super::view`]).
//!
//! Stata expands macros in everything it reads, and a backtick or a dollar sign cannot be quoted. So what cannot be
//! written literally is refused here, by name, and the caller stages a file or tells the user.

use std::path::Path;

use thiserror::Error;

/// What a wrapper is made of.
#[derive(Debug, Clone, Copy)]
pub struct Spec<'a> {
    /// Where the user's code runs; absolute.
    pub working_dir: &'a Path,
    /// The user's do-file, or its staged copy; absolute.
    pub do_file: &'a Path,
    /// Most cores that Stata may use; `None` = nothing is said of that.
    pub cores: Option<u32>,
    /// The do-file's arguments, one each.
    pub args: &'a [String],
    /// Our do-file that closes the sentinel's handle and gathers results; absolute. `None` = nothing is gathered.
    pub gather: Option<&'a Path>,
    /// The file that proves success; absolute, must not exist yet.
    pub sentinel: &'a Path,
    /// Unique to run and attempt: 1 to 24 ASCII letters, digits and `_` (names in Stata have 32 characters).
    pub tag: &'a str,
}

/// Why a wrapper could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WrapperError {
    /// A path that Stata would read differently.
    #[error(
        "the {what} {path:?} holds {character}, which Stata cannot be given literally; it has to be reached under a plain name"
    )]
    UnsafePath {
        /// `do-file`, `working directory`, `sentinel` or `gathering do-file`.
        what: &'static str,
        /// The path, lossily.
        path: String,
        /// What is wrong with it, in words.
        character: &'static str,
    },
    /// A path that depends on where Stata starts.
    #[error("the {what} {path:?} is not an absolute path")]
    RelativePath {
        /// As above.
        what: &'static str,
        /// The path, lossily.
        path: String,
    },
    /// An argument that Stata would read differently.
    #[error(
        "argument {number} holds {character}, which Stata cannot be given literally; leave it out, or let the do-file read the value from a file"
    )]
    UnsafeArgument {
        /// From 1.
        number: usize,
        /// What is wrong with it, in words.
        character: &'static str,
    },
    /// A tag that cannot be part of a Stata name.
    #[error("the tag {0:?} is not 1 to 24 ASCII letters, digits and underscores")]
    BadTag(String),
}

/// A wrapper's text and the lines by which its echo is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapper {
    text: String,
}

impl Wrapper {
    /// Writes the wrapper.
    pub fn new(spec: &Spec<'_>) -> Result<Self, WrapperError> {
        let tag_ok =
            (1..=24).contains(&spec.tag.len()) && spec.tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !tag_ok {
            return Err(WrapperError::BadTag(spec.tag.to_owned()));
        }
        let working_dir = path("working directory", spec.working_dir)?;
        let do_file = path("do-file", spec.do_file)?;
        let sentinel = path("sentinel", spec.sentinel)?;
        let tag = spec.tag;

        let mut text = format!("cd `\"{working_dir}\"'\n");
        if let Some(cores) = spec.cores {
            // More than there are would be an error.
            text.push_str(&format!("set processors `=min({cores}, c(processors_max))'\n"));
        }
        text.push_str(&format!("do `\"{do_file}\"'"));
        for (i, argument) in spec.args.iter().enumerate() {
            if let Some(character) = unsafe_in(argument, Controls::AllButTab) {
                return Err(WrapperError::UnsafeArgument { number: i + 1, character });
            }
            text.push(' ');
            text.push_str(&quoted(argument));
        }
        text.push('\n');
        text.push_str(&format!("file open lh{tag} using `\"{sentinel}\"', write text\n"));
        text.push_str(&match spec.gather {
            None => format!("file close lh{tag}\n"),
            Some(gather) => format!("capture run `\"{}\"'\n", path("gathering do-file", gather)?),
        });
        Ok(Self { text })
    }

    /// Takes the text of a wrapper written earlier, from the spool.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// The do-file's content.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The `cd` line.
    pub fn cd_line(&self) -> &str {
        self.text.lines().next().unwrap_or("")
    }

    /// The line that runs the user's do-file.
    pub fn do_line(&self) -> &str {
        self.text.lines().find(|line| runs(line)).unwrap_or("")
    }

    /// The first line after the user's do-file; unique to this run and attempt.
    pub fn next_line(&self) -> &str {
        self.text.lines().skip_while(|line| !runs(line)).nth(1).unwrap_or("")
    }

    /// The line that makes the sentinel; its echo at a prompt proves success as well as the file does.
    pub fn sentinel_line(&self) -> &str {
        self.text.lines().rev().nth(1).unwrap_or("")
    }
}

/// Whether this is the line that runs the user's do-file.
fn runs(line: &str) -> bool {
    line.starts_with("do ")
}

/// Why `path` cannot be written into a wrapper, in words; none if it can. Such a path has to be reached under a plain
/// name: a do-file by a copy in the spool, a directory by a symbolic link there.
pub fn needs_staging(path: &Path) -> Option<&'static str> {
    match path.to_str() {
        Some(text) => unsafe_in(text, Controls::All),
        None => Some("bytes that are not UTF-8"),
    }
}

fn path<'a>(what: &'static str, path: &'a Path) -> Result<&'a str, WrapperError> {
    let lossy = || path.to_string_lossy().into_owned();
    if let Some(character) = needs_staging(path) {
        return Err(WrapperError::UnsafePath { what, path: lossy(), character });
    }
    if !path.is_absolute() {
        return Err(WrapperError::RelativePath { what, path: lossy() });
    }
    path.to_str().ok_or_else(|| WrapperError::UnsafePath { what, path: lossy(), character: "bytes that are not UTF-8" })
}

#[derive(Clone, Copy, PartialEq)]
enum Controls {
    All,
    AllButTab,
}

fn unsafe_in(text: &str, controls: Controls) -> Option<&'static str> {
    if text.contains("\"'") {
        return Some("a double quote followed by an apostrophe (\"')");
    }
    text.chars().find_map(|c| match c {
        '`' => Some("a backtick (`)"),
        '$' => Some("a dollar sign ($)"),
        '\n' | '\r' => Some("a line break"),
        '\t' if controls == Controls::AllButTab => None,
        c if c.is_control() => Some("a control character"),
        _ => None,
    })
}

/// One argument as one word of Stata: bare when plain, else in quotes, in compound quotes when it holds a quote.
/// Commas (options), `//`, `/*`, `*` (comments) and blanks are why few arguments are plain.
fn quoted(argument: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'+' | b':' | b'%' | b'@');
    if !argument.is_empty() && argument.bytes().all(plain) {
        argument.to_owned()
    } else if argument.contains('"') {
        format!("`\"{argument}\"'")
    } else {
        format!("\"{argument}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrapper(path: &str, args: &[&str], gather: Option<&str>) -> Result<Wrapper, WrapperError> {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        Wrapper::new(&Spec {
            working_dir: Path::new("/w d"),
            do_file: Path::new(path),
            cores: None,
            args: &args,
            gather: gather.map(Path::new),
            sentinel: Path::new("/spool/sentinel-1"),
            tag: "7f3a9c21_1",
        })
    }

    #[test]
    fn the_text_is_exactly_this() {
        let found =
            wrapper("/w d/o'brien \"x\".do", &["2024", "north west", "", "a\"b", "a,b", "//x", "-1.5"], None).unwrap();
        assert_eq!(
            found.text(),
            "cd `\"/w d\"'\ndo `\"/w d/o'brien \"x\".do\"' 2024 \"north west\" \"\" `\"a\"b\"' \"a,b\" \"//x\" -1.5\n\
             file open lh7f3a9c21_1 using `\"/spool/sentinel-1\"', write text\nfile close lh7f3a9c21_1\n"
        );
        assert_eq!(found.next_line(), found.sentinel_line());
        let with = wrapper("/x.do", &[], Some("/spool/control/gather.do")).unwrap();
        assert_eq!(
            with.text(),
            "cd `\"/w d\"'\ndo `\"/x.do\"'\nfile open lh7f3a9c21_1 using `\"/spool/sentinel-1\"', write text\n\
             capture run `\"/spool/control/gather.do\"'\n"
        );
        assert_eq!(with.next_line(), with.sentinel_line());
        let limited = Wrapper::new(&Spec {
            working_dir: Path::new("/w"),
            do_file: Path::new("/x.do"),
            cores: Some(2),
            args: &[],
            gather: None,
            sentinel: Path::new("/s"),
            tag: "t_1",
        });
        let limited = limited.unwrap();
        assert_eq!(
            limited.text(),
            "cd `\"/w\"'\nset processors `=min(2, c(processors_max))'\ndo `\"/x.do\"'\n\
             file open lht_1 using `\"/s\"', write text\nfile close lht_1\n"
        );
        assert_eq!((limited.cd_line(), limited.do_line()), ("cd `\"/w\"'", "do `\"/x.do\"'"));
        assert_eq!(limited.next_line(), limited.sentinel_line());
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        fn check(path: &str, args: &[&str], expected: &str) {
            assert_eq!(wrapper(path, args, None).unwrap_err().to_string(), expected);
        }
        check(
            "/a`b.do",
            &[],
            "the do-file \"/a`b.do\" holds a backtick (`), which Stata cannot be given literally; it has to be reached under a plain name",
        );
        check(
            "/a$b.do",
            &[],
            "the do-file \"/a$b.do\" holds a dollar sign ($), which Stata cannot be given literally; it has to be reached under a plain name",
        );
        check("a.do", &[], "the do-file \"a.do\" is not an absolute path");
        let tail = "which Stata cannot be given literally; leave it out, or let the do-file read the value from a file";
        check("/a.do", &["1", "a\nb"], &format!("argument 2 holds a line break, {tail}"));
        check("/a.do", &["\"'"], &format!("argument 1 holds a double quote followed by an apostrophe (\"'), {tail}"));
        check("/a.do", &["\u{0}"], &format!("argument 1 holds a control character, {tail}"));
        assert_eq!(needs_staging(Path::new("/a\tb")), Some("a control character"));
        assert_eq!(needs_staging(Path::new("/ä b'c\"/x")), None);
    }

    /// Reads one line as Stata does: words in plain, double or compound quotes.
    fn read_back(line: &str) -> Vec<String> {
        let mut words = vec![];
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let (word, after) = if let Some(inner) = rest.strip_prefix("`\"") {
                inner.split_once("\"'").expect("closed")
            } else if let Some(inner) = rest.strip_prefix('"') {
                inner.split_once('"').expect("closed")
            } else {
                rest.split_at(rest.find(' ').unwrap_or(rest.len()))
            };
            words.push(word.to_owned());
            rest = after.trim_start_matches(' ');
        }
        words
    }

    proptest! {
        #[test]
        fn what_is_accepted_reads_back(
            path in "/[ -~äß\"'`$\\n\\t]{0,20}", args in proptest::collection::vec("[ -~é\"'`$\\n\\t,]{0,10}", 0..5))
        {
            let hostile = |t: &str, tab: bool| t.contains(['`', '$', '\n']) || t.contains("\"'") || (tab && t.contains('\t'));
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let found = wrapper(&path, &args, None);
            let refused = hostile(&path, true) || args.iter().any(|a| hostile(a, false));
            prop_assert_eq!(found.is_err(), refused);
            if let Ok(found) = found {
                prop_assert_eq!(found.text().lines().count(), 4);
                let mut expected = vec!["do".to_owned(), path];
                expected.extend(args.iter().map(|a| (*a).to_owned()));
                prop_assert_eq!(read_back(found.do_line()), expected);
            }
        }
    }
}
