//! The same submission again: what was asked for, with the code as it is kept.

use base64::Engine;
use longhaul_proto::{
    MAX_CODE_API,
    api::{BundleFileRequest, BundleRequest, RerunBody, Retry, SubmitRequest},
    ids::RunId,
    wire::{self, TraceContext, submission::Source},
};

use super::{Accepted, FindError, Request, Runs, SubmitError, reads::may};
use crate::{
    ledger::LedgerError,
    model::{Identity, Record},
};

/// Why a run was not repeated.
#[derive(Debug, thiserror::Error)]
pub enum RerunError {
    /// There is no such run for this caller.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The run is another's.
    #[error(
        "run {run} is {whose}'s, and only they run it again: submit it as yours (`longhaul do-files {run}` has its code)"
    )]
    Others {
        /// The run.
        run: String,
        /// Whose it is.
        whose: String,
    },
    /// It could not be submitted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl From<LedgerError> for RerunError {
    fn from(error: LedgerError) -> Self {
        Self::Find(FindError::Ledger(error))
    }
}

impl Runs {
    /// Submits again what a run of the caller was submitted as. The new run never joins another one.
    ///
    /// # Errors
    /// See [`RerunError`]; no error leaves a run behind.
    pub async fn rerun(
        &self,
        who: &Identity,
        run: RunId,
        body: RerunBody,
        trace: TraceContext,
    ) -> Result<Accepted, RerunError> {
        let unknown = || FindError::Unknown(run.to_string());
        let record = self.record(run).await?.filter(|record| may(who, &record.principal)).ok_or_else(unknown)?;
        if record.principal != who.principal {
            return Err(RerunError::Others { run: run.short(), whose: record.principal.to_string() });
        }
        let submission = self.0.ledger.submission(run).await?.ok_or_else(unknown)?;
        let mut submit = self.code(&record, &submission).await?;
        submit.key = body.key;
        submit.client = body.client;
        submit.confirm = body.confirm;
        let max_stored = Some(u64::MAX);
        let request = Request { submit, trace, max_code: MAX_CODE_API, max_stored, ..Request::default() };
        Ok(self.submit(who, request).await?)
    }

    /// The request that makes such a submission.
    async fn code(&self, record: &Record, submission: &wire::Submission) -> Result<SubmitRequest, LedgerError> {
        let mut request = asked(submission);
        match submission.source.clone() {
            Some(Source::Path(path)) => {
                let digest = record.detail.code_sha256();
                let kept = self.0.ledger.do_files(record.run).await?.unwrap_or_default();
                let kept = kept.kept().iter().any(|kept| kept.to_string() == digest);
                request.path = Some(path);
                request.sha256 = Some(digest.to_owned()).filter(|digest| !digest.is_empty());
                if kept {
                    // The file may have changed since: then the bytes that ran then run beside their data.
                    request.text_sha256 = Some(digest.to_owned());
                    let path = request.path.as_deref().unwrap_or_default();
                    request.file_name = path.rsplit(['/', '\\']).next().map(str::to_owned);
                    let folder = Some(record.detail.working_dir().to_owned()).filter(|folder| !folder.is_empty());
                    request.working_dir = request.working_dir.or(folder);
                }
            }
            Some(Source::Text(text)) => match String::from_utf8(text) {
                Ok(text) => request.text = Some(text),
                Err(error) => {
                    let entry = "code.do".to_owned();
                    let file = BundleFileRequest::inline(&entry, base64(error.as_bytes()));
                    request.bundle = Some(BundleRequest { entry, files: vec![file] });
                }
            },
            Some(Source::Bundle(bundle)) => {
                let file = |file: wire::BundleFile| BundleFileRequest {
                    mode: mode(file.mode),
                    ..BundleFileRequest::inline(file.path, base64(&file.content))
                };
                let files = bundle.files.into_iter().map(file).collect();
                request.bundle = Some(BundleRequest { entry: bundle.entry, files });
            }
            Some(Source::Stored(code)) if code.entry.is_empty() => {
                request.text_sha256 = code.files.first().map(|file| file.sha256.clone());
            }
            Some(Source::Stored(code)) => {
                let file = |file: wire::StoredFile| BundleFileRequest {
                    mode: mode(file.mode),
                    ..BundleFileRequest::stored(file.path, file.sha256)
                };
                let files = code.files.into_iter().map(file).collect();
                request.bundle = Some(BundleRequest { entry: code.entry, files });
            }
            None => {}
        }
        Ok(request)
    }
}

/// All that was asked for but the code.
fn asked(submission: &wire::Submission) -> SubmitRequest {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let seconds = |ms: u64| (ms > 0).then(|| ms as f64 / 1000.0);
    SubmitRequest {
        args: submission.args.clone(),
        working_dir: some(&submission.working_dir),
        timeout: seconds(submission.timeout_ms),
        queue_timeout: seconds(submission.queue_timeout_ms),
        host: some(&submission.host),
        labels: submission.labels.clone().into_iter().collect(),
        engine: some(&submission.engine),
        project_profile: submission.project_profile,
        results: submission.no_results.then_some(false),
        cores: (submission.cores > 0).then_some(submission.cores),
        again: true,
        retry: Some(Retry::from_wire(submission.retry)),
        name: some(&submission.name),
        note: some(&submission.note),
        file_name: some(&submission.file_name),
        ..SubmitRequest::default()
    }
}

fn mode(mode: u32) -> Option<u32> {
    (mode > 0).then_some(mode)
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
