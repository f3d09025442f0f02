//! The command line: flags first, and everything after them is one Stata command joined with blanks.
//!
//! The batch log is named by that command, not by a flag, and lands in the folder the process was started in.

use std::ffi::OsString;

use crate::banner::Mode;

/// What the arguments ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// `-b`, `-e` or `-s`: write a log file and nothing to standard output.
    pub(crate) batch: bool,
    /// `-q`: no banner, and in batch no echo of the command from the command line.
    pub(crate) quiet: bool,
    /// `-s`: the log is SMCL by name.
    pub(crate) smcl: bool,
    /// `-h`: print the options and leave.
    pub(crate) help: bool,
    /// The command to run, as Stata would have read it; `None` = console mode on standard input.
    pub(crate) command: Option<String>,
    /// The log's file name in batch mode.
    pub(crate) log_name: String,
}

/// Reads the arguments after the program's own name.
///
/// # Errors
/// Names the flag that does not exist.
pub(crate) fn parse(args: &[OsString]) -> Result<Invocation, String> {
    let mut inv = Invocation::default();
    let words: Vec<String> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let mut rest = words.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        let flag = first.strip_prefix('-').or_else(|| first.strip_prefix('/').filter(|f| f.len() == 1));
        match flag {
            Some("b" | "e") => inv.batch = true,
            Some("s") => (inv.batch, inv.smcl) = (true, true),
            Some("q") => inv.quiet = true,
            Some("h") => inv.help = true,
            Some("i") => {} // Windows: no icon; ignored elsewhere
            Some(f) if f.starts_with("rngstream") && first.starts_with('-') => {}
            _ if first.starts_with('-') && first.len() == 2 => return Err(format!("unknown flag {first}")),
            _ => break,
        }
        rest = tail;
    }
    if !rest.is_empty() {
        inv.command = Some(as_command(rest));
    }
    inv.log_name = log_name(inv.command.as_deref().unwrap_or_default(), if inv.smcl { "smcl" } else { "log" });
    Ok(inv)
}

/// `foo.do a b` without a command word means `do "foo.do" a b`.
fn as_command(words: &[String]) -> String {
    let Some((first, tail)) = words.split_first() else { return String::new() };
    let bare = first.trim_matches('"');
    if bare.len() > 3 && bare.ends_with(".do") && !bare.starts_with('!') {
        let mut all = vec![format!("do \"{bare}\"")];
        all.extend(tail.iter().cloned());
        return all.join(" ");
    }
    words.join(" ")
}

impl Invocation {
    /// Batch or console.
    pub(crate) fn mode(&self) -> Mode {
        if self.batch { Mode::Batch } else { Mode::Console }
    }
}

/// The do-file's base name without `.do`, with `.log`; `stata.log` for any other command.
fn log_name(command: &str, ext: &str) -> String {
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    if !matches!(word, "do" | "run" | "ru") {
        return format!("stata.{ext}");
    }
    let file = first_word(rest.trim_start());
    let base = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = base.strip_suffix(".do").unwrap_or(base);
    format!("{}.{ext}", if stem.is_empty() { "stata" } else { stem })
}

/// The first word of the command line without its quotes, plain or compound.
fn first_word(s: &str) -> &str {
    if let Some(inner) = s.strip_prefix("`\"") {
        return inner.split("\"'").next().unwrap_or(inner);
    }
    if let Some(inner) = s.strip_prefix('"') {
        return inner.split('"').next().unwrap_or(inner);
    }
    s.split(' ').next().unwrap_or(s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], command: Option<&str>, log: &str) {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        let inv = parse(&args).unwrap();
        assert_eq!((inv.command.as_deref(), inv.log_name.as_str()), (command, log), "{args:?}");
    }

    #[test]
    fn the_command_names_the_log() {
        check(&["-b", "do", "main.do"], Some("do main.do"), "main.log");
        check(&["-b", "do", "code/main.do", "1", "2"], Some("do code/main.do 1 2"), "main.log");
        check(&["-b", "do", "\"my file.do\""], Some("do \"my file.do\""), "my file.log");
        check(&["-b", "do", "`\"my file.do\"'"], Some("do `\"my file.do\"'"), "my file.log");
        check(&["-b", "main.do"], Some("do \"main.do\""), "main.log");
        check(&["-q", "-b", "main.do", "x"], Some("do \"main.do\" x"), "main.log");
        check(&["-e", "do", "main"], Some("do main"), "main.log");
        check(&["/e", "do", "main"], Some("do main"), "main.log");
        check(&["-s", "do", "main"], Some("do main"), "main.smcl");
        check(&["-b", "do", "-"], Some("do -"), "-.log");
        check(&["-b", "do", "/dev/fd/63"], Some("do /dev/fd/63"), "63.log");
        check(&["-b", "display", "1"], Some("display 1"), "stata.log");
        check(&[], None, "stata.log");
    }

    #[test]
    fn unknown_flags_are_named() {
        assert_eq!(parse(&["-z".into()]), Err("unknown flag -z".into()));
    }
}
