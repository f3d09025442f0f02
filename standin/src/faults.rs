//! Faults on demand.
//!
//! A do-file asks for one with a comment, `*! standin: WORDS`, which takes effect when that line is reached; the
//! process that starts the stand-in asks with environment variables (all begin with `LONGHAUL_STANDIN_`):
//!
//! | variable | meaning |
//! |---|---|
//! | `AT` | `[FILE:]LINE WORDS; …`: the words of the comments below, at a line of the do-file of that name (without a name: of any do-file) |
//! | `SIGINT` | `break` (default), `die` or `ignore` |
//! | `TIME_SCALE` | factor for every sleep and stall, such as `0.01` |
//! | `START_DELAY_MS` | milliseconds before the log file appears |
//! | `START_HOLD` | a file: after the banner nothing happens until it exists |
//! | `SERIAL` | a serial number for the banner, to find it again where it does not belong |
//! | `VERSION` | the release whose manners it has where they differ, from 13 to 18: 18 by default |
//! | `PROCESSORS` | cores that its licence allows, as with Stata/MP; by default it is no MP, and uses one |
//! | `LICENSED` | what the banner says of a licence, such as `2-user 4-core network, expiring  8 Mar 2027` |
//! | `LICENCE` | `invalid`, `missing`, `seat`: a message on the terminal, no log, status 1; `hang`: none of these, for ever |
//! | `EXIT` | `status` (default): `exit 3, STATA` ends with status 3; `zero`: with 0 |
//! | `FLUSH` | `line` (default): every line can be read at once; `end`: nothing before the end |
//! | `LOG_NAME` | `whole` (default): of `two words.do` the log is `two words.log`; `word`: `two.log` |
//! | `END_STATE` | a file: all that is left in the process at its end is written there |
//! | `CHILD` | words of `child` below, at the start |
//!
//! | words | effect |
//! |---|---|
//! | `silence MS` | nothing happens for so long; an interrupt ends it as a break |
//! | `burst N` | N lines as fast as they can be written |
//! | `longline [BYTES]` | one line, by default of 1 MiB, without wrapping |
//! | `badutf8` | a line that is not UTF-8 |
//! | `crash [abort\|segv\|kill]` | the process dies by that signal, `abort` by default |
//! | `status N` | the process ends at once with exit status N |
//! | `hang` | nothing ever again; an interrupt does not help |
//! | `sigint=break\|die\|ignore` | as `SIGINT`, from here on |
//! | `child [SECONDS] [group\|session]` | starts a process that outlives this one; in the same process group, its own group, or its own session |
//! | `state FILE` | what is in the process now is written to the file |
//! | `run COMMAND` | the command is executed |
//! | `timescale X` | as `TIME_SCALE`, from here on |

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::clock;
use crate::interp::{Interp, Outcome, Stop};
use crate::signals::OnInterrupt;

/// Prefix of all environment variables.
const PREFIX: &str = "LONGHAUL_STANDIN_";

/// Beginning of a magic comment.
const MAGIC: &str = "*! standin:";

/// The result of the licence check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Licence {
    /// `License is invalid`: known from public reports.
    Invalid,
    /// No licence file: known from public reports.
    Missing,
    /// All seats taken. No public text exists; this one is invented and says so.
    Seat,
    /// The start never ends.
    Hang,
}

/// Faults that the environment asks for.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Factor for sleeps.
    pub(crate) time_scale: f64,
    /// Time before the log appears.
    pub(crate) start_delay: Duration,
    /// A file that must exist before anything follows the banner.
    pub(crate) start_hold: Option<std::path::PathBuf>,
    /// The banner's serial number.
    pub(crate) serial: Option<String>,
    /// The release whose manners it has: `c(stata_version)`.
    pub(crate) version: f64,
    /// Cores that the licence allows; `None` = not MP.
    pub(crate) processors: Option<u32>,
    /// `exit #, STATA` ends with status 0.
    pub(crate) exit_zero: bool,
    /// Nothing can be read before the end.
    pub(crate) flush_at_end: bool,
    /// The log's name ends at the first blank of the do-file's.
    pub(crate) one_word_log: bool,
    /// What the banner says of a licence.
    pub(crate) licensed: Option<String>,
    /// What is wrong with the licence, if anything.
    pub(crate) licence: Option<Licence>,
    /// Behaviour on SIGINT.
    pub(crate) sigint: OnInterrupt,
    /// Where the state at the end is written.
    pub(crate) end_state: Option<std::path::PathBuf>,
    /// `child` words for the start.
    pub(crate) child: Option<String>,
    at: Vec<At>,
}

/// A fault at a line.
#[derive(Debug)]
struct At {
    file: Option<String>,
    line: usize,
    words: String,
}

impl Faults {
    /// Reads the environment.
    ///
    /// # Errors
    /// Names the variable whose value makes no sense.
    pub(crate) fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |name: &str| get(&format!("{PREFIX}{name}")).filter(|v| !v.is_empty());
        let bad = |name: &str, v: &str| format!("{PREFIX}{name} cannot be {v:?}");
        let number = |name: &str, default: f64| match get(name) {
            None => Ok(default),
            Some(v) => v.parse().ok().filter(|x: &f64| x.is_finite() && *x >= 0.0).ok_or_else(|| bad(name, &v)),
        };
        let licence = match get("LICENCE").as_deref() {
            None => None,
            Some("invalid") => Some(Licence::Invalid),
            Some("missing") => Some(Licence::Missing),
            Some("seat") => Some(Licence::Seat),
            Some("hang") => Some(Licence::Hang),
            Some(v) => return Err(bad("LICENCE", v)),
        };
        // Whether it is the second of two words.
        let other = |name: &str, words: [&str; 2]| match get(name) {
            None => Ok(false),
            Some(v) => words.iter().position(|word| *word == v).map(|at| at == 1).ok_or_else(|| bad(name, &v)),
        };
        let sigint = match get("SIGINT") {
            None => OnInterrupt::Break,
            Some(v) => OnInterrupt::parse(&v).ok_or_else(|| bad("SIGINT", &v))?,
        };
        let version = match get("VERSION") {
            None => crate::banner::VERSION,
            Some(v) => v.parse().ok().filter(|x| (13.0..19.0).contains(x)).ok_or_else(|| bad("VERSION", &v))?,
        };
        let processors = match get("PROCESSORS") {
            None => None,
            Some(v) => Some(v.parse().ok().filter(|n| (1..=64).contains(n)).ok_or_else(|| bad("PROCESSORS", &v))?),
        };
        let mut at = Vec::new();
        for part in get("AT").unwrap_or_default().split(';').filter(|p| !p.trim().is_empty()) {
            at.push(At::parse(part.trim()).ok_or_else(|| bad("AT", part))?);
        }
        Ok(Self {
            time_scale: number("TIME_SCALE", 1.0)?,
            start_delay: Duration::from_secs_f64(number("START_DELAY_MS", 0.0)? / 1000.0),
            start_hold: get("START_HOLD").map(Into::into),
            serial: get("SERIAL"),
            version,
            processors,
            exit_zero: other("EXIT", ["status", "zero"])?,
            flush_at_end: other("FLUSH", ["line", "end"])?,
            one_word_log: other("LOG_NAME", ["whole", "word"])?,
            licensed: get("LICENSED"),
            licence,
            sigint,
            end_state: get("END_STATE").map(Into::into),
            child: get("CHILD"),
            at,
        })
    }

    /// Whether it has the manners of this release or a later one.
    pub(crate) fn since(&self, version: f64) -> bool {
        self.version >= version
    }

    /// A time after scaling.
    pub(crate) fn scaled(&self, millis: f64) -> Duration {
        Duration::try_from_secs_f64((millis * self.time_scale / 1000.0).max(0.0)).unwrap_or(Duration::MAX)
    }

    /// The words that apply to a line, given its do-file's path and the lines of a statement.
    fn words_at(&self, file: &str, first: usize, count: usize) -> Vec<String> {
        let base = file.rsplit('/').next().unwrap_or(file);
        let hit =
            |a: &&At| (first..first + count.max(1)).contains(&a.line) && a.file.as_deref().is_none_or(|f| f == base);
        self.at.iter().filter(hit).map(|a| a.words.clone()).collect()
    }
}

impl At {
    fn parse(part: &str) -> Option<Self> {
        let (place, words) = part.split_once(' ')?;
        let (file, line) = match place.rsplit_once(':') {
            Some((file, line)) => (Some(file.to_owned()), line),
            None => (None, place),
        };
        Some(Self { file, line: line.parse().ok()?, words: words.trim().to_owned() })
    }
}

/// Does what a statement's lines or the environment ask for at this place.
///
/// # Errors
/// A break during `silence`; words that are none of the above.
pub(crate) fn strike(interp: &mut Interp, file: &str, line: usize, raw: &[String]) -> Outcome {
    for words in interp.faults.words_at(file, line, raw.len()) {
        act(interp, &words)?;
    }
    for text in raw {
        if let Some(words) = text.trim_start().strip_prefix(MAGIC) {
            act(interp, words.trim())?;
        }
    }
    Ok(())
}

/// Carries out one fault.
pub(crate) fn act(interp: &mut Interp, words: &str) -> Outcome {
    let mut list = words.split_whitespace();
    let verb = list.next().unwrap_or_default();
    let args: Vec<&str> = list.collect();
    let number = |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    match verb {
        "silence" => {
            #[allow(clippy::cast_precision_loss)] // milliseconds
            let total = interp.faults.scaled(number(0, 60_000) as f64);
            if !clock::sleep(total, &interp.signals) {
                interp.signals.take_break();
                return Err(Stop::silent(1));
            }
        }
        "burst" => {
            for i in 1..=number(0, 100_000) {
                interp.out.put(&format!("burst line {i}\n"));
            }
        }
        "longline" => {
            interp.out.put_bytes(&vec![b'x'; number(0, 1 << 20)]);
            interp.out.end_line();
        }
        "badutf8" => {
            interp.out.put_bytes(b"not utf-8: \xff\xfe\x80 caf\xe9");
            interp.out.end_line();
        }
        "crash" => crash(args.first().copied().unwrap_or("abort")),
        "status" => std::process::exit(i32::try_from(number(0, 1)).unwrap_or(1)),
        "hang" => clock::hang(),
        "child" => child(&args)?,
        "state" => crate::state::write(interp, std::path::Path::new(&args.join(" "))),
        "run" => crate::exec::command(interp, words.strip_prefix("run").unwrap_or_default().trim())?,
        "timescale" => {
            let x = args.first().and_then(|a| a.parse().ok()).filter(|x: &f64| x.is_finite() && *x >= 0.0);
            interp.faults.time_scale = x.ok_or_else(|| unknown(words))?;
        }
        _ => match verb.strip_prefix("sigint=").and_then(OnInterrupt::parse) {
            Some(mode) => interp.signals.set(mode),
            None => return Err(unknown(words)),
        },
    }
    Ok(())
}

fn unknown(words: &str) -> Stop {
    Stop::new(198, format!("the stand-in has no fault called \"{words}\""))
}

/// Dies by a signal, without a core file.
fn crash(how: &str) -> ! {
    use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let signal = match how {
        "segv" => Signal::SEGV,
        "kill" => Signal::KILL,
        _ => Signal::ABORT,
    };
    // Twice: the language's own handler for stack overflows lets the first SIGSEGV pass and removes itself.
    for _ in 0..2 {
        let _ = kill_process(getpid(), signal);
    }
    std::process::abort()
}

/// Starts a process that goes on when this one ends.
fn child(args: &[&str]) -> Outcome {
    let seconds = args.iter().find_map(|a| a.parse::<u64>().ok()).unwrap_or(600).to_string();
    let mut command = if args.contains(&"session") {
        let mut c = Command::new("setsid");
        c.args(["sleep", &seconds]);
        c
    } else {
        let mut c = Command::new("sleep");
        c.arg(&seconds);
        c
    };
    if args.contains(&"group") {
        command.process_group(0);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).map_err(|e| Stop::new(198, format!("the stand-in could not start a child: {e}")))
}

/// What the terminal shows when the licence is at fault.
pub(crate) fn licence_text(what: Licence) -> &'static str {
    match what {
        Licence::Invalid => "License is invalid\n",
        Licence::Missing => "Cannot find license file stata.lic\n",
        _ => "All seats of this license are taken (text invented by the Longhaul stand-in)\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Faults, String> {
        Faults::from_env(|n| pairs.iter().find(|(k, _)| format!("{PREFIX}{k}") == n).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_environment_is_checked() {
        let f = read(&[("TIME_SCALE", "0.01"), ("SIGINT", "die"), ("AT", "main.do:3 crash segv; 7 hang")]).unwrap();
        assert_eq!(f.scaled(1000.0), Duration::from_millis(10));
        assert_eq!(f.sigint, OnInterrupt::Die);
        assert_eq!(f.words_at("/a/main.do", 3, 1), ["crash segv"]);
        assert_eq!(f.words_at("/a/other.do", 3, 1), Vec::<String>::new());
        assert_eq!(f.words_at("/a/other.do", 6, 2), ["hang"]);
        let check = |k: &str, v: &str| assert!(read(&[(k, v)]).unwrap_err().contains(k));
        check("TIME_SCALE", "-1");
        check("LICENCE", "gone");
        check("PROCESSORS", "0");
        check("FLUSH", "never");
        assert!(read(&[("EXIT", "zero")]).unwrap().exit_zero && !read(&[("EXIT", "status")]).unwrap().exit_zero);
        check("SIGINT", "never");
        check("AT", "crash");
    }
}
