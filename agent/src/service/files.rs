//! The files that an ended run left, with their digests: read when the gateway asks, so that no end waits for it.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use longhaul_proto::{
    CHUNK,
    digest::{ContentDigest, GrowingDigest},
    wire, words,
};
use tokio::sync::mpsc;
use tonic::Status;

use super::refusal;
use crate::{
    follow::do_files,
    os,
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

/// What a list is sent through.
pub(super) type Sender = mpsc::Sender<Result<wire::FilesPart, Status>>;

/// The caller has gone.
struct Gone;

/// Sends the files of an attempt. Returns when all are sent, or the caller has gone.
pub(super) fn send(spool: &Spool, attempt: u32, to: &Sender) {
    let outcome = do_files::is_of(spool, attempt).and_then(|its| match its {
        true => spool.read::<OutcomeRecord>(&spool.outcome()),
        false => Ok(None),
    });
    let sent = match outcome {
        Ok(Some(outcome)) => {
            let own = spool.work();
            let own = own.canonicalize().unwrap_or(own);
            List { own, outcome: &outcome, left: ALL, to }.send()
        }
        Ok(None) => tell(to, wire::FilesPart::default()),
        Err(error) => to.blocking_send(Err(refusal::unreadable(&error))).map_err(|_| Gone),
    };
    if sent.is_err() {
        tracing::debug!(run = %spool.run(), "the caller did not wait for the run's files");
    }
}

fn tell(to: &Sender, part: wire::FilesPart) -> Result<(), Gone> {
    to.blocking_send(Ok(part)).map_err(|_| Gone)
}

struct List<'a> {
    /// The run's own folder.
    own: PathBuf,
    outcome: &'a OutcomeRecord,
    /// Bytes that may still be read.
    left: u64,
    to: &'a Sender,
}

impl List<'_> {
    fn send(mut self) -> Result<(), Gone> {
        let outcome = self.outcome;
        let unsure = if outcome.more_artifacts { "it left more files than are named" } else { "" };
        let (unsure, shared_with) = (unsure.to_owned(), outcome.shared_with.clone());
        tell(self.to, wire::FilesPart { known: true, unsure, shared_with, ..wire::FilesPart::default() })?;
        for artifact in &outcome.artifacts {
            let file = self.file(artifact)?;
            tell(self.to, wire::FilesPart { known: true, files: vec![file], ..wire::FilesPart::default() })?;
        }
        Ok(())
    }

    fn file(&mut self, artifact: &Artifact) -> Result<wire::WrittenFile, Gone> {
        let path = Path::new(&artifact.path);
        let mut found = wire::WrittenFile {
            path: artifact.path.clone(),
            bytes: artifact.bytes,
            of_run: path.starts_with(&self.own),
            ..wire::WrittenFile::default()
        };
        match self.digest(path, &mut found)? {
            Ok(digest) => found.sha256 = digest.to_string(),
            Err(why) => found.missing = why,
        }
        Ok(found)
    }

    /// The digest of a file and what else is seen of it, or why there is none.
    fn digest(&mut self, path: &Path, found: &mut wire::WrittenFile) -> Result<Result<ContentDigest, String>, Gone> {
        let mut file = match os::open_without_links(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Err("it was removed since the run ended".to_owned()));
            }
            Err(error) => return Ok(Err(format!("it cannot be read: {error}"))),
        };
        let meta = match file.metadata() {
            Ok(meta) => meta,
            Err(error) => return Ok(Err(format!("it cannot be read: {error}"))),
        };
        let at = |seconds: i64, nanos: i64| seconds * 1000 + nanos / 1_000_000;
        let born = meta.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let started = self.outcome.started_at_ms;
        found.modified_at_ms = at(meta.mtime(), meta.mtime_nsec());
        found.changed = born.is_some_and(|born| (born.as_millis() as i64) < started - SLACK_MS);
        found.perhaps_changed = meta.len() != found.bytes || found.modified_at_ms > self.outcome.ended_at_ms + SLACK_MS;
        found.bytes = meta.len();
        if meta.len() > LARGEST {
            return Ok(Err(format!("it has more than {}, which would take long to read", words::bytes(LARGEST))));
        }
        if meta.len() > self.left {
            return Ok(Err(format!("of one run {} are read", words::bytes(ALL))));
        }
        self.left -= meta.len();
        self.read(&mut file, meta.len())
    }

    /// Reads a file to its end, with a sign of life now and then.
    fn read(&self, file: &mut File, len: u64) -> Result<Result<ContentDigest, String>, Gone> {
        let (mut digest, mut piece, mut since_sign, mut all) = (GrowingDigest::default(), vec![0; CHUNK], 0, 0);
        loop {
            match file.read(&mut piece) {
                Ok(0) if all == len => return Ok(Ok(digest.finish())),
                Ok(0) => return Ok(Err("it is being written to".to_owned())),
                Ok(n) => {
                    digest.update(&piece[..n]);
                    (since_sign, all) = (since_sign + n as u64, all + n as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(format!("it cannot be read: {error}"))),
            }
            if all > len {
                return Ok(Err("it is being written to".to_owned()));
            }
            if since_sign >= SIGN {
                since_sign = 0;
                tell(self.to, wire::FilesPart { known: true, ..wire::FilesPart::default() })?;
            }
        }
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

    fn list(spool: &Spool, attempt: u32) -> Vec<wire::FilesPart> {
        let (to, mut from) = mpsc::channel(100);
        send(spool, attempt, &to);
        drop(to);
        std::iter::from_fn(|| from.blocking_recv()).map(Result::unwrap).collect()
    }

    #[test]
    fn files_are_listed_with_digests_or_the_reason_why_there_is_none() {
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

        assert_eq!(list(&spool, 1), [wire::FilesPart::default()], "another attempt's");
        let parts = list(&spool, 2);
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
