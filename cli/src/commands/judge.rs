//! `judge`: Stata's verdict on any log, without a runtime, a gateway or a configuration.

use std::{
    fs::File,
    io::{Cursor, Read},
};

use longhaul_agent::stata::{
    judge::{Judgement, LogEnd},
    judge_file,
};
use serde::Serialize;

use crate::{args::Judge, context::Failure, exit, output::Out};

/// The documented object, whatever else the verdict type holds.
#[derive(Debug, Serialize)]
struct Verdict<'a> {
    state: LogEnd,
    rc: Option<i64>,
    message: Option<&'a str>,
    command: Option<&'a str>,
}

/// Judges and prints.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn judge(args: &Judge) -> Result<u8, Failure> {
    let unreadable =
        |error| Failure::system(format!("cannot read {}: {error}; give the path of a Stata log", args.log.display()));
    let judgement = if args.log.as_os_str() == "-" {
        let mut log = vec![];
        std::io::stdin().lock().read_to_end(&mut log).map_err(unreadable)?;
        judge_file(&mut Cursor::new(log)).map_err(unreadable)?
    } else {
        judge_file(&mut File::open(&args.log).map_err(unreadable)?).map_err(unreadable)?
    };
    let mut out = Out::default();
    if args.json {
        let Judgement { state, rc, message, command, .. } = &judgement;
        out.json(&Verdict { state: *state, rc: *rc, message: message.as_deref(), command: command.as_deref() })?;
    } else {
        out.text(&text(&judgement))?;
    }
    Ok(match judgement.state {
        LogEnd::Succeeded => 0,
        LogEnd::Failed => 1,
        LogEnd::Incomplete => exit::SYSTEM,
    })
}

fn text(judgement: &Judgement) -> String {
    let mut lines = vec![match (judgement.state, judgement.rc) {
        (LogEnd::Succeeded, _) => "succeeded".to_owned(),
        (LogEnd::Failed, Some(rc)) => format!("failed: r({rc})"),
        (LogEnd::Failed, None) => "failed".to_owned(),
        (LogEnd::Incomplete, _) => {
            "incomplete: the log has no end (still running, killed, or left by `exit, STATA`)".into()
        }
    }];
    lines.extend(judgement.message.iter().flat_map(|m| m.lines()).map(|l| format!("  {l}")));
    lines.extend(
        judgement.command.iter().filter(|_| judgement.state != LogEnd::Succeeded).map(|c| format!("  command: {c}")),
    );
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(log: &str) -> String {
        let judgement = longhaul_agent::stata::judge::judge(log.as_bytes());
        let Judgement { state, rc, message, command, .. } = &judgement;
        let verdict = Verdict { state: *state, rc: *rc, message: message.as_deref(), command: command.as_deref() };
        serde_json::to_string(&verdict).unwrap()
    }

    #[test]
    fn the_documented_object() {
        assert_eq!(
            object("\n. display 1\n1\n\n. \nend of do-file\n"),
            r#"{"state":"succeeded","rc":null,"message":null,"command":null}"#
        );
        assert_eq!(
            object("\n. summarize y\nvariable y not found\nr(111);\n\nend of do-file\nr(111);\n"),
            r#"{"state":"failed","rc":111,"message":"variable y not found","command":"summarize y"}"#
        );
        assert!(object("\n. sleep 1000\n").starts_with(r#"{"state":"incomplete","rc":null,"#));
    }

    #[test]
    fn a_person_reads_the_verdict_first() {
        let failed = longhaul_agent::stata::judge::judge(b"\n. error 9\nr(9);\n\nend of do-file\nr(9);\n");
        assert!(text(&failed).starts_with("failed: r(9)\n"), "{}", text(&failed));
    }
}
