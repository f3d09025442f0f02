//! `stata -b do x.do`: what Makefiles and scripts call Stata by, through the queue.
//!
//! What they see is Stata's own: the log beside them under Stata's name for it, nothing on stdout, status 0 whatever the
//! do-file does. What is different is said on stderr, and only where a person reads it or something went wrong.

use std::{
    ffi::OsString,
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use clap::Parser;
use longhaul_proto::{
    api::{CancelMode, RunView},
    ids::RunId,
    state::RunState,
};

use super::{doctor, run::submit};
use crate::{
    args::{Cli, Command, Stata},
    context::{Context, Failure},
    exit,
    follow::{End, Follower},
    gateway_handle::{Begins, GatewayHandle, Need},
    input::{self, Hosts},
    output::{Out, OwnFiles, ShownOn, Status, When, say, verdict},
    printer::Printer,
    signals::{Asked, Signals},
};

/// Statuses of a process that SIGINT and SIGTERM ended, as shells tell them.
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

/// What a command line of Stata's asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asks {
    strict: bool,
    /// A person has agreed to the risky commands.
    confirm: bool,
    smcl: bool,
    /// The command that starts it, as Stata echoes it; `None` = it does not (`-q`).
    command: Option<String>,
    file: PathBuf,
    args: Vec<String>,
}

/// `stata`.
///
/// # Errors
/// With what to do.
pub(crate) async fn stata(context: &Context, args: &Stata) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let asks = read(&args.words, (args.strict, args.confirm))?;
    let settings = &context.config.settings;
    let remote = settings.gateway.is_some();
    let mut input = input::request(&as_run(&asks)?, if remote { Hosts::Anywhere } else { Hosts::Here })?;
    input.request.engine = settings.engine.filter(|_| !remote).map(|engine| engine.as_str().into());
    input.request.confirm = asks.confirm;
    input.request.key = Some(context.ids.name());
    check_log(&log_path(&asks))?;
    let need = Need { engine: settings.engine, starts_runs: true, begins: Begins::Always, ..Need::default() };
    let mut gateway = GatewayHandle::open(context, need).await?;
    let done = match submit(context, &mut gateway, input).await {
        Ok(submitted) => accepted(context, &asks, submitted.run.run_id, &mut gateway, &mut signals).await,
        Err(error) => Err(unconfirmed(error)),
    };
    gateway.close().await;
    done
}

/// A Makefile knows this command by one name, so the refusal says how it is confirmed there.
fn unconfirmed(error: Failure) -> Failure {
    if !error.message.contains("wants a person to agree") {
        return error;
    }
    let how =
        "Here: `longhaul stata --confirm -b do FILE.do`, which is `STATA = longhaul stata --confirm` in a Makefile";
    Failure { message: format!("{}. {how}", error.message), ..error }
}

/// The log is made once the run is accepted: a call that is refused leaves an older one as it was, and no empty one that
/// `make` would take for a result.
async fn accepted(
    context: &Context,
    asks: &Asks,
    run: RunId,
    gateway: &mut GatewayHandle,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let (log, show) = log(asks)?;
    if io::stderr().is_terminal() {
        say(&format!("run {}, log in {}", run.short(), log.display()));
    }
    let follower = Follower::new(context, run, Some(show), Status::new(ShownOn::Terminals));
    let shown = Shown { strict: asks.strict, ours: OwnFiles::of_process().and(&log), when: When::new(context.utc) };
    let done = follow(follower, gateway, signals, &shown).await;
    if asks.smcl {
        let end = fs::OpenOptions::new().append(true).open(&log).and_then(|mut file| file.write_all(SMCL_END));
        end.map_err(|error| unwritable(&log, &error))?;
    }
    done
}

async fn follow(
    mut follower: Follower<'_>,
    gateway: &mut GatewayHandle,
    signals: &mut Signals,
    shown: &Shown,
) -> Result<u8, Failure> {
    let mut ended_by = None;
    loop {
        let asked = match follower.follow(gateway, signals, None).await? {
            End::Ended(run) => return Ok(ended_by.unwrap_or_else(|| told(&run, shown))),
            // There is no limit.
            End::Limit => continue,
            End::Asked(asked) => asked,
        };
        let status = match asked {
            Asked::Interrupt => INTERRUPTED,
            Asked::Terminate => TERMINATED,
            Asked::HangUp => {
                say(&format!("leaving; run {0} goes on: `longhaul wait {0}`", follower.run().short()));
                return Ok(exit::GOES_ON);
            }
        };
        if ended_by.replace(status).is_some() {
            return Ok(status);
        }
        // As the signal would have ended Stata itself.
        gateway.client.cancel(&follower.run().to_string(), CancelMode::Break).await?;
    }
}

/// How an end is told.
struct Shown {
    strict: bool,
    ours: OwnFiles,
    when: When,
}

/// The status, and what a person should know.
fn told(run: &RunView, shown: &Shown) -> u8 {
    let strict = shown.strict;
    let by_the_do_file = matches!(run.state, RunState::Succeeded | RunState::Failed);
    let silent = run.state == RunState::Succeeded || (by_the_do_file && !strict && !io::stderr().is_terminal());
    if !silent {
        say(verdict(&shown.when.of_run(&shown.ours.left_out(run))).trim_end());
    }
    // What ended otherwise than by the do-file has no verdict of Stata's, as where Stata itself does not start.
    if by_the_do_file && !strict { 0 } else { exit::of_state(run.state) }
}

/// Reads a command line of Stata's.
fn read(words: &[String], (strict, confirm): (bool, bool)) -> Result<Asks, Failure> {
    let usage = |what: String| {
        Failure::usage(format!(
            "{what}: `longhaul stata` runs do-files in batch, as in `longhaul stata -b do FILE.do ARGS`"
        ))
    };
    let (mut strict, mut confirm, mut smcl, mut quiet, mut rest) = (strict, confirm, false, false, words);
    while let [first, more @ ..] = rest
        && first.starts_with('-')
        && first.len() > 1
    {
        match first.as_str() {
            "-b" | "-e" => {}
            "-q" => quiet = true,
            "-s" => smcl = true,
            "--strict" => strict = true,
            "--confirm" => confirm = true,
            other => return Err(usage(format!("flag {other} is not taken"))),
        }
        rest = more;
    }
    let whole = rest;
    if let [first, more @ ..] = rest
        && ["do", "run"].contains(&first.as_str())
        && !more.is_empty()
    {
        rest = more;
    }
    let Some((file, args)) = rest.split_first() else { return Err(usage("no do-file is named".to_owned())) };
    let command = match whole.len() == rest.len() {
        true => format!("do \"{}\"", unquoted(file)),
        false => format!("{} {file}", whole[0]),
    };
    let command = [&[command], args].concat().join(" ");
    // Stata gets one line and reads its quotes; a shell may have taken them away.
    let args = split(&args.join(" "));
    if args.iter().any(|arg| arg == "," || arg.ends_with(',')) {
        return Err(usage("options after a comma are not taken".to_owned()));
    }
    let command = (!quiet).then_some(command);
    Ok(Asks { strict, confirm, smcl, command, file: unquoted(file).into(), args })
}

fn unquoted(word: &str) -> &str {
    let word = word.strip_prefix("`\"").and_then(|word| word.strip_suffix("\"'")).unwrap_or(word);
    word.strip_prefix('"').and_then(|word| word.strip_suffix('"')).unwrap_or(word)
}

/// Words with blanks between, where `"two words"` is one.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut in_word) = (vec![], String::new(), false, false);
    for c in line.chars() {
        match c {
            '"' => (quoted, in_word) = (!quoted, true),
            ' ' if !quoted => {
                if std::mem::take(&mut in_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => {
                word.push(c);
                in_word = true;
            }
        }
    }
    words.extend(in_word.then_some(word));
    words
}

/// The same as a command line of `run`: in this folder, whatever ran before.
fn as_run(asks: &Asks) -> Result<crate::args::Run, Failure> {
    let words = ["longhaul", "run", "--again", "--working-dir", "."].map(OsString::from);
    // Not a flag, whatever it begins with.
    let dash = asks.file.to_string_lossy().starts_with('-');
    let file = if dash { Path::new(".").join(&asks.file) } else { asks.file.clone() };
    let words = words.into_iter().chain([file.into(), "--".into()]);
    let words = words.chain(asks.args.iter().map(OsString::from));
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Run(run)) => Ok(run),
        Ok(_) => Err(Failure::usage("no do-file is named")),
        Err(error) => Err(Failure::usage(error.to_string())),
    }
}

/// The log that Stata would write here.
fn log_path(asks: &Asks) -> PathBuf {
    let name = asks.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".do").unwrap_or(&name);
    PathBuf::from(format!("{stem}.{}", if asks.smcl { "smcl" } else { "log" }))
}

/// Looks whether the log can be written, without touching it: a run without one would be of no use here.
fn check_log(path: &Path) -> Result<(), Failure> {
    let failed = match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(io::Error::from),
        Err(_) if doctor::writable(Path::new(".")) => Ok(()),
        Err(_) => Err(io::ErrorKind::PermissionDenied.into()),
    };
    failed.map_err(|error| unwritable(path, &error))
}

/// What writes the log, which is made here.
fn log(asks: &Asks) -> Result<(PathBuf, Printer), Failure> {
    let path = log_path(asks);
    let mut file = fs::File::create(&path).map_err(|error| unwritable(&path, &error))?;
    let begin = begin(asks);
    if !asks.smcl {
        file.write_all(begin.as_bytes()).map_err(|error| unwritable(&path, &error))?;
        return Ok((path, Printer::bytes_to(Out::new(file))));
    }
    file.write_all(SMCL_BEGIN).map_err(|error| unwritable(&path, &error))?;
    let mut smcl = Smcl(file);
    smcl.write_all(begin.as_bytes()).map_err(|error| unwritable(&path, &error))?;
    Ok((path, Printer::bytes_to(Out::new(smcl))))
}

/// The echo of the command that starts the do-file, as Stata's own batch logs have it; by it a reader knows to which do-file
/// the commands below belong. The banner above it is of the run's own log (`longhaul log RUN --raw`).
fn begin(asks: &Asks) -> String {
    // With the blank that Stata ends the line with.
    asks.command.as_ref().map_or_else(String::new, |command| format!("\n. {command} \n\n"))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::system(format!("cannot write the log {} in this folder: {error}", path.display()))
}

const SMCL_BEGIN: &[u8] = b"{smcl}\n{txt}{sf}{ul off}";
const SMCL_END: &[u8] = b"{smcl}\n{txt}{sf}{ul off}";

/// Text as SMCL: its braces are written as SMCL writes them.
struct Smcl(fs::File);

impl Write for Smcl {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            match byte {
                b'{' => out.extend_from_slice(b"{c -(}"),
                b'}' => out.extend_from_slice(b"{c )-}"),
                byte => out.push(*byte),
            }
        }
        self.0.write_all(&out)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_of_stata_are_read() {
        fn check(line: &[&str], want: Option<(&str, &[&str], bool)>) {
            let words: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
            let got =
                read(&words, (false, false)).ok().map(|asks| (asks.file.display().to_string(), asks.args, asks.smcl));
            let want = want.map(|(file, args, smcl)| {
                (file.to_owned(), args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>(), smcl)
            });
            assert_eq!(got, want, "{line:?}");
        }
        check(&["-b", "do", "x.do"], Some(("x.do", &[], false)));
        check(&["-b", "x.do", "a", "b"], Some(("x.do", &["a", "b"], false)));
        check(&["-q", "-s", "do", "my file", "1"], Some(("my file", &["1"], true)));
        check(
            &["-e", "do", "\"my file.do\"", "\"two words\"", "three"],
            Some(("my file.do", &["two words", "three"], false)),
        );
        check(&["-b", "do", "x.do", "a b"], Some(("x.do", &["a", "b"], false)));
        check(&["do"], Some(("do", &[], false)));
        check(&["-b"], None);
        check(&["-h", "x.do"], None);
        check(&["-b", "do", "x.do,", "nostop"], Some(("x.do,", &["nostop"], false)));
        check(&["-b", "do", "x.do", ",", "nostop"], None);
    }
}
