//! Turns a request into a submission, or says what is wrong with it and what to do.

use std::time::Duration;

use bytes::Bytes;
use longhaul_proto::{
    api::{Priority, Retry, SubmitRequest},
    paths,
    risk::Risk,
    sha256_hex, visible,
    wire::{self, submission::Source},
};

use super::{
    Request, SubmitError,
    requested_code::{self, RequestedCode},
};
use crate::model::{Need, Principal};

/// Longest key, name, label and path, bytes; longer ones are mistakes.
const MAX_KEY: usize = 256;
const MAX_NAME: usize = 128;
pub(super) const MAX_PATH: usize = 4096;
/// Most arguments and their longest, as Stata's own command line is limited.
const MAX_ARGS: usize = 256;
/// Most cores that can be asked for: far more than a Stata has.
const MAX_CORES: u32 = 1024;
const MAX_ARG: usize = 16 * 1024;
/// Longest name and note of a run, characters.
const MAX_WORDS: (usize, usize) = (80, 500);
/// Longest limit on time: ten years, so that sums never overflow.
const MAX_SECONDS: f64 = 10.0 * 366.0 * 24.0 * 3600.0;

/// A valid request.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The submission, without its run id and what the ledger adds.
    pub(crate) submission: wire::Submission,
    /// The client's own name for the call.
    pub(crate) call: Option<String>,
    /// What it requires of an agent.
    pub(crate) need: Need,
    /// The path to inspect before the answer, if any.
    pub(crate) look_at: Option<String>,
    /// Take the path only where an agent sees these bytes, else the text in the submission.
    pub(crate) path_if: Option<String>,
    /// The path, `text`, or `bundle: entry`.
    pub(crate) source: String,
    /// Digest of the code; empty for a path.
    pub(crate) code: String,
    /// What of the request is to be stored as blobs, if its code is not found on an agent.
    pub(crate) contents: Vec<Bytes>,
    /// Largest code or bundle of which the files were stored, bytes.
    pub(crate) max_stored: u64,
    /// Digest of the whole request: an idempotency key may be repeated only with the same digest.
    pub(crate) body: String,
    /// Whether no earlier run may answer.
    pub(crate) again: bool,
    /// Risky commands of the do-file that an agent looked at.
    pub(crate) risks: Vec<Risk>,
    /// The caller says that a person agreed to them.
    pub(crate) confirm: bool,
    /// What a person agreed to whom the client asked.
    pub(crate) elicited: Option<String>,
    /// Sooner or later than others, and why.
    pub(crate) priority: Priority,
    pub(crate) priority_reason: String,
}

pub(super) fn bad<T>(text: impl Into<String>) -> Result<T, SubmitError> {
    Err(SubmitError::Malformed(text.into()))
}

/// Checks a request.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn check(request: Request) -> Result<Checked, SubmitError> {
    let Request { submit, call, trace, max_code, max_stored, elicited } = request;
    let max_stored = max_stored.unwrap_or(max_code as u64);
    let body = body_digest(&submit);
    let RequestedCode { source, contents, path_if, label, digest: code } = requested_code::of(&submit, max_code)?;
    let look_at = match &source {
        Source::Path(path) => Some(path.clone()),
        _ => path_if.clone(),
    };
    check_digest(&submit, &code)?;
    check_args(&submit)?;
    if let Some(dir) = &submit.working_dir {
        check_path("working_dir", dir)?;
    }
    check_names(&submit)?;
    check_words(&submit)?;
    let need = Need {
        host: submit.host.clone().unwrap_or_default(),
        labels: submit.labels.clone(),
        engine: submit.engine.clone().unwrap_or_default(),
        ..Need::default()
    };
    let submission = wire::Submission {
        key: submit.key.clone().or_else(|| call.clone()).unwrap_or_default(),
        source: Some(source),
        args: submit.args.clone(),
        working_dir: submit.working_dir.clone().unwrap_or_default(),
        timeout_ms: milliseconds("timeout", submit.timeout)?,
        queue_timeout_ms: milliseconds("queue_timeout", submit.queue_timeout)?,
        host: need.host.clone(),
        labels: need.labels.clone().into_iter().collect(),
        engine: need.engine.clone(),
        project_profile: submit.project_profile,
        no_results: submit.results == Some(false),
        cores: cores(submit.cores)?,
        trace: Some(trace),
        retry: submit.retry.unwrap_or_default().to_wire().into(),
        code_sha256: submit.sha256.as_deref().unwrap_or_default().to_lowercase(),
        name: submit.name.clone().unwrap_or_default(),
        note: submit.note.clone().unwrap_or_default(),
        file_name: submit.file_name.clone().unwrap_or_default(),
        client: submit.client.as_deref().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect(),
        ..wire::Submission::default()
    };
    let (again, confirm, risks) = (submit.again, submit.confirm, Vec::new());
    let priority = submit.priority.unwrap_or_default();
    let priority_reason = submit.priority_reason.unwrap_or_default();
    Ok(Checked {
        submission,
        call,
        need,
        look_at,
        path_if,
        source: label,
        code,
        contents,
        max_stored,
        body,
        again,
        risks,
        confirm,
        elicited,
        priority,
        priority_reason,
    })
}

fn check_digest(submit: &SubmitRequest, code: &str) -> Result<(), SubmitError> {
    let Some(wanted) = &submit.sha256 else { return Ok(()) };
    if wanted.len() != 64 || !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
        return bad("sha256 must be 64 hexadecimal characters: the SHA-256 of the code");
    }
    let is_text = submit.text.is_some() || submit.text_sha256.is_some();
    if is_text && *wanted.to_lowercase() != *code {
        return bad("sha256 is not the digest of text: leave it out, or send the bytes it was made from");
    }
    Ok(())
}

fn check_args(submit: &SubmitRequest) -> Result<(), SubmitError> {
    let n = submit.args.len();
    if n > MAX_ARGS {
        return bad(format!("{n} arguments: at most {MAX_ARGS} are passed on; put the rest in a file"));
    }
    submit.args.iter().enumerate().try_for_each(|(n, arg)| check_arg(n + 1, arg))
}

/// The names of hosts, engines, labels and keys.
fn check_names(submit: &SubmitRequest) -> Result<(), SubmitError> {
    let control = |text: &str| text.chars().any(char::is_control);
    for (what, name) in [("host", &submit.host), ("engine", &submit.engine)] {
        if name.as_ref().is_some_and(|n| n.is_empty() || n.len() > MAX_NAME || control(n)) {
            return bad(format!("{what} must be a name of 1 to {MAX_NAME} characters"));
        }
    }
    if submit.engine.as_deref().is_some_and(|e| e != "stata" && e != "standin") {
        return bad("engine must be `stata` or `standin`");
    }
    let long = |text: &str| text.len() > MAX_NAME || control(text);
    if submit.labels.len() > 32 || submit.labels.iter().any(|(k, v)| k.is_empty() || long(k) || long(v)) {
        return bad(format!("labels must be at most 32 pairs of names of at most {MAX_NAME} characters"));
    }
    if submit.key.as_ref().is_some_and(|k| k.is_empty() || k.len() > MAX_KEY || control(k)) {
        return bad(format!("key must have 1 to {MAX_KEY} characters and no control characters"));
    }
    Ok(())
}

/// The words for people: each is a line that can be shown.
fn check_words(submit: &SubmitRequest) -> Result<(), SubmitError> {
    for (what, words, most) in [
        ("name", &submit.name, MAX_WORDS.0),
        ("note", &submit.note, MAX_WORDS.1),
        ("file_name", &submit.file_name, 255),
        ("priority_reason", &submit.priority_reason, MAX_WORDS.1),
    ] {
        let Some(words) = words else { continue };
        if words.trim().is_empty() || words.chars().count() > most || words.contains(visible::is_hidden) {
            return bad(format!("{what} must be a line of 1 to {most} characters, without control characters"));
        }
    }
    if submit.file_name.as_ref().is_some_and(|name| name.contains(['/', '\\'])) {
        return bad("file_name must be a name without a folder");
    }
    Ok(())
}

/// A path that belongs to a text: it is the text's own, and nothing else may be meant.
pub(super) fn check_absolute_path(what: &str, path: &str) -> Result<(), SubmitError> {
    // By no operating system's rules: the agent may map a path of another system.
    if !paths::is_absolute(path) {
        return bad(format!(
            "{what} `{path}` is not absolute: pass the full path, as the Stata host sees it or as the agent's path map has it"
        ));
    }
    check_path(what, path)
}

/// A path that may be relative: the agents look for it.
pub(super) fn check_path(what: &str, path: &str) -> Result<(), SubmitError> {
    if path.is_empty() {
        return bad(format!("{what} is empty: leave it out, or pass a path of the Stata host"));
    }
    if path.len() > MAX_PATH || path.chars().any(char::is_control) {
        return bad(format!("{what} has control characters or more than {MAX_PATH} bytes"));
    }
    Ok(())
}

/// Some characters cannot be passed to Stata literally in an argument; better to say so before the run is queued.
fn check_arg(n: usize, arg: &str) -> Result<(), SubmitError> {
    let what = match () {
        () if arg.len() > MAX_ARG => "too many characters",
        () if arg.contains('`') => "a backtick (`)",
        () if arg.contains('$') => "a dollar sign ($)",
        () if arg.contains("\"'") => "a double quote followed by an apostrophe (\"')",
        () if arg.contains(['\n', '\r']) => "a line break",
        () if arg.chars().any(|c| c.is_control() && c != '\t') => "a control character",
        () => return Ok(()),
    };
    bad(format!(
        "argument {n} holds {what}, which cannot be passed to Stata literally: put the value in a file or in the code"
    ))
}

fn milliseconds(what: &str, seconds: Option<f64>) -> Result<u64, SubmitError> {
    match seconds {
        None => Ok(0),
        Some(s) if s.is_finite() && s > 0.0 && s <= MAX_SECONDS => {
            Ok(u64::try_from(Duration::from_secs_f64(s).as_millis()).unwrap_or(u64::MAX).max(1))
        }
        Some(_) => bad(format!("{what} must be a number of seconds greater than 0; leave it out for no limit")),
    }
}

fn cores(asked: Option<u32>) -> Result<u32, SubmitError> {
    match asked {
        Some(cores) if !(1..=MAX_CORES).contains(&cores) => bad(format!(
            "cores must be a whole number of 1 to {MAX_CORES}; leave it out for as many as the host allows"
        )),
        asked => Ok(asked.unwrap_or(0)),
    }
}

/// Digest of all that makes the request what it is; not of who carries it, nor whether it may join another, nor of a word that
/// was given about it.
fn body_digest(submit: &SubmitRequest) -> String {
    // A default is the same whether given or left out.
    let retry = submit.retry.filter(|retry| !retry.is_default());
    let words = SubmitRequest { name: None, note: None, file_name: None, ..submit.clone() };
    let words = SubmitRequest { priority: None, priority_reason: None, ..words };
    let results = submit.results.filter(|results| !results);
    let plain = SubmitRequest { key: None, client: None, again: false, confirm: false, retry, results, ..words };
    sha256_hex(&serde_json::to_vec(&plain).unwrap_or_default())
}

/// What makes two requests equal, apart from their code: the principal, where the code comes from, arguments, folder,
/// and the choice of host.
pub(crate) fn shape(principal: &Principal, submission: &wire::Submission, label: &str) -> String {
    let labels: std::collections::BTreeMap<_, _> = submission.labels.iter().collect();
    let mut parts = serde_json::json!([
        principal,
        label,
        submission.args,
        submission.working_dir,
        submission.host,
        labels,
        submission.engine,
        submission.project_profile,
    ]);
    // Only when it is not the default, so that the digests of earlier versions stay the same.
    let retry = Retry::from_wire(submission.retry);
    if let (false, Some(parts)) = (retry.is_default(), parts.as_array_mut()) {
        parts.push(serde_json::json!(retry));
    }
    if let (true, Some(parts)) = (submission.no_results, parts.as_array_mut()) {
        parts.push(serde_json::json!("no results"));
    }
    if let (1.., Some(parts)) = (submission.cores, parts.as_array_mut()) {
        parts.push(serde_json::json!({ "cores": submission.cores }));
    }
    sha256_hex(parts.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use longhaul_proto::api::{BundleFileRequest, BundleRequest};

    use super::*;

    fn text() -> SubmitRequest {
        SubmitRequest { text: Some("display 1\n".to_owned()), ..SubmitRequest::default() }
    }

    fn bundle(files: &[(&str, &str)], entry: &str) -> SubmitRequest {
        let base64 = |content: &str| base64::engine::general_purpose::STANDARD.encode(content);
        let file = |(path, content): &(&str, &str)| BundleFileRequest::inline(*path, base64(content));
        let bundle = BundleRequest { entry: entry.to_owned(), files: files.iter().map(file).collect() };
        SubmitRequest { bundle: Some(bundle), ..SubmitRequest::default() }
    }

    fn run(submit: SubmitRequest) -> Result<Checked, SubmitError> {
        check(Request { submit, max_code: 100, ..Request::default() })
    }

    #[test]
    fn what_is_wrong_is_named() {
        #[track_caller]
        fn check(submit: SubmitRequest, want: &str) {
            let found = run(submit).unwrap_err().to_string();
            assert!(found.contains(want), "{found}");
        }
        let path = |p: &str| SubmitRequest { path: Some(p.to_owned()), ..SubmitRequest::default() };
        check(SubmitRequest::default(), "nothing to run");
        check(path(""), "path is empty");
        check(SubmitRequest { text: Some("display 1\n".into()), ..path("C:analysis.do") }, "not absolute");
        check(path("/a\nb.do"), "control characters");
        check(SubmitRequest { bundle: bundle(&[("a.do", "x")], "a.do").bundle, ..path("/a.do") }, "exactly one of");
        check(SubmitRequest { text: Some(" \n".to_owned()), ..text() }, "empty");
        check(SubmitRequest { text: Some("a\0".to_owned()), ..text() }, "NUL");
        check(SubmitRequest { text: Some("x".repeat(101)), ..text() }, "101 bytes");
        check(SubmitRequest { sha256: Some("12".to_owned()), ..text() }, "64 hexadecimal");
        check(SubmitRequest { sha256: Some("0".repeat(64)), ..text() }, "not the digest");
        check(
            SubmitRequest { args: vec!["a".to_owned(), "b\nc".to_owned()], ..text() },
            "argument 2 holds a line break",
        );
        check(SubmitRequest { args: vec!["$x".to_owned()], ..text() }, "dollar sign");
        check(SubmitRequest { args: vec!["`x'".to_owned()], ..text() }, "backtick");
        check(SubmitRequest { args: vec!["\0".to_owned()], ..text() }, "control character");
        check(SubmitRequest { working_dir: Some("a\nb".to_owned()), ..text() }, "working_dir has control");
        check(SubmitRequest { timeout: Some(-1.0), ..text() }, "timeout must be");
        check(SubmitRequest { timeout: Some(f64::NAN), ..text() }, "timeout must be");
        check(SubmitRequest { cores: Some(0), ..text() }, "cores must be a whole number of 1 to");
        check(SubmitRequest { cores: Some(5000), ..text() }, "cores must be");
        check(SubmitRequest { engine: Some("r".to_owned()), ..text() }, "`stata` or `standin`");
        check(SubmitRequest { key: Some(String::new()), ..text() }, "key must have");
        check(SubmitRequest { host: Some(String::new()), ..text() }, "host must be");
        check(SubmitRequest { name: Some(" ".to_owned()), ..text() }, "name must be a line of 1 to 80");
        check(SubmitRequest { name: Some("x".repeat(81)), ..text() }, "name must be a line of 1 to 80");
        check(SubmitRequest { note: Some("a\nb".to_owned()), ..text() }, "note must be a line of 1 to 500");
        check(SubmitRequest { file_name: Some("/a.do".to_owned()), ..text() }, "without a folder");
        check(bundle(&[("../a.do", "x")], "../a.do"), "without `..`");
        check(bundle(&[("/a.do", "x")], "/a.do"), "without `..`");
        check(bundle(&[("a.do", "x"), ("a.do", "y")], "a.do"), "comes twice");
        check(bundle(&[("a.do", "x")], "b.do"), "not one of its files");
        check(bundle(&[("a.do", &"x".repeat(60)), ("b.do", &"x".repeat(60))], "a.do"), "bundle has 120 bytes");
    }

    #[test]
    fn what_is_right_goes_through() {
        let checked = run(SubmitRequest { timeout: Some(0.5), args: vec!["a b".to_owned()], ..text() }).unwrap();
        assert_eq!(checked.submission.timeout_ms, 500);
        assert_eq!(checked.submission.queue_timeout_ms, 0, "no limit is the default");
        assert_eq!(checked.code, sha256_hex(b"display 1\n"));
        let both = run(SubmitRequest { path: Some("/a.do".to_owned()), ..text() }).unwrap();
        assert_eq!((both.look_at.as_deref(), both.path_if.as_deref()), (Some("/a.do"), Some("/a.do")));
        let bundled = run(bundle(&[("b/x.do", "x"), ("a.do", "do b/x")], "a.do")).unwrap();
        assert_eq!(bundled.source, "bundle: a.do");
    }

    #[test]
    fn the_same_call_has_the_same_body() {
        let body = |submit| run(submit).unwrap().body;
        assert_eq!(body(text()), body(SubmitRequest { again: true, client: Some("c".to_owned()), ..text() }));
        assert_ne!(body(text()), body(SubmitRequest { args: vec!["1".to_owned()], ..text() }));
        let retry = |retry| SubmitRequest { retry: Some(retry), ..text() };
        assert_eq!(body(text()), body(retry(Retry::IfNotStarted)));
        assert_ne!(body(text()), body(retry(Retry::Never)));
        let shape = |submit| shape(&Principal::local("ann"), &run(submit).unwrap().submission, "text");
        assert_eq!(shape(text()), shape(retry(Retry::IfNotStarted)));
        assert_ne!(shape(text()), shape(retry(Retry::Never)));
        assert_ne!(shape(retry(Retry::IfProvenDead)), shape(retry(Retry::Never)));
        let cores = |cores| SubmitRequest { cores: Some(cores), ..text() };
        assert_ne!(shape(text()), shape(cores(2)));
        assert_ne!(shape(cores(1)), shape(cores(2)));
    }
}
