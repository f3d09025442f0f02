//! The files that an ended run left, with their digests: read when the gateway asks, so that no end waits for it.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::UNIX_EPOCH,
};

use longhaul_proto::{
    CHUNK,
    digest::{ContentDigest, GrowingDigest},
    faults,
    tasks::blocking,
    wire, words,
};
use tokio::sync::mpsc;
use tonic::Status;

use super::{made_with, refusal};
use crate::{
    follow::do_files,
    os,
    outcome::artifacts,
    prepare::{BannerCache, Preparer},
    provenance::Digests,
    spool::{Artifact, OutcomeRecord, Spool},
};

/// Larger files have no digest: on a slow disk it takes many minutes to read them.
const LARGEST: u64 = 1 << 30;
/// Bytes that are read of one run.
const ALL: u64 = 4 << 30;
/// A sign of life at least so often, in bytes that are read between two: a twentieth of a second on a usual disk.
const SIGN: u64 = 16 << 20;
/// What clocks of a host and of its files may differ.
const SLACK_MS: i64 = 20;

const WRITTEN: &str = "it is being written to";

/// What a list is sent through.
pub(super) type Sender = mpsc::Sender<Result<wire::FilesPart, Status>>;

/// The caller has gone.
pub(super) struct Gone;

/// Sends the files of an attempt, and last with what it was made. Returns when all is sent, or the caller has gone.
pub(super) async fn send(
    spool: Spool,
    attempt: u32,
    host: Arc<Preparer>,
    digests: Digests,
    banners: BannerCache,
    to: Sender,
) {
    let run = spool.run();
    if sent(spool, attempt, host, digests, banners, &to).await.is_err() {
        tracing::debug!(%run, "the caller did not wait for the run's files");
    }
}

async fn sent(
    spool: Spool,
    attempt: u32,
    host: Arc<Preparer>,
    digests: Digests,
    banners: BannerCache,
    to: &Sender,
) -> Result<(), Gone> {
    let spool = Arc::new(spool);
    let of = spool.clone();
    let read = blocking(move || {
        let spool = of;
        let own = spool.work();
        let own = own.canonicalize().unwrap_or(own);
        let outcome = match do_files::is_of(&spool, attempt)? {
            true => spool.read::<OutcomeRecord>(&spool.outcome())?,
            false => None,
        };
        Ok((own, outcome.map(|outcome| (artifacts::since_ms(&spool, outcome.started_at_ms), outcome))))
    });
    let (own, began_ms, outcome) = match read.await.and_then(|read| read) {
        Ok((own, Some((began_ms, outcome)))) => (own, began_ms, outcome),
        Ok((_, None)) => return tell(to, wire::FilesPart::default()).await,
        Err(error) => return to.send(Err(refusal::unreadable(&error))).await.map_err(|_| Gone),
    };
    let unsure = if outcome.more_artifacts { "it left more files than are named" } else { "" };
    let (unsure, shared_with) = (unsure.to_owned(), outcome.shared_with.clone());
    tell(to, wire::FilesPart { known: true, unsure, shared_with, ..wire::FilesPart::default() }).await?;
    let (during, mut left) = ((began_ms, outcome.ended_at_ms), ALL);
    for artifact in &outcome.artifacts {
        let of_run = Path::new(&artifact.path).starts_with(&own);
        let file = listed(artifact.clone(), of_run, during, &mut left, to).await?;
        tell(to, wire::FilesPart { known: true, files: vec![file], ..wire::FilesPart::default() }).await?;
    }
    if faults::bug("nothing_is_recorded_of_it") {
        return Ok(());
    }
    let made_with = made_with::of_run(&spool, outcome, &host, &digests, &banners, to).await?;
    tell(to, wire::FilesPart { known: true, ..made_with }).await
}

pub(super) async fn tell(to: &Sender, part: wire::FilesPart) -> Result<(), Gone> {
    to.send(Ok(part)).await.map_err(|_| Gone)
}

/// One file with its digest, read a piece at a time with a sign of life in between. `left` = bytes that may still be read.
async fn listed(
    artifact: Artifact,
    of_run: bool,
    during: (i64, i64),
    left: &mut u64,
    to: &Sender,
) -> Result<wire::WrittenFile, Gone> {
    let found =
        wire::WrittenFile { path: artifact.path, bytes: artifact.bytes, of_run, ..wire::WrittenFile::default() };
    let (mut found, was, most) = (found.clone(), found, *left);
    let at = match blocking(move || open(was, during, most)).await {
        Ok((opened, reading)) => {
            found = opened;
            reading
        }
        Err(error) => At::Done(Err(format!("it cannot be read: {error}"))),
    };
    if let At::Reading(reading) = &at {
        *left -= reading.len;
    }
    match read(at, to).await? {
        Ok(digest) => found.sha256 = digest.to_string(),
        Err(why) => found.missing = why,
    }
    Ok(found)
}

/// Reads a file to its end, with a sign of life after each piece. The inner error says why there is no digest.
pub(super) async fn read(mut at: At, to: &Sender) -> Result<Result<ContentDigest, String>, Gone> {
    loop {
        at = match at {
            At::Done(done) => return Ok(done),
            At::Reading(reading) => {
                let next = blocking(move || reading.step()).await;
                if matches!(next, Ok(At::Reading(_))) {
                    tell(to, wire::FilesPart { known: true, ..wire::FilesPart::default() }).await?;
                }
                next.unwrap_or_else(|error| At::Done(Err(format!("it cannot be read: {error}"))))
            }
        };
    }
}

/// How far the digest of a file is.
pub(super) enum At {
    Reading(Reading),
    /// The digest, or why there is none.
    Done(Result<ContentDigest, String>),
}

pub(super) struct Reading {
    file: File,
    digest: GrowingDigest,
    /// As it was when it was opened.
    len: u64,
    read: u64,
}

/// Opens a file, and says what is seen of it. `during` = start and end of the run; at most `most` bytes are to be read.
fn open(mut found: wire::WrittenFile, during: (i64, i64), most: u64) -> (wire::WrittenFile, At) {
    let opened =
        os::open_without_links(Path::new(&found.path)).and_then(|file| file.metadata().map(|meta| (file, meta)));
    let (file, meta) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "it was removed since the run ended".to_owned(),
                _ => format!("it cannot be read: {error}"),
            };
            return (found, At::Done(Err(why)));
        }
    };
    let (started, ended) = during;
    let born = meta.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born = born.and_then(|born| i64::try_from(born.as_millis()).ok());
    found.modified_at_ms = meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000;
    found.changed = born.is_some_and(|born| born < started - SLACK_MS);
    found.perhaps_changed = meta.len() != found.bytes || found.modified_at_ms > ended + SLACK_MS;
    found.bytes = meta.len();
    let at = match meta.len() {
        len if len > LARGEST => {
            At::Done(Err(format!("it has more than {}, which would take long to read", words::bytes(LARGEST))))
        }
        len if len > most => At::Done(Err(format!("of one run {} are read", words::bytes(ALL)))),
        len => At::start(file, len),
    };
    (found, at)
}

impl At {
    /// At the beginning of a file that has this length.
    pub(super) fn start(file: File, len: u64) -> Self {
        Self::Reading(Reading { file, digest: GrowingDigest::default(), len, read: 0 })
    }
}

impl Reading {
    /// Reads the next piece.
    fn step(mut self) -> At {
        let mut piece = vec![0; CHUNK];
        let until = self.read + SIGN;
        while self.read < until {
            match self.file.read(&mut piece) {
                Ok(0) if self.read == self.len => return At::Done(Ok(self.digest.finish())),
                Ok(0) => return At::Done(Err(WRITTEN.to_owned())),
                Ok(n) => {
                    self.digest.update(&piece[..n]);
                    self.read += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return At::Done(Err(format!("it cannot be read: {error}"))),
            }
            if self.read > self.len {
                return At::Done(Err(WRITTEN.to_owned()));
            }
        }
        At::Reading(self)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::spool::FileFacts;

    fn ended(spool: &Spool, attempt: u32, artifacts: Vec<Artifact>) {
        let facts = FileFacts::default();
        let outcome = serde_json::json!({
            "state": "succeeded", "cause": "completed", "rc": null, "message": "", "command": "", "location": null,
            "exit_code": 0, "signal": null, "log": facts, "console": facts, "leftovers": [], "started_at_ms": 1,
            "running_at_ms": 1, "ended_at_ms": 2, "duration_ms": 1, "max_rss_bytes": 0, "note": "", "ended_by": "",
            "artifacts": artifacts, "more_artifacts": true, "shared_with": ["other"],
        });
        spool.write(&spool.outcome(), &outcome).unwrap();
        let plan = serde_json::json!({
            "format": 2, "attempt": attempt, "program": "/s", "arg0": null, "argv": [], "env": {}, "engine": "standin",
            "engine_note": "", "working_dir": "/w", "source": "", "code_sha256": "", "profile": null, "output_limit": 1,
            "timing": {"timeout": null, "start": 1, "after_break": 1, "after_terminate": 1},
        });
        spool.write(&spool.plan(), &plan).unwrap();
    }

    async fn list(spool: &Spool, attempt: u32) -> Vec<wire::FilesPart> {
        let (to, mut from) = mpsc::channel(100);
        let host = Preparer::of_no_engine(&[]);
        let banners = BannerCache::open(spool.control_folder().join("banner.json"));
        send(spool.clone(), attempt, Arc::new(host), Digests::new(longhaul_proto::clock::Clock::system()), banners, to)
            .await;
        std::iter::from_fn(|| from.try_recv().ok()).map(Result::unwrap).collect()
    }

    #[tokio::test]
    async fn files_are_listed_with_digests_or_the_reason_why_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let spool = Spool::at(&root.join("019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21")).unwrap();
        fs::create_dir_all(spool.work()).unwrap();
        fs::create_dir_all(spool.control_folder()).unwrap();
        let users = root.join("project");
        fs::create_dir(&users).unwrap();
        let named = |path: &Path, content: &str| {
            fs::write(path, content).unwrap();
            Artifact { path: path.display().to_string(), bytes: content.len() as u64 }
        };
        let mut artifacts = vec![
            named(&spool.work().join("own.csv"), "a,b"),
            named(&users.join("fit.png"), "png"),
            named(&users.join("gone"), ""),
        ];
        fs::remove_file(users.join("gone")).unwrap();
        artifacts.push(named(&users.join("grown"), "as it was"));
        fs::write(users.join("grown"), "as it is now").unwrap();
        artifacts.push(named(&users.join("swapped"), "x"));
        fs::remove_file(users.join("swapped")).unwrap();
        symlink(users.join("fit.png"), users.join("swapped")).unwrap();
        let large = users.join("large");
        artifacts.push(named(&large, ""));
        File::options().write(true).open(&large).unwrap().set_len(LARGEST + 1).unwrap();
        ended(&spool, 2, artifacts);

        assert_eq!(list(&spool, 1).await, [wire::FilesPart::default()], "another attempt's");
        let mut parts = list(&spool, 2).await;
        let last = parts.pop().unwrap();
        let made_with: longhaul_proto::api::MadeWith = serde_json::from_slice(&last.made_with).unwrap();
        assert!(made_with.data.is_empty() && !last.packages_missing.is_empty(), "{last:?}");
        assert!(parts.iter().all(|part| part.known));
        assert_eq!(
            (&*parts[0].unsure, &*parts[0].shared_with),
            ("it left more files than are named", &["other".to_owned()][..])
        );
        let files: Vec<_> = parts.iter().flat_map(|part| &part.files).collect();
        let check = |n: usize, of_run: bool, sha256: &str, missing: &str| {
            let file = files[n];
            assert_eq!((file.of_run, &*file.sha256), (of_run, sha256), "{file:#?}");
            assert!(file.missing.contains(missing) && file.missing.is_empty() == missing.is_empty(), "{file:#?}");
        };
        let of = |text: &str| ContentDigest::of(text.as_bytes()).to_string();
        check(0, true, &of("a,b"), "");
        check(1, false, &of("png"), "");
        check(2, false, "", "removed since");
        check(3, false, &of("as it is now"), "");
        assert!(files[3].perhaps_changed && files[3].bytes == 12);
        check(4, false, "", "symbolic link");
        check(5, false, "", "more than 1.0 GiB");
    }
}
