//! With what a run was made: told by its agent with the run's files, and noted with them. The list of packages is a blob that
//! the run holds; most runs of a host share one.

use bytes::Bytes;
use longhaul_proto::{
    MAX_DO_FILE,
    api::{DataFileView, MadeWith, StataFacts},
    digest::ContentDigest,
    ids::RunId,
    wire,
};

use crate::{
    blobs::BlobError,
    fleet::agent_port::{AgentError, Failure, Port},
    ledger::{KeptMadeWith, KeptResults},
    model::{Identity, Record},
    runs::{
        FindError, Inner, Look, Runs,
        do_files::{DoFileError, FetchError, may_name, shown},
    },
};

/// Most data files that are taken of an agent's list, and most seeds.
const DATA: usize = 200;
const SEEDS: usize = 5;

const TOO_OLD: &str = "it was not recorded: the run's agent, or the gateway at its end, was of an earlier version";
const UNREADABLE: &str = "its agent told it in a form that cannot be read";

/// What an agent told in this part of its answer; `None` = nothing.
pub(super) fn told(part: &wire::FilesPart) -> Option<KeptMadeWith> {
    let wire::FilesPart { made_with, packages_sha256, packages_bytes, packages_missing, .. } = part;
    if made_with.is_empty() && packages_missing.is_empty() {
        return None;
    }
    let missing = match (shown(packages_missing), packages_sha256.parse::<ContentDigest>()) {
        (why, _) if !why.is_empty() => why,
        (_, Ok(_)) => String::new(),
        (_, Err(_)) => "its agent named no digest".to_owned(),
    };
    let sha256 = if missing.is_empty() { packages_sha256.clone() } else { String::new() };
    let packages = KeptResults { sha256, bytes: *packages_bytes, missing };
    let facts = serde_json::from_slice(made_with).ok().map(harmless);
    Some(KeptMadeWith { facts, packages })
}

/// Texts of an agent, made harmless, and no more of them than an agent may send.
fn harmless(made_with: MadeWith) -> MadeWith {
    let text = |text: Option<String>| text.map(|text| shown(&text));
    let MadeWith { stata, seeds, data, data_note } = made_with;
    let StataFacts {
        version,
        edition,
        born,
        processors,
        processors_licensed,
        plus,
        rng,
        rng_state,
        rng_state_sha256,
        sort_rng_state,
        why_not_all,
    } = stata;
    let stata = StataFacts {
        version: text(version),
        edition: text(edition),
        born: text(born),
        processors,
        processors_licensed,
        plus: text(plus),
        rng: text(rng),
        rng_state: text(rng_state),
        rng_state_sha256: text(rng_state_sha256),
        sort_rng_state: text(sort_rng_state),
        why_not_all: text(why_not_all),
    };
    let file = |file: DataFileView| DataFileView {
        path: shown(&file.path),
        sha256: text(file.sha256),
        why_not: text(file.why_not),
        ..file
    };
    MadeWith {
        stata,
        seeds: seeds.iter().take(SEEDS).map(|seed| shown(seed)).collect(),
        data: data.into_iter().take(DATA).map(file).collect(),
        data_note: text(data_note),
    }
}

/// Takes the list of packages, if it is not the principal's to name already.
///
/// # Errors
/// See [`FetchError`]; it is tried again then.
pub(super) async fn take_packages(
    inner: &Inner,
    record: &Record,
    connection: &Port,
    kept: &mut KeptMadeWith,
) -> Result<(), FetchError> {
    let Some(digest) = kept.packages.kept() else { return Ok(()) };
    if kept.packages.bytes > MAX_DO_FILE {
        "its agent sent more than is kept of a run".clone_into(&mut kept.packages.missing);
        return Ok(());
    }
    if may_name(inner, &record.principal, digest).await? {
        return Ok(());
    }
    let (run_id, attempt) = (record.run.to_string(), record.attempt_number());
    let request = wire::DoFileRequest { run_id, attempt, sha256: digest.to_string() };
    let asked = tokio::time::timeout(inner.options.call_timeout, connection.do_file(request)).await;
    let content = match asked.unwrap_or_else(|_| Err(AgentError::other("it does not answer"))) {
        Ok(reply) => reply.content,
        Err(error) if error.failure == Failure::NotFound => {
            "its bytes were lost on its host".clone_into(&mut kept.packages.missing);
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    if ContentDigest::of(&content) != digest || content.len() as u64 != kept.packages.bytes {
        "its agent sent other bytes than those of its digest".clone_into(&mut kept.packages.missing);
        return Ok(());
    }
    inner.blobs.keep_sent(content.into()).await?;
    Ok(())
}

/// With what a run was made, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Whether this is all that will ever be known.
    pub complete: bool,
    /// What its agent told; `None` = nothing, and `why_not` says why.
    pub facts: Option<MadeWith>,
    /// Why there is nothing, in words.
    pub why_not: String,
    /// [`longhaul_proto::api::Packages`] as JSON.
    pub packages: Option<Bytes>,
    /// Why there are none, in words.
    pub packages_why_not: String,
}

impl Made {
    fn none(complete: bool, why_not: impl Into<String>) -> Self {
        Self { complete, why_not: why_not.into(), ..Self::default() }
    }
}

impl Runs {
    /// With what a run was made.
    ///
    /// # Errors
    /// As [`Runs::do_file`].
    pub async fn made_with(&self, who: &Identity, run: RunId) -> Result<Made, DoFileError> {
        let record = match self.look(who, run).await? {
            Look::Live(active) if !active.snapshot.borrow().state.is_end() => {
                return Ok(Made::none(false, "the run goes on: this is recorded when it has ended"));
            }
            Look::Live(_) => self.record(run).await?.ok_or_else(|| FindError::Unknown(run.to_string()))?,
            Look::Ended(record) => *record,
        };
        let Some(noted) = self.0.ledger.files(run).await? else {
            if record.agent_id().is_empty() {
                return Ok(Made::none(true, "the run was given to no host"));
            }
            let host = record.host();
            return Ok(Made::none(
                false,
                format!("it has not come from host {host} yet: it does when it is connected"),
            ));
        };
        let Some(kept) = noted.made_with else { return Ok(Made::none(true, TOO_OLD)) };
        let packages = match kept.packages.kept() {
            None => None,
            Some(digest) => {
                let most = usize::try_from(MAX_DO_FILE).unwrap_or(usize::MAX);
                Some(self.0.blobs.held(run).await?.open(digest).await?.read(0, most).await.map_err(BlobError::Disk)?)
            }
        };
        let why_not = if kept.facts.is_some() { String::new() } else { UNREADABLE.to_owned() };
        Ok(Made { complete: true, facts: kept.facts, why_not, packages, packages_why_not: kept.packages.missing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_tells_is_made_harmless() {
        let facts = MadeWith {
            seeds: vec!["set seed \u{1b}[2J".to_owned(); 9],
            data: vec![DataFileView { path: "/a\nb".to_owned(), ..DataFileView::default() }; 300],
            ..MadeWith::default()
        };
        let part = wire::FilesPart {
            made_with: serde_json::to_vec(&facts).unwrap(),
            packages_sha256: "0".repeat(64),
            packages_bytes: 9,
            ..wire::FilesPart::default()
        };
        let kept = told(&part).unwrap();
        let facts = kept.facts.clone().unwrap();
        assert_eq!((facts.seeds.len(), facts.data.len()), (5, 200));
        assert!(!facts.seeds[0].contains('\u{1b}') && !facts.data[0].path.contains('\n'));
        assert!(kept.packages.kept().is_some());
        let check = |part: wire::FilesPart, missing: &str| {
            let kept = told(&part).unwrap();
            assert!(kept.packages.kept().is_none() && kept.packages.missing.contains(missing), "{kept:?}");
        };
        check(wire::FilesPart { packages_sha256: "x".into(), ..part.clone() }, "no digest");
        check(wire::FilesPart { packages_missing: "none".into(), ..part }, "none");
        assert_eq!(told(&wire::FilesPart { made_with: b"{".to_vec(), ..Default::default() }).unwrap().facts, None);
        assert_eq!(told(&wire::FilesPart { known: true, ..Default::default() }), None);
    }
}
