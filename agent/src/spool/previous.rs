//! The files of an attempt that is proven dead, moved aside for the attempt after it.
//!
//! The later attempt file is made first: from then on the exit record of a lower attempt means that its files still lie
//! here, and that the later attempt has not started. Everything of the dead attempt is moved to `earlier/N`, the exit
//! record last, so that the move continues after a crash where it stopped.

use std::{fs, io, path::Path};

use longhaul_proto::durable;

use super::{AttemptKind, Exit, Spool};

/// Folder for these files.
const PREVIOUS: &str = "earlier";

impl Spool {
    /// The dead attempt whose files lie where those of a later one belong.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn dead_attempt(&self) -> io::Result<Option<u32>> {
        let Some(last) = self.last_attempt()? else { return Ok(None) };
        // A record that cannot be read does not say whose it is; nothing is moved for it.
        let exit = self.read_or_name::<Exit>(&self.exit(), &mut vec![])?;
        Ok(exit.map(|exit| exit.attempt).filter(|attempt| *attempt < last.number))
    }

    /// Moves them aside, durably. The caller holds the run's lock, so no other process writes here.
    ///
    /// # Errors
    /// Any failure of the file system; the call is then to be repeated.
    pub fn put_aside(&self, attempt: u32) -> io::Result<()> {
        let to = self.path().join(PREVIOUS).join(attempt.to_string());
        durable::create_folder(&self.path().join(PREVIOUS))?;
        durable::create_folder(&to)?;
        let request = self.last_attempt()?.is_some_and(|last| last.kind == AttemptKind::Started);
        // The request, its files and the mark of readiness belong to the later attempt, once it was accepted.
        let new = [self.submission_pb(), self.submission_json(), self.ready(), self.blobs()];
        let own = [self.lock(), self.path().join(PREVIOUS), self.exit()];
        let stays = |path: &Path| {
            let attempt = path.file_name().and_then(|name| name.to_str()).is_some_and(|n| n.starts_with("attempt-"));
            attempt || own.iter().any(|own| own == path) || (request && new.iter().any(|new| new == path))
        };
        for from in self.changing_folders() {
            let to = from.strip_prefix(self.path()).map_or_else(|_| to.clone(), |inner| to.join(inner));
            durable::create_folder(&to)?;
            move_all(from, &to, stays)?;
        }
        let exit = to.join(self.exit().strip_prefix(self.path()).unwrap_or(Path::new("exit.json")));
        if self.exit().exists() {
            fs::rename(self.exit(), &exit)?;
        }
        durable::sync_folder(exit.parent().unwrap_or(&to))?;
        durable::sync_folder(self.control_folder())
    }
}

/// Moves what is in a folder, durably, except what stays.
fn move_all(from: &Path, to: &Path, stays: impl Fn(&Path) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if !stays(&entry.path()) {
            fs::rename(entry.path(), to.join(entry.file_name()))?;
        }
    }
    durable::sync_folder(to)?;
    durable::sync_folder(from)
}

#[cfg(test)]
mod tests {
    use longhaul_proto::{ids::Ids, wire};

    use super::*;
    use crate::spool::SpoolRoot;

    #[test]
    fn remains_are_known_until_the_last_of_them_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolRoot::open(folder.path().join("runs")).unwrap().of(Ids::system().run());
        assert_eq!(spool.dead_attempt().unwrap(), None, "there is nothing");
        spool.accept(&wire::Submission::default(), 1, b"boot", 5).unwrap();
        for (path, text) in [(spool.log(), "first"), (spool.spawning(), "boot"), (spool.submission_pb(), "request")] {
            fs::write(path, text).unwrap();
        }
        fs::create_dir(spool.work()).unwrap();
        spool.write(&spool.exit(), &Exit { attempt: 1, ..Exit::default() }).unwrap();
        assert_eq!(spool.dead_attempt().unwrap(), None, "they are the present attempt's own");
        spool.decide(2, AttemptKind::Started).unwrap();
        assert_eq!(spool.dead_attempt().unwrap(), Some(1));
        // A crash after the first file was moved.
        let aside = spool.path().join("earlier/1");
        fs::create_dir_all(aside.join("run")).unwrap();
        fs::rename(spool.log(), aside.join("run/log")).unwrap();
        assert_eq!(spool.dead_attempt().unwrap(), Some(1), "still to be done");
        spool.put_aside(1).unwrap();
        assert_eq!(spool.dead_attempt().unwrap(), None);
        assert!(!spool.spawning().exists() && !spool.work().exists() && !spool.exit().exists());
        assert!(spool.submission_pb().exists(), "the request is the later attempt's");
        assert!(["control/exit.json", "control/spawning", "run/work"].iter().all(|name| aside.join(name).exists()));
        assert_eq!(spool.last_attempt().unwrap().unwrap().number, 2);
    }
}
