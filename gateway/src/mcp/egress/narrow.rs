//! A run without what must not leave.

use longhaul_proto::{
    api::RunError,
    egress::{Egress, Level},
    error_kind::Facts,
};

use super::{host, instead, words};
use crate::{mcp::graph, model::RunSnapshot};

/// The run as the rule lets it leave.
pub(super) fn narrow(run: &RunSnapshot, rule: &Egress) -> RunSnapshot {
    let mut run = run.clone();
    // Their names may tell of what is in them.
    run.artifacts.retain(|file| match graph::is_graph(&file.path) {
        true => rule.gives_graphs(),
        false => rule.gives_files(),
    });
    if rule.level == Level::Verdict {
        verdict(&mut run);
        // Before there is a host, nothing was printed that could be kept.
        run.kept_in = run.host.is_some().then(|| words("what it printed", host(&run), rule, &instead(&run)));
    }
    run
}

/// Takes out all that its code or its data may have written: also where it failed, since a do-file's name may be made of
/// data; and what it was called, which may be a line of its code.
fn verdict(run: &mut RunSnapshot) {
    let ran = run.attempt.is_some();
    (run.name, run.user_note, run.args) = (None, None, Vec::new());
    (run.progress, run.location, run.command) = (None, None, None);
    if ran {
        // Before that it is the gateway's own.
        run.message = None;
        run.note = String::new();
    }
    run.risks.iter_mut().for_each(|risk| (risk.command, risk.file) = Default::default());
    run.error = run.error.take().map(|error| kind_alone(run, &error));
    (run.contested, run.leftovers) = (Vec::new(), Vec::new());
    // How much it writes, holds and computes, its code decides: numbers of many digits.
    (run.process, run.activity) = (None, None);
    (run.log_len, run.console_len, run.user_part, run.earlier_parts) = (0, 0, None, Vec::new());
}

/// What an error is, without what it said; also what to do next is said without names from it.
fn kind_alone(run: &RunSnapshot, error: &RunError) -> RunError {
    let facts = Facts {
        state: run.state,
        cause: run.cause,
        rc: error.code,
        message: "",
        command: "",
        host: run.host.as_deref().unwrap_or_default(),
        working_dir: "",
    };
    let known = RunError::of(error.kind.as_str(), &facts).filter(|known| known.kind == error.kind);
    RunError {
        message: None,
        command: None,
        place: None,
        before: Vec::new(),
        after: Vec::new(),
        suppressed: Vec::new(),
        suppressed_left_out: 0,
        advice: known.map(|known| known.advice).unwrap_or_default(),
        ..error.clone()
    }
}
