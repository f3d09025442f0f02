//! Attempt files: the process that makes `attempt-N` first decides whether that attempt starts or never will.

use std::{fs, io};

use longhaul_proto::{durable, faults};

use super::Spool;

/// What an attempt file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptKind {
    /// It may start, and perhaps did.
    Started,
    /// It did not and will not start here.
    Revoked,
}

/// The highest attempt in a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// What was decided.
    pub kind: AttemptKind,
}

/// The answer to a claim on an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This claim made the file.
    Mine,
    /// It had been decided before.
    Was(AttemptKind),
}

impl Spool {
    /// Decides attempt `number` unless it has been decided.
    ///
    /// # Errors
    /// Any failure of the file system; the attempt may then be decided or not.
    pub fn decide(&self, number: u32, kind: AttemptKind) -> io::Result<Decision> {
        self.decide_after(number, kind, durable::Batch::default())
    }

    /// Like [`Spool::decide`], with what must be durable before.
    pub(super) fn decide_after(&self, number: u32, kind: AttemptKind, before: durable::Batch) -> io::Result<Decision> {
        let path = self.path().join(format!("attempt-{number}"));
        let word: &[u8] = match kind {
            AttemptKind::Started => b"started\n",
            AttemptKind::Revoked => b"revoked\n",
        };
        if faults::bug("attempt_file_skipped") {
            return before.sync().map(|()| Decision::Mine);
        }
        if durable::create_exclusive_after(&path, word, before)? {
            return Ok(Decision::Mine);
        }
        kind_of(&fs::read(&path)?).map(Decision::Was)
    }

    /// The highest attempt here; `None` when there is none.
    ///
    /// # Errors
    /// Any failure of the file system, or a file with any other content.
    pub fn last_attempt(&self) -> io::Result<Option<Attempt>> {
        let entries = match fs::read_dir(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries?,
        };
        let mut last: Option<u32> = None;
        for entry in entries {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|n| n.strip_prefix("attempt-")).and_then(|n| n.parse().ok());
            last = last.max(number);
        }
        let Some(number) = last else { return Ok(None) };
        let kind = kind_of(&fs::read(self.path().join(format!("attempt-{number}")))?)?;
        Ok(Some(Attempt { number, kind }))
    }
}

fn kind_of(word: &[u8]) -> io::Result<AttemptKind> {
    match word {
        b"started\n" => Ok(AttemptKind::Started),
        b"revoked\n" => Ok(AttemptKind::Revoked),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "an attempt file says neither started nor revoked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::SpoolRoot;
    use longhaul_proto::ids::Ids;

    #[test]
    fn one_decision_per_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolRoot::open(folder.path().join("runs")).unwrap().of(Ids::system().run());
        assert_eq!(spool.last_attempt().unwrap(), None);
        spool.create().unwrap();
        assert_eq!(spool.decide(1, AttemptKind::Revoked).unwrap(), Decision::Mine);
        assert_eq!(spool.decide(1, AttemptKind::Started).unwrap(), Decision::Was(AttemptKind::Revoked));
        assert_eq!(spool.decide(10, AttemptKind::Started).unwrap(), Decision::Mine);
        assert_eq!(spool.decide(2, AttemptKind::Started).unwrap(), Decision::Mine);
        let last = spool.last_attempt().unwrap();
        assert_eq!(last, Some(Attempt { number: 10, kind: AttemptKind::Started }), "by number, not by text");
    }
}
