//! Risky commands of a submission: found before it is recorded, and asked about where only hosts may take it that want a person
//! to agree. Where another host takes it without, nothing is asked, and the run goes to no host that asks
//! ([`crate::model::Need::unconfirmed`]).
//!
//! The code of a text or a bundle is read here, that of a path by the agent that looks at it. Nothing of it is a boundary: what a
//! do-file hides is not found. An agent looks once more before it starts a run, at the bytes that it will execute.

use std::collections::BTreeSet;

use longhaul_proto::{
    faults,
    risk::{self, Confirm, Confirmed, Risk},
    tasks,
    wire::{self, submission::Source},
};

use super::{Inner, SubmitError, check::Checked, seal::SealKey};
use crate::model::{Identity, Principal};

/// Bytes of one file of code that are looked through.
const LOOK_AT: u64 = 8 << 20;
/// Most files of a bundle that are looked through.
const FILES: usize = 500;
/// Code up to this size is read in place, bytes.
const SMALL: usize = 64 * 1024;
/// Most hosts that are named.
const HOSTS: usize = 3;

/// Why a submission waits for a person's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// What must be agreed to.
    pub risks: Vec<Risk>,
    /// The hosts that ask for it.
    pub hosts: Vec<String>,
    /// What is agreed to, by whom: other code takes another word, and only this gateway can make it.
    pub about: String,
}

impl Unconfirmed {
    /// What is asked of a person. `risks` are the commands in words.
    pub fn question(&self, risks: &str) -> String {
        format!("This run asks for a confirmation on {}: {risks}. Run it?", self.hosts())
    }

    /// Why nothing was run, for who can pass an argument.
    pub fn words(&self, risks: &str) -> String {
        format!(
            "{} wants a person to agree to such a run: {risks}. If a person has agreed, pass confirm: true (in a terminal \
             --confirm) with the same request",
            self.hosts()
        )
    }

    fn hosts(&self) -> String {
        let mut named: Vec<&str> = self.hosts.iter().take(HOSTS).map(String::as_str).collect();
        if self.hosts.len() > HOSTS {
            named.push("others");
        }
        named.join(", ")
    }
}

impl std::fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words(&risk::summary(&self.risks)))
    }
}

/// Finds the risky commands, and whether they were agreed to as far as that is asked. `fit` are the agents that are known to
/// have the do-file.
///
/// # Errors
/// [`SubmitError::Unconfirmed`], and what keeps the code from being read.
pub(super) async fn settle(
    inner: &Inner,
    who: &Identity,
    checked: &mut Checked,
    fit: &[String],
) -> Result<(), SubmitError> {
    let found = match checked.submission.source.as_ref() {
        // The agent that has it told them.
        Some(Source::Path(_)) | None => std::mem::take(&mut checked.risks),
        Some(Source::Text(text)) => risk::of_code(text),
        Some(Source::Bundle(bundle)) => {
            let files = bundle.files.iter().map(|file| (file.path.as_str(), file.content.as_slice()));
            risk::of_files(files, &bundle.entry)
        }
        Some(Source::Stored(stored)) => of_stored(inner, &who.principal, stored).await?,
    };
    checked.submission.risks = risk::to_wire(&found);
    let (hosts, rule) = asking(inner, &who.principal, checked, &found, fit).await;
    let about = about(&inner.seal, &who.principal, &checked.code, &found);
    let elicited = checked.elicited.as_ref() == Some(&about);
    if rule.asks_for(&found) && !checked.confirm && !elicited && !faults::bug("unconfirmed_runs") {
        // All that was found, since the word holds for all of it: the host that takes the run may ask for more than these do.
        return Err(SubmitError::Unconfirmed(Box::new(Unconfirmed { risks: found, hosts, about })));
    }
    if !checked.confirm && !elicited && !faults::bug("unconfirmed_runs") {
        let kinds: BTreeSet<&str> = found.iter().map(|risk| risk.kind.as_str()).collect();
        checked.need.unconfirmed = kinds.into_iter().map(str::to_owned).collect();
    }
    let (read, submission) = (!checked.code.is_empty(), &mut checked.submission);
    // Code in which nothing was found needs no word, and a word that was given all the same would hold for whatever it becomes.
    if (checked.confirm || elicited) && (!found.is_empty() || !read) {
        let how = if elicited { "elicitation" } else { "argument" };
        submission.confirmed = Some(wire::Confirmed { by: who.principal.to_string(), how: how.to_owned() });
        // The word is about these bytes: the agent starts no others.
        if read
            && matches!(submission.source, Some(Source::Path(_)))
            && submission.code_sha256.is_empty()
            && !faults::bug("agreed_code_may_change")
        {
            submission.code_sha256.clone_from(&checked.code);
        }
    }
    Ok(())
}

/// The hosts that may take it and ask for a word about these, and what they ask together; none, if another one takes it without.
async fn asking(
    inner: &Inner,
    who: &Principal,
    checked: &Checked,
    found: &[Risk],
    fit: &[String],
) -> (Vec<String>, Confirm) {
    let need = &checked.need;
    let (mut hosts, mut all) = (BTreeSet::new(), Confirm::default());
    let infos = inner.fleet.infos();
    if !infos.iter().any(|(info, _)| Confirm::of_wire(&info.confirm).asks_for(found)) {
        return (Vec::new(), all);
    }
    // Those that can take it now; where there are none it waits, and any of those that are known may be the first.
    let now = inner.fleet.candidates(need, who).await;
    let may = |info: &wire::AgentInfo| {
        (now.is_empty() || now.contains(&info.agent_id)) && (fit.is_empty() || fit.contains(&info.agent_id))
    };
    for (info, _) in infos.into_iter().filter(|(info, _)| may(info)) {
        let fits = !info.name.is_empty()
            && need.asks_for(&info.name, |key| info.labels.get(key))
            && need.permits(&info.name, &crate::fleet::pool_name(&info));
        let rule = Confirm::of_wire(&info.confirm);
        if fits && rule.asks_for(found) {
            hosts.insert(info.name);
            all = all.or(&rule);
        } else if fits && !faults::bug("one_host_asks_for_all") {
            return (Vec::new(), Confirm::default());
        }
    }
    (hosts.into_iter().collect(), all)
}

/// What is agreed to, by whom.
fn about(seal: &SealKey, who: &Principal, code: &str, risks: &[Risk]) -> String {
    let risks = serde_json::to_vec(risks).unwrap_or_default();
    seal.question([who.to_string().as_bytes(), code.as_bytes(), &risks])
}

/// The risky commands of code that is kept as blobs.
async fn of_stored(inner: &Inner, who: &Principal, stored: &wire::StoredCode) -> Result<Vec<Risk>, SubmitError> {
    let mut files = Vec::new();
    let is_code = |file: &&wire::StoredFile| file.path == stored.entry || risk::is_code(&file.path);
    for file in stored.files.iter().filter(is_code).take(FILES) {
        let Ok(digest) = file.sha256.parse() else { continue };
        // One that is missing is refused elsewhere.
        let Some(reader) = inner.blobs.open(who, digest).await? else { continue };
        let bytes = usize::try_from(reader.bytes().min(LOOK_AT)).unwrap_or_default();
        let content = reader.read(0, bytes).await.map_err(crate::blobs::BlobError::from)?;
        files.push((file.path.clone(), content));
    }
    let entry = stored.entry.clone();
    let look = move || {
        let all = files.iter().map(|(path, content)| (path.as_str(), &content[..]));
        risk::of_files(all, &entry)
    };
    if stored.files.iter().map(|file| file.bytes).sum::<u64>() <= SMALL as u64 {
        return Ok(look());
    }
    // What cannot be read is not told; the agent looks, too.
    Ok(tasks::blocking(look).await.unwrap_or_default())
}

/// As a submission has them.
pub(super) fn of_submission(submission: &wire::Submission) -> (Vec<Risk>, Option<Confirmed>) {
    let confirmed = submission.confirmed.as_ref().map(|word| Confirmed { by: word.by.clone(), how: word.how.clone() });
    (risk::from_wire(&submission.risks), confirmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_about_this_code() {
        let risks = risk::of_code(b"erase x\n");
        let (seal, other) = (SealKey::of([1; 32]), SealKey::of([2; 32]));
        let [ann, ben] = ["ann", "ben"].map(Principal::local);
        let same = about(&seal, &ann, "a", &risks);
        assert_eq!(about(&seal, &ann, "a", &risks), same);
        assert_ne!(about(&seal, &ann, "b", &risks), same);
        assert_ne!(about(&seal, &ann, "a", &risk::of_code(b"erase y\n")), same);
        assert_ne!(about(&seal, &ben, "a", &risks), same);
        assert_ne!(about(&other, &ann, "a", &risks), same, "a caller cannot make it");
        let asked = Unconfirmed { risks, hosts: vec!["s1".into(), "s2".into()], about: String::new() };
        assert_eq!(
            asked.to_string(),
            "s1, s2 wants a person to agree to such a run: line 1 erases files (erase x). If a person has agreed, pass \
             confirm: true (in a terminal --confirm) with the same request"
        );
    }
}
