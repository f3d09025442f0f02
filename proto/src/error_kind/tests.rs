//! The table is complete, and the kinds of ends are what people read.

use super::*;
use RunState::{Cancelled, Errored, Failed, Lost, Rejected, Succeeded, TimedOut};

fn facts<'a>(state: RunState, cause: Cause, rc: Option<i64>, message: &'a str, command: &'a str) -> Facts<'a> {
    Facts { state, cause, rc, message, command, host: "stata1", working_dir: "/p" }
}

#[test]
fn each_kind_belongs_to_ends_that_are_errors_as_the_states_say() {
    for kind in ErrorKind::ALL {
        let row = kind.row();
        assert_eq!((row.kind, kind.as_str().parse::<ErrorKind>().unwrap()), (*kind, *kind));
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        assert!(!row.states.is_empty() && !row.states.contains(&Succeeded), "{kind}");
        for state in row.states {
            assert_eq!(state.meaning().unwrap().is_error, row.is_error, "{kind} in {state}");
        }
    }
    for state in RunState::ALL.iter().filter(|state| state.is_end() && **state != Succeeded) {
        assert!(ErrorKind::ALL.iter().any(|kind| kind.row().states == [*state]) || *state == Rejected, "{state}");
    }
}

/// The ends that a cause makes, of the lists in `state.rs` and `run.proto`.
fn ends(cause: Cause) -> &'static [RunState] {
    match cause {
        Cause::Submitted | Cause::Returned | Cause::Dispatched | Cause::FirstOutput | Cause::ProvenDead => &[],
        Cause::Completed | Cause::CompletedUnconfirmed => &[Succeeded],
        Cause::StataError => &[Failed],
        Cause::SpawnFailed
        | Cause::StartTimeout
        | Cause::Licence
        | Cause::Killed
        | Cause::Crashed
        | Cause::OutOfMemory
        | Cause::HostRebooted
        | Cause::Incomplete
        | Cause::SourceUnreadable
        | Cause::SpoolFull
        | Cause::NotStarted => &[Errored],
        Cause::RunTimeout | Cause::QueueTimeout => &[TimedOut],
        Cause::CancelRequested => &[Cancelled],
        Cause::AgentGone | Cause::DeclaredDead => &[Lost],
        Cause::Malformed | Cause::Forbidden | Cause::OverLimit => &[Errored, Rejected],
    }
}

#[test]
fn each_cause_of_an_end_has_a_kind_of_that_end() {
    for cause in Cause::ALL {
        for state in ends(*cause) {
            let kind = ErrorKind::of(&facts(*state, *cause, None, "", ""));
            assert_eq!(kind.is_some(), *state != Succeeded, "{cause}");
            let Some(kind) = kind else { continue };
            assert!(kind.row().states.contains(state), "{cause}: {kind} is none of {state}");
            let unsure = matches!(cause, Cause::StataError | Cause::Incomplete);
            assert_eq!(kind == ErrorKind::Unknown, unsure, "{cause}: {kind}");
        }
        assert_eq!(of_cause(*cause).is_none(), ends(*cause).iter().all(|state| *state == Succeeded), "{cause}");
    }
}

#[test]
fn each_kind_is_that_of_some_end() {
    let told = [ErrorKind::NoAgent, ErrorKind::OutputTooLarge];
    for kind in ErrorKind::ALL {
        let by_cause = Cause::ALL.iter().any(|cause| of_cause(*cause) == Some(*kind));
        let by_code = codes::CODES.iter().any(|(_, of)| of == kind)
            || codes::SAID.iter().any(|(.., of)| of == kind)
            || codes::CLASSES.iter().any(|(.., of)| of == kind);
        assert!(by_cause || by_code || told.contains(kind), "{kind} has no end");
    }
}

#[test]
fn each_class_of_return_codes_has_a_kind_that_a_failure_can_have() {
    let kinds = codes::CODES.iter().map(|(_, kind)| kind).chain(codes::CLASSES.iter().map(|(.., kind)| kind));
    for kind in kinds.chain(codes::SAID.iter().map(|(.., kind)| kind)) {
        assert!(kind.row().states.contains(&Failed), "{kind}");
    }
    for pair in codes::CODES.windows(2) {
        assert!(pair[0].0.end() < pair[1].0.start() || pair[1].0.contains(pair[0].0.start()), "{pair:?}");
    }
    for (codes, class, kind) in codes::CLASSES {
        let unlisted = codes.clone().find(|rc| !codes::CODES.iter().any(|(listed, _)| listed.contains(rc)));
        assert_eq!(codes::kind(unlisted.unwrap(), "", "regress y x"), *kind, "{class}");
    }
}

#[test]
fn kinds_of_failures() {
    let check = |rc: i64, message: &str, command: &str, want: ErrorKind| {
        let kind = ErrorKind::of(&facts(Failed, Cause::StataError, Some(rc), message, command)).unwrap();
        assert_eq!(kind, want, "r({rc}) {message} of {command}");
    };
    check(198, "invalid syntax", "gen = 1", ErrorKind::Syntax);
    check(198, "option xb not allowed", "su x, xb", ErrorKind::Syntax);
    check(198, "1x invalid name", "gen 1x = 1", ErrorKind::InvalidName);
    check(199, "command eststo is unrecognized", "eststo m", ErrorKind::CommandNotFound);
    check(111, "bad_var not found", "gen y = bad_var", ErrorKind::VarnameNotFound);
    check(601, "file a.dta not found", "use a", ErrorKind::FileNotFound);
    check(430, "convergence not achieved", "logit y x", ErrorKind::Convergence);
    check(1400, "initial values not feasible", "ml max", ErrorKind::Infeasible);
    check(1400, "numerical overflow", "ml max", ErrorKind::Unknown);
    check(2000, "no observations", "regress y x", ErrorKind::NoObservations);
    check(2000, "outcome does not vary; remember:", "logit y x", ErrorKind::EstimationFailure);
    check(910, "exceeded memory limits using exact(1)", "tab a b, exact", ErrorKind::StataLimit);
    check(910, "value too small", "set maxvar 1", ErrorKind::Unknown);
    check(409, "no variance", "ttest x = 1", ErrorKind::EstimationFailure);
    check(9, "assertion is false", "assert x", ErrorKind::ExpectationFailed);
    check(1, "", "sleep 1000", ErrorKind::Interrupt);
    check(1, "", "exit 1", ErrorKind::Unknown);
    check(198, "", "qui exit 198", ErrorKind::Unknown);
    check(198, "bad", "exits 198", ErrorKind::Syntax);
    check(498, "something", "myprogram", ErrorKind::Unknown);
    check(219_308, "", "main, noi checks test", ErrorKind::Unknown);
    check(-1, "", "x", ErrorKind::Unknown);
}

#[test]
fn a_kind_that_was_told_counts_where_it_can_be() {
    let full = facts(Errored, Cause::SpoolFull, None, "", "");
    assert_eq!(ErrorKind::told("", &full), Some(ErrorKind::DiskFull));
    assert_eq!(ErrorKind::told("output_too_large", &full), Some(ErrorKind::OutputTooLarge));
    assert_eq!(ErrorKind::told("a_word_of_tomorrow", &full), Some(ErrorKind::DiskFull));
    assert_eq!(ErrorKind::told("syntax", &full), Some(ErrorKind::DiskFull), "no end of that kind");
    assert_eq!(ErrorKind::told("syntax", &facts(Succeeded, Cause::Completed, None, "", "")), None);
}

#[test]
fn kinds_advise() {
    let end = facts(Failed, Cause::StataError, Some(601), "file a.dta not found", "use a");
    let silent = [ErrorKind::Unknown, ErrorKind::Cancelled];
    for kind in ErrorKind::ALL.iter().filter(|kind| !silent.contains(kind)) {
        let words = advice(*kind, &end);
        assert!(
            !words.is_empty() && words.len() < 250 && !words.ends_with('.') && !words.contains("  "),
            "{kind}: {words}"
        );
    }
    assert!(advice(ErrorKind::FileNotFound, &end).ends_with("the working directory, /p"));
    let missing = Facts { message: "command eststo is unrecognized", ..end };
    assert!(advice(ErrorKind::CommandNotFound, &missing).contains("`ssc install eststo`"));
    let own = Facts { message: "command xtreg is unrecognized", ..end };
    let own = advice(ErrorKind::CommandNotFound, &own);
    assert!(own.contains("Stata's own") && !own.contains("install"), "{own}");
    let odd = Facts { message: "command a`b is unrecognized", ..end };
    assert!(!advice(ErrorKind::CommandNotFound, &odd).contains("a`b"));
    let left = Facts { rc: Some(3), command: "exit 3", ..end };
    let over = facts(Errored, Cause::OverLimit, None, "", "");
    assert!(advice(ErrorKind::PolicyBlocked, &over).contains("the owner of the agent on stata1"));
    assert!(advice(ErrorKind::Unknown, &left).contains("`exit`") && advice(ErrorKind::Unknown, &end).is_empty());
}
