//! `judge`: Stata's verdict on any log, without a runtime, a gateway or a configuration.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use longhaul_agent::stata::{
    judge::{Judgement, LogEnd, Reason},
    judge_file_in,
    locate::{FailurePlace, LogStart, Whereabouts},
    progress::ProgressReader,
    surroundings::{Around, Suppressed, Surroundings},
};
use longhaul_proto::{
    api::{LocationView, SuppressedError},
    error_kind::{ErrorKind, Facts, advice},
    state::{Cause, RunState},
    visible,
};
use serde::Serialize;

use crate::{args::Judge, context::Failure, exit, output::Out};

/// Bytes read in one go.
const STEP: usize = 256 * 1024;

/// The documented object, whatever else the verdict type holds.
#[derive(Debug, Serialize)]
struct Verdict {
    state: LogEnd,
    reason: Reason,
    rc: Option<i64>,
    message: Option<String>,
    command: Option<String>,
    /// The do-file as its `do` named it.
    file: Option<String>,
    /// From 1; only where its source was found.
    line: Option<u32>,
    /// `file:line` or `file`, outermost first.
    callers: Vec<String>,
    progress: Option<Progress>,
    /// The kind of error; none for a success.
    kind: Option<ErrorKind>,
    /// What to do next.
    advice: String,
    /// The log's lines before Stata's code, or before its end, and those after the code.
    before: Vec<String>,
    after: Vec<String>,
    /// Errors that ended nothing.
    suppressed: Vec<SuppressedError>,
    suppressed_left_out: u32,
}

#[derive(Debug, Serialize)]
struct Progress {
    percent: Option<f64>,
    text: String,
}

/// Judges and prints.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn judge(args: &Judge) -> Result<u8, Failure> {
    let unreadable =
        |error| Failure::system(format!("cannot read {}: {error}; give the path of a Stata log", args.log.display()));
    if let Some(source) = args.source.as_ref().filter(|source| !source.is_dir()) {
        return Err(Failure::usage(format!(
            "--source {} is no folder; give the one with the do-files",
            source.display()
        )));
    }
    let verdict = if args.log.as_os_str() == "-" {
        let mut log = vec![];
        io::stdin().lock().read_to_end(&mut log).map_err(unreadable)?;
        verdict(&mut Cursor::new(log), args).map_err(unreadable)?
    } else {
        verdict(&mut File::open(&args.log).map_err(unreadable)?, args).map_err(unreadable)?
    };
    let mut out = Out::default();
    if args.json {
        out.json(&verdict)?;
    } else {
        out.text(&text(&verdict))?;
    }
    Ok(match verdict.state {
        LogEnd::Succeeded => 0,
        LogEnd::Failed => 1,
        LogEnd::Incomplete => exit::SYSTEM,
    })
}

fn verdict(log: &mut (impl Read + Seek), args: &Judge) -> io::Result<Verdict> {
    let Judgement { state, reason, rc, message, command, .. } = judge_file_in(log, args.encoding)?;
    let source = args.source.as_deref();
    let start = LogStart::in_directory(source.unwrap_or(Path::new(""))).in_encoding(args.encoding);
    let mut around = Surroundings::new(start, 0..u64::MAX, |path: &Path| read(path, source?));
    let mut progress = ProgressReader::new().in_encoding(args.encoding);
    log.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; STEP];
    loop {
        match log.read(&mut buffer)? {
            0 => break,
            n => {
                around.push(&buffer[..n]);
                progress.push(&buffer[..n]);
            }
        }
    }
    let (Whereabouts { mut open }, around) = match state {
        LogEnd::Succeeded => Default::default(),
        LogEnd::Failed | LogEnd::Incomplete => {
            let (_, open, around) = around.finish(command.as_deref(), rc);
            (open, around)
        }
    };
    let (file, line) = open.pop().map_or((None, None), |(file, line)| (Some(file), line));
    let callers = open.into_iter().map(|(file, line)| place(&file, line)).collect();
    let now = progress.current();
    let progress = (!now.text.is_empty()).then_some(Progress { percent: now.percent, text: now.text });
    let facts = Facts {
        state: match state {
            LogEnd::Succeeded => RunState::Succeeded,
            LogEnd::Failed => RunState::Failed,
            LogEnd::Incomplete => RunState::Errored,
        },
        cause: if state == LogEnd::Failed { Cause::StataError } else { Cause::Incomplete },
        rc,
        message: message.as_deref().unwrap_or_default(),
        command: command.as_deref().unwrap_or_default(),
        host: "",
        working_dir: "",
    };
    let kind = ErrorKind::of(&facts);
    let advice = kind.map(|kind| advice(kind, &facts)).unwrap_or_default();
    let Around { before, after, suppressed, left_out } = around;
    Ok(Verdict {
        state,
        reason,
        rc,
        file,
        line,
        callers,
        progress,
        kind,
        advice,
        before,
        after,
        suppressed: suppressed.into_iter().map(suppressed_error).collect(),
        suppressed_left_out: left_out,
        message,
        command,
    })
}

fn suppressed_error(error: Suppressed) -> SuppressedError {
    let place = error.place.map(|FailurePlace { place: at, callers }| LocationView {
        file: at.file,
        line: at.line,
        callers: callers.into_iter().map(|caller| place(&caller.file, Some(caller.line))).collect(),
    });
    SuppressedError { code: error.rc, message: error.message, command: error.command, place }
}

/// Reads a do-file of the log, which may have been written on another machine: the longest end of its path that is below
/// `source`.
fn read(path: &Path, source: &Path) -> Option<Vec<u8>> {
    let path = path.to_str()?.replace('\\', "/");
    let below: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    let mut ends = (0..below.len()).map(|from| source.join(below[from..].iter().collect::<PathBuf>()));
    std::fs::read(ends.find(|path| path.is_file())?).ok()
}

fn place(file: &str, line: Option<u32>) -> String {
    line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"))
}

fn text(verdict: &Verdict) -> String {
    let first = match (verdict.state, verdict.rc) {
        (LogEnd::Succeeded, _) => "succeeded".to_owned(),
        (LogEnd::Failed, Some(rc)) if verdict.reason == Reason::Break => {
            format!("failed: r({rc}), with --Break-- (a person pressed Break, or the code says `exit 1`)")
        }
        (LogEnd::Failed, Some(rc)) => format!("failed: r({rc})"),
        (LogEnd::Failed, None) => "failed".to_owned(),
        (LogEnd::Incomplete, _) => match verdict.reason {
            Reason::ExitStata => "incomplete: the do-file left Stata by `exit, STATA`; its exit status tells the rest",
            Reason::NothingRan => "incomplete: no command is in it",
            Reason::EndInBlock => {
                "incomplete: it stops after a do-file that a loop or program called, and does not tell whether that was the last"
            }
            _ => "incomplete: the log has no end (Stata still runs, was killed, or crashed)",
        }
        .to_owned(),
    };
    let mut lines = vec![first];
    lines.extend(verdict.message.iter().flat_map(|m| m.lines()).map(|l| format!("  {l}")));
    if verdict.state != LogEnd::Succeeded {
        lines.extend(verdict.command.iter().map(|c| format!("  command: {c}")));
        if let Some(file) = &verdict.file {
            let called: Vec<String> =
                verdict.callers.iter().rev().map(|caller| format!("called from {caller}")).collect();
            let callers = if called.is_empty() { String::new() } else { format!(" ({})", called.join(", ")) };
            lines.push(format!("  at {}{callers}", place(file, verdict.line)));
        }
        if let Some(kind) = verdict.kind.filter(|kind| *kind != ErrorKind::Unknown) {
            lines.push(format!("  kind: {kind}; {}", kind.row().try_again.words()));
        }
        lines.extend(
            Some(&verdict.advice).filter(|advice| !advice.is_empty()).map(|advice| format!("  next: {advice}")),
        );
        lines.extend(verdict.suppressed.iter().map(|error| format!("  ended nothing: {}", error.words())));
        if verdict.suppressed_left_out > 0 {
            lines.push(format!("  ended nothing: {} more errors", verdict.suppressed_left_out));
        }
        let percent = |p: &Progress| p.percent.map(|percent| format!("  {percent:.0} %: {}", p.text));
        lines.extend(verdict.progress.iter().filter_map(percent));
    }
    lines.iter().map(|line| visible::line(line).into_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(log: &str, source: Option<&Path>) -> Verdict {
        let args = Judge {
            log: PathBuf::from("-"),
            source: source.map(Path::to_owned),
            encoding: Default::default(),
            json: true,
        };
        verdict(&mut Cursor::new(log.as_bytes()), &args).unwrap()
    }

    #[test]
    fn the_documented_object() {
        let object = |log| serde_json::to_string(&of(log, None)).unwrap();
        assert_eq!(
            object("\n. display 1\n1\n\n. \nend of do-file\n"),
            r#"{"state":"succeeded","reason":"end_of_do_file","rc":null,"message":null,"command":null,"file":null,"line":null,"callers":[],"progress":{"percent":null,"text":"display 1"},"kind":null,"advice":"","before":[],"after":[],"suppressed":[],"suppressed_left_out":0}"#
        );
        let failed = object(
            "\n. do a\n\n. cap noi su x\nno observations\n\n. summarize y\nvariable y not found\nr(111);\n\nend of do-file\nr(111);\n",
        );
        let (known, rest) = failed.split_once(r#""advice":"#).unwrap();
        assert_eq!(
            known,
            r#"{"state":"failed","reason":"code","rc":111,"message":"variable y not found","command":"summarize y","file":"a","line":null,"callers":[],"progress":{"percent":null,"text":"summarize y"},"kind":"varname_not_found","#
        );
        let around = r#""before":[". do a",". cap noi su x","no observations",". summarize y","variable y not found"],"after":["end of do-file","r(111);"],"suppressed":[{"code":2000,"message":"no observations","command":"cap noi su x"}],"suppressed_left_out":0}"#;
        assert!(rest.ends_with(around), "{rest}");
        assert!(object("\n. sleep 1000\n").starts_with(r#"{"state":"incomplete","reason":"no_end","rc":null,"#));
    }

    #[test]
    fn a_person_reads_the_verdict_first() {
        let failed = text(&of("\n. error 9\nr(9);\n\nend of do-file\nr(9);\n", None));
        assert!(failed.starts_with("failed: r(9)\n"), "{failed}");
        assert!(text(&of("\n. exit, clear STATA\n", None)).contains("its exit status tells the rest"));
        assert_eq!(text(&of("", None)), "incomplete: no command is in it\n");
    }

    #[test]
    fn sources_give_the_line_also_those_of_another_machine() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("code")).unwrap();
        std::fs::write(folder.path().join("main.do"), "di 1\ndo \"C:\\p\\code\\sub.do\"\n").unwrap();
        std::fs::write(folder.path().join("code/sub.do"), "* sub\nforeach x in a {\n  bad\n}\n").unwrap();
        let log = "\n. do main.do\n\n. di 1\n1\n\n. do \"C:\\p\\code\\sub.do\"\n\n. * sub\n. foreach x in a {\n  2.   bad\n  3. }\n\
            command bad is unrecognized\nr(199);\n\nend of do-file\nr(199);\n\nend of do-file\nr(199);\n";
        let found = of(log, Some(folder.path()));
        assert_eq!((found.command.as_deref(), found.line), (Some("bad"), Some(3)), "{found:?}");
        assert_eq!(found.callers, ["main.do:2"]);
        let shown = text(&found);
        assert!(shown.contains("  at C:\\p\\code\\sub.do:3 (called from main.do:2)\n"), "{shown}");
    }
}
