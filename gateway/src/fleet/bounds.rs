//! Limits on what an agent may report of itself and of its runs: lengths, counts, and no control characters in names.
//!
//! An agent is trusted to run code, not to fill this gateway's memory, its ledger, its log or a person's screen. A
//! registration beyond these limits is refused with an explanation, since the agent's owner can correct it. What comes
//! with a run is cut with a note, since the run is its submitter's and must not be lost for that.

use longhaul_proto::wire;

/// Runs on one page of a registration.
pub(crate) const PAGE: usize = 500;
/// Longest identifier, name of a pool, of a user, of a version, of a label and its value, bytes.
const NAME: usize = 128;
/// Longest address.
const ADDRESS: usize = 300;
/// Longest path.
const PATH: usize = 4096;
/// Longest sentence, such as why an agent takes no runs.
const SENTENCE: usize = 2000;
/// Longest text of an outcome.
const TEXT: usize = 16 * 1024;
/// Most entries of a list in an agent's description of itself.
const LIST: usize = 64;
/// Most lines of a log that stand before an error, and after it.
const LINES: usize = 16;
/// Most principals that it serves.
const SERVE: usize = 1000;
/// Most files that are listed of one run.
const ARTIFACTS: usize = 1000;
/// Most names of processes that had to be ended.
const LEFTOVERS: usize = 100;

fn too_long(what: &str, text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| format!("{what} has {} bytes, and at most {most} are taken: shorten it", text.len()))
}

/// Likewise, for a name, which is no sentence. In other texts control characters are made visible
/// ([`longhaul_proto::visible`]).
fn no_name(what: &str, text: &str, most: usize) -> Option<String> {
    let control = || text.chars().any(char::is_control);
    too_long(what, text, most).or_else(|| control().then(|| format!("{what} holds a control character: take it out")))
}

fn too_many(what: &str, count: usize, most: usize) -> Option<String> {
    (count > most).then(|| format!("{count} {what}, and at most {most} are taken"))
}

/// What is wrong with an agent's description of itself, in words for its owner.
pub(crate) fn agent(info: &wire::AgentInfo) -> Option<String> {
    let names = [
        ("its id", &info.agent_id, NAME),
        ("its incarnation", &info.incarnation, NAME),
        ("its boot id", &info.boot_id, NAME),
        ("its address (--advertise)", &info.advertise, ADDRESS),
        ("its version", &info.version, NAME),
        ("its cluster id", &info.cluster_id, NAME),
    ];
    let texts = [
        ("the name of its user", &info.os_user, NAME),
        ("the name of its host", &info.hostname, 255),
        ("the name of its licence (--licence)", &info.pool, NAME),
    ];
    let lists = [
        ("engines", info.engines.len(), LIST),
        ("labels", info.labels.len(), LIST),
        ("roots", info.roots.len(), LIST),
        ("names in --serve", info.serve.len(), SERVE),
        ("kinds in --confirm", info.confirm.len(), LIST),
    ];
    names
        .into_iter()
        .find_map(|(what, text, most)| no_name(what, text, most))
        .or_else(|| texts.into_iter().find_map(|(what, text, most)| too_long(what, text, most)))
        .or_else(|| lists.into_iter().find_map(|(what, count, most)| too_many(what, count, most)))
        .or_else(|| {
            info.labels.iter().find_map(|(k, v)| too_long("a label", k, NAME).or_else(|| too_long("a label", v, NAME)))
        })
        .or_else(|| info.roots.iter().find_map(|root| too_long("a root", root, PATH)))
        .or_else(|| info.serve.iter().find_map(|name| no_name("a name in --serve", name, NAME)))
        .or_else(|| info.confirm.iter().find_map(|kind| no_name("a kind in --confirm", kind, NAME)))
        .or_else(|| info.egress.as_ref().and_then(|rule| too_long("where its egress is set", &rule.set_in, PATH)))
        .or_else(|| state(&info.problem, &info.licence, &info.engines))
}

/// Likewise, for what it sends again with each heartbeat.
pub(super) fn state(problem: &str, licence: &str, engines: &[wire::Engine]) -> Option<String> {
    let engine = |e: &wire::Engine| {
        too_long("the kind of an engine", &e.kind, NAME)
            .or_else(|| too_long("the path of an engine", &e.program, PATH))
            .or_else(|| too_long("the edition of an engine", &e.edition, NAME))
            .or_else(|| too_long("the version of an engine", &e.version, NAME))
    };
    too_many("engines", engines.len(), LIST)
        .or_else(|| engines.iter().find_map(engine))
        .or_else(|| too_long("its licence line", licence, SENTENCE))
        .or_else(|| too_long("what it says of its own state", problem, SENTENCE))
}

/// What an agent tells of processes of Stata that no Longhaul started, as far as it is taken: a host has few users.
pub(super) fn foreign(mut told: Vec<wire::ForeignStata>) -> Vec<wire::ForeignStata> {
    told.truncate(LIST);
    told.retain(|foreign| foreign.user.len() <= NAME && foreign.processes > 0);
    told
}

/// What is wrong with a page of runs.
pub(crate) fn page(runs: &[wire::RunSummary]) -> Option<String> {
    let run = |run: &wire::RunSummary| {
        no_name("the id of a run", &run.run_id, NAME)
            .or_else(|| no_name("the principal of a run", &run.principal, NAME * 4))
            .or_else(|| no_name("the issuer of a run's principal", &run.principal_issuer, NAME * 4))
            .or_else(|| no_name("the key of a run", &run.key, 1024))
            .or_else(|| too_many("bytes of a digest", run.sealed_sha256.len().max(run.seal.len()), 64))
    };
    too_many("runs on one page", runs.len(), PAGE).or_else(|| runs.iter().find_map(run))
}

/// What is wrong with a request for which there is only an agent's word.
pub(crate) fn request(submission: &wire::Submission) -> Option<String> {
    let path = match &submission.source {
        Some(wire::submission::Source::Path(path)) => path.as_str(),
        Some(wire::submission::Source::Bundle(bundle)) => bundle.entry.as_str(),
        Some(wire::submission::Source::Stored(code)) => code.entry.as_str(),
        _ => "",
    };
    let trace = submission.trace.clone().unwrap_or_default();
    let texts = [
        ("its principal", submission.principal.as_str(), NAME * 4),
        ("its principal's issuer", &submission.principal_issuer, NAME * 4),
        ("its key", &submission.key, 1024),
        ("its path", path, PATH),
        ("its folder", &submission.working_dir, PATH),
        ("its host", &submission.host, NAME),
        ("its engine", &submission.engine, NAME),
        ("its digest", &submission.code_sha256, NAME),
        ("its client", &submission.client, SENTENCE),
        ("its trace", &trace.traceparent, NAME),
        ("its cluster", &submission.cluster_id, NAME),
        ("its digest", &submission.request_sha256, NAME),
    ];
    texts
        .into_iter()
        .find_map(|(what, text, most)| no_name(what, text, most))
        .or_else(|| too_many("arguments", submission.args.len(), 1000))
        .or_else(|| submission.args.iter().find_map(|arg| too_many("bytes of an argument", arg.len(), TEXT)))
        .or_else(|| too_many("labels", submission.labels.len(), LIST))
        .or_else(|| {
            let label =
                |(k, v): (&String, &String)| no_name("a label", k, NAME).or_else(|| no_name("a label", v, NAME));
            submission.labels.iter().find_map(label)
        })
}

/// Cuts an agent's report on a run to what is kept; the outcome's note says what was cut.
pub(crate) fn cut(snapshot: &mut wire::Snapshot) {
    let mut cut = Vec::new();
    let files = snapshot.artifacts.len();
    if files > ARTIFACTS {
        snapshot.artifacts.truncate(ARTIFACTS);
        cut.push(format!("its agent told of {files} files, of which the first {ARTIFACTS} are listed"));
    }
    let shorten = |text: &mut String, most: usize| {
        if text.len() > most {
            text.truncate(text.floor_char_boundary(most));
            text.push('…');
            true
        } else {
            false
        }
    };
    let mut shorter = false;
    for artifact in &mut snapshot.artifacts {
        shorter |= shorten(&mut artifact.path, PATH);
    }
    for text in [&mut snapshot.engine, &mut snapshot.code_sha256, &mut snapshot.incarnation] {
        shorter |= shorten(text, NAME);
    }
    shorter |= shorten(&mut snapshot.engine_note, SENTENCE);
    shorter |= shorten(&mut snapshot.working_dir, PATH);
    let Some(outcome) = &mut snapshot.outcome else { return };
    let leftovers = outcome.leftovers.len();
    if leftovers > LEFTOVERS {
        outcome.leftovers.truncate(LEFTOVERS);
        cut.push(format!("{leftovers} processes had to be ended, of which {LEFTOVERS} are named"));
    }
    for name in &mut outcome.leftovers {
        shorter |= shorten(name, PATH);
    }
    let (log, console) = (
        [&mut outcome.log_sha256, &mut outcome.log_blake3],
        [&mut outcome.console_sha256, &mut outcome.console_blake3],
    );
    for text in log.into_iter().chain(console).chain([&mut outcome.ended_by]) {
        shorter |= shorten(text, NAME * 4);
    }
    for text in [&mut outcome.message, &mut outcome.command, &mut outcome.note] {
        shorter |= shorten(text, TEXT);
    }
    if let Some(location) = &mut outcome.location {
        shorter |= place(location, &shorten);
    }
    if let Some(found) = &mut outcome.diagnosis {
        shorter |= shorten(&mut found.kind, NAME);
        for lines in [&mut found.before, &mut found.after] {
            lines.truncate(LINES);
            lines.iter_mut().for_each(|line| shorter |= shorten(line, SENTENCE));
        }
        let more = found.suppressed.len().saturating_sub(LIST);
        found.suppressed_left_out = found.suppressed_left_out.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        found.suppressed.truncate(LIST);
        for error in &mut found.suppressed {
            shorter |= shorten(&mut error.message, SENTENCE) | shorten(&mut error.command, SENTENCE);
            error.location.iter_mut().for_each(|at| shorter |= place(at, &shorten));
        }
    }
    if shorter {
        cut.push("texts of its agent were cut".to_owned());
    }
    for words in cut {
        if !outcome.note.is_empty() {
            outcome.note.push_str("; ");
        }
        outcome.note.push_str(&words);
    }
}

fn place(at: &mut wire::Location, shorten: &impl Fn(&mut String, usize) -> bool) -> bool {
    at.callers.truncate(LIST);
    at.callers.iter_mut().fold(shorten(&mut at.file, PATH), |shorter, caller| shorter | shorten(caller, PATH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine() -> wire::AgentInfo {
        wire::AgentInfo {
            agent_id: "a".into(),
            name: "stata1".into(),
            advertise: "http://stata1:7448".into(),
            labels: [("site".to_owned(), "paris".to_owned())].into(),
            roots: vec!["/home/é".into()],
            engines: vec![wire::Engine { kind: "stata".into(), ..Default::default() }],
            ..Default::default()
        }
    }

    #[test]
    fn what_an_agent_tells_of_itself_is_bounded() {
        assert_eq!(agent(&fine()), None);
        type Change = fn(&mut wire::AgentInfo);
        let refused: [(Change, &str); 10] = [
            (|i| i.advertise = "http://x\n2026-11-26 INFO forged".into(), "--advertise"),
            (|i| i.version = "\u{1b}[2J".into(), "control character"),
            (|i| i.problem = "x".repeat(10_000), "10000 bytes"),
            (|i| i.os_user = "x".repeat(1000), "its user has 1000 bytes"),
            (|i| i.roots = vec!["/".into(); 100_000], "100000 roots"),
            (|i| i.roots = vec!["x".repeat(5000)], "a root has 5000 bytes"),
            (|i| i.labels = (0..100).map(|n| (n.to_string(), String::new())).collect(), "100 labels"),
            (|i| i.engines[0].program = "x".repeat(5000), "path of an engine"),
            (|i| i.engines = vec![wire::Engine::default(); 100], "100 engines"),
            (|i| i.serve = vec!["x".repeat(500)], "--serve"),
        ];
        for (change, words) in refused {
            let mut info = fine();
            change(&mut info);
            let said = agent(&info).unwrap_or_default();
            assert!(said.contains(words), "{said:?} for {words}");
        }
        let many = vec![wire::RunSummary::default(); PAGE + 1];
        assert!(page(&many).unwrap().contains("501 runs"));
        assert_eq!(page(&many[..PAGE]), None);
    }

    #[test]
    fn what_it_tells_of_a_run_is_cut_with_a_note() {
        let artifact = wire::Artifact { path: "x".repeat(10_000), bytes: 1 };
        let outcome = wire::Outcome { message: "é".repeat(100_000), note: "as told".into(), ..Default::default() };
        let mut snapshot =
            wire::Snapshot { artifacts: vec![artifact; 50_000], outcome: Some(outcome), ..Default::default() };
        cut(&mut snapshot);
        let outcome = snapshot.outcome.unwrap();
        assert_eq!(snapshot.artifacts.len(), ARTIFACTS);
        assert!(outcome.message.len() < TEXT + 8 && snapshot.artifacts[0].path.len() < PATH + 8);
        assert!(outcome.note.starts_with("as told; its agent told of 50000 files"), "{}", outcome.note);
        let mut fine = wire::Snapshot { outcome: Some(wire::Outcome::default()), ..Default::default() };
        cut(&mut fine);
        assert_eq!(fine.outcome.unwrap(), wire::Outcome::default());
    }
}
