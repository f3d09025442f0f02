//! Whether a person agreed to the risky commands of a run, where this host asks for that.
//!
//! The gateway asks when the run is submitted. Here the bytes count that are executed: a do-file may have been changed
//! meanwhile, and one that no agent could be asked about was not looked at before.

use std::path::Path;

use longhaul_proto::{
    faults,
    risk::{self, Confirm, Risk},
    state::Cause,
    wire::{self, submission::Source},
};

use super::source::{Code, Problem, beginning};

/// Refuses a run to which a person must agree and did not. The files of a bundle lie in `work`.
pub(super) fn check(
    rule: &Confirm,
    host: &str,
    code: &Code,
    submission: &wire::Submission,
    work: &Path,
) -> Result<(), Problem> {
    if rule.is_empty() || submission.confirmed.is_some() || faults::bug("unconfirmed_starts") {
        return Ok(());
    }
    let found = found(code, submission.source.as_ref(), work);
    let asked: Vec<Risk> = rule.asked(&found).into_iter().cloned().collect();
    if asked.is_empty() {
        return Ok(());
    }
    Err(Problem {
        cause: Cause::Forbidden,
        text: format!(
            "{host} wants a person to agree to such a run, and none did when it was submitted: {}. Submit it again; if a person \
             agrees, with confirm: true (in a terminal --confirm)",
            risk::summary(&asked)
        ),
    })
}

fn found(code: &Code, source: Option<&Source>, work: &Path) -> Vec<Risk> {
    let own = match &code.at {
        Some(at) => beginning(at).unwrap_or_default(),
        None => code.bytes.clone(),
    };
    match source {
        Some(Source::Bundle(bundle)) => {
            let files = bundle.files.iter().map(|file| (file.path.as_str(), file.content.as_slice()));
            risk::of_files(files, &bundle.entry)
        }
        Some(Source::Stored(stored)) if !stored.entry.is_empty() => {
            let others = stored.files.iter().filter(|file| file.path != stored.entry && risk::is_code(&file.path));
            let others: Vec<_> =
                others.filter_map(|file| Some((file.path.as_str(), beginning(&work.join(&file.path))?))).collect();
            let all = others.iter().map(|(path, content)| (*path, content.as_slice()));
            risk::of_files(all.chain([(stored.entry.as_str(), own.as_slice())]), &stored.entry)
        }
        _ => risk::of_code(&own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_person_agreed_to_is_refused() {
        let work = tempfile::tempdir().unwrap();
        let code = super::super::source::text(b"sysuse auto\nerase x.dta\n").unwrap();
        let rule: Confirm = "erase".parse().unwrap();
        let plain = wire::Submission::default();
        let refused = check(&rule, "s1", &code, &plain, work.path()).unwrap_err();
        assert_eq!(refused.cause, Cause::Forbidden);
        assert!(refused.text.contains("line 2 erases files (erase x.dta)"), "{}", refused.text);
        let agreed = wire::Submission { confirmed: Some(wire::Confirmed::default()), ..wire::Submission::default() };
        assert!(check(&rule, "s1", &code, &agreed, work.path()).is_ok());
        assert!(check(&"shell".parse().unwrap(), "s1", &code, &plain, work.path()).is_ok());
        assert!(check(&Confirm::default(), "s1", &code, &plain, work.path()).is_ok());
        std::fs::write(work.path().join("b.ado"), "rm x\n").unwrap();
        let file = |path: &str| wire::StoredFile { path: path.into(), ..wire::StoredFile::default() };
        let files = vec![file("main.do"), file("b.ado")];
        let stored = Source::Stored(wire::StoredCode { files, entry: "main.do".into() });
        let other = super::super::source::text(b"b\n").unwrap();
        let bundle = wire::Submission { source: Some(stored), ..wire::Submission::default() };
        assert!(check(&rule, "s1", &other, &bundle, work.path()).unwrap_err().text.contains("`b.ado` line 1"));
    }
}
