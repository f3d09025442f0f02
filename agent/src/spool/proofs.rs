//! Proofs that an attempt never started, or that a run was executed here, and how long they are kept.
//!
//! A removed proof is gone for good, and with it the certainty that a run is not started twice. So no single reading of
//! the wall clock decides: the newest run's id, which carries its gateway's time, must be about as new as the clock
//! says it is. A host that comes up with its clock a month ahead keeps all of them.

use std::{fs, io, os::unix::fs::MetadataExt};

use longhaul_proto::{durable, faults, ids::RunId};

use super::{AttemptKind, DONE, SpoolRoot};

/// How long proofs are kept: 30 days, as records are.
const KEPT_MS: i64 = 30 * DAY_MS;
/// How far the clock may be ahead of the newest run. An agent without runs for longer keeps its proofs until it has
/// one, at the cost of a file name each.
const TRUSTED_MS: i64 = 7 * DAY_MS;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// What happened to old proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proofs {
    /// This many were removed.
    Removed(u32),
    /// None was removed: the clock is this many milliseconds ahead of the newest run here.
    ClockAhead(i64),
}

impl SpoolRoot {
    /// Removes proofs that no gateway can ask for any more: older than 30 days, by a clock that can be trusted.
    ///
    /// # Errors
    /// When the folder cannot be listed; what cannot be removed stays for the next call.
    pub fn drop_proofs(&self, now_ms: i64) -> io::Result<Proofs> {
        let mut newest = i64::MIN;
        for entry in fs::read_dir(self.path())? {
            let name = entry?.file_name();
            let stem = name.to_str().map(|name| name.strip_suffix(".done").unwrap_or(name));
            if let Some(run) = stem.and_then(|stem| stem.parse::<RunId>().ok()) {
                newest = newest.max(asked_at_ms(run));
            }
        }
        let ahead = now_ms.saturating_sub(newest);
        if newest > i64::MIN && ahead > TRUSTED_MS && !faults::bug("proofs_by_the_wall_clock") {
            return Ok(Proofs::ClockAhead(ahead));
        }
        Ok(Proofs::Removed(self.remove_before(now_ms.saturating_sub(KEPT_MS))?))
    }

    fn remove_before(&self, before_ms: i64) -> io::Result<u32> {
        let mut removed = 0;
        for entry in fs::read_dir(self.path())? {
            let path = entry?.path();
            let old = || fs::metadata(&path).is_ok_and(|m| m.mtime() * 1000 < before_ms);
            // While files of that run are kept, the proof is all that says that the run is over.
            let files = || path.with_extension("").exists();
            if path.extension().is_some_and(|e| e == DONE) && old() && !files() && fs::remove_file(&path).is_ok() {
                removed += 1;
            }
        }
        for spool in self.list()? {
            let revoked = spool.last_attempt().is_ok_and(|last| last.is_some_and(|a| a.kind == AttemptKind::Revoked));
            let old = fs::metadata(spool.path()).is_ok_and(|m| m.mtime() * 1000 < before_ms);
            if revoked && !spool.submission_pb().exists() && old && durable::remove_folder(spool.path()).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// When a run was recorded, by its gateway's clock: a UUIDv7 starts with that, Unix milliseconds in 48 bits.
fn asked_at_ms(run: RunId) -> i64 {
    run.as_bytes()[..6].iter().fold(0, |ms, byte| (ms << 8) | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use longhaul_proto::ids::Ids;

    use super::*;

    /// A proof of each kind, a run whose files are kept, a finished run, and how far the clock is off at the check.
    fn left_after(ahead_ms: i64, age_ms: i64) -> (Proofs, usize) {
        let folder = tempfile::tempdir().unwrap();
        let root = SpoolRoot::open(folder.path().join("runs")).unwrap();
        let [revoked, done, files, kept] = std::array::from_fn(|_| Ids::system().run());
        let now_ms = asked_at_ms(kept);
        root.of(revoked).create().unwrap();
        root.of(revoked).decide(1, AttemptKind::Revoked).unwrap();
        fs::write(root.path().join(format!("{done}.done")), "").unwrap();
        fs::write(root.path().join(format!("{files}.done")), "").unwrap();
        root.of(files).create().unwrap();
        root.of(kept).create().unwrap();
        root.of(kept).decide(1, AttemptKind::Started).unwrap();
        let made = UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms - age_ms).unwrap());
        for entry in fs::read_dir(root.path()).unwrap() {
            fs::File::open(entry.unwrap().path()).unwrap().set_modified(made).unwrap();
        }
        let said = root.drop_proofs(now_ms + ahead_ms).unwrap();
        (said, fs::read_dir(root.path()).unwrap().count())
    }

    #[test]
    fn a_clock_that_jumped_removes_no_proof() {
        assert_eq!(left_after(0, 31 * DAY_MS), (Proofs::Removed(2), 3), "what is old goes");
        assert_eq!(left_after(0, 29 * DAY_MS), (Proofs::Removed(0), 5));
        assert_eq!(left_after(6 * DAY_MS, 25 * DAY_MS), (Proofs::Removed(2), 3));
        for months in [1, 2, 24] {
            let ahead = months * 31 * DAY_MS;
            assert_eq!(left_after(ahead, 0), (Proofs::ClockAhead(ahead), 5), "{months} months ahead");
            assert_eq!(left_after(-ahead, 0), (Proofs::Removed(0), 5), "{months} months behind");
        }
    }

    #[cfg(feature = "faults")]
    #[test]
    fn one_look_at_the_wall_clock_would() {
        let _bug = faults::enter("bug=proofs_by_the_wall_clock");
        assert_eq!(left_after(31 * DAY_MS, 0), (Proofs::Removed(2), 3));
    }
}
