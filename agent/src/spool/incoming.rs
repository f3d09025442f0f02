//! The files of stored code on their way in: `incoming/<run id>/<digest>`, with `.part` behind it until all bytes are there
//! and were compared with the digest. When the attempt is accepted they move into the run's spool.
//!
//! Here is the disk's part; who may write when is decided by [`crate::runs`]. Everything blocks.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use longhaul_proto::{
    digest::{ContentDigest, GrowingDigest},
    durable, faults,
    faults::{Op, did},
    ids::RunId,
    wire::StoredFile,
};

use super::Spool;

/// Read at once while a digest is recomputed, bytes.
const HASH_CHUNK: usize = 1 << 20;
/// Most files that are synced at the same time.
const AT_ONCE: usize = 32;

/// The folder of all files that are on their way in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Incoming(PathBuf);

/// What became of a file of which all bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It has the right digest, and is to be synced.
    Right,
    /// It has another digest, and was deleted.
    Differs(ContentDigest),
}

/// A file of which bytes come in.
#[derive(Debug)]
pub struct Partial {
    file: File,
    path: PathBuf,
    wanted: ContentDigest,
    bytes: u64,
    there: u64,
    digest: GrowingDigest,
}

impl Incoming {
    /// Opens the folder, empty: what an earlier process left is of a run that it did not accept, and comes again.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        if !faults::bug("incoming_leftovers_stay") {
            durable::remove_folder(&folder)?;
        }
        durable::create_folder(&folder)?;
        Ok(Self(folder))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn of(&self, run: RunId) -> PathBuf {
        self.0.join(run.to_string())
    }

    fn whole(&self, run: RunId, digest: ContentDigest) -> PathBuf {
        self.of(run).join(digest.to_string())
    }

    fn partial(&self, run: RunId, digest: ContentDigest) -> PathBuf {
        self.of(run).join(format!("{digest}.part"))
    }

    /// How many bytes of a file are there.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn offset(&self, run: RunId, digest: ContentDigest) -> io::Result<u64> {
        for path in [self.whole(run, digest), self.partial(run, digest)] {
            match fs::metadata(path) {
                Ok(meta) => return Ok(meta.len()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }

    /// Whether all bytes of a file are there, compared and synced.
    pub fn is_whole(&self, run: RunId, digest: ContentDigest) -> bool {
        self.whole(run, digest).exists()
    }

    /// Opens a file for the bytes that follow those that are there.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn append(&self, run: RunId, digest: ContentDigest, bytes: u64) -> io::Result<Partial> {
        durable::make_folder(&self.of(run))?;
        let path = self.partial(run, digest);
        let mut file = durable::make_append(&path)?;
        let (mut there, mut growing, mut buffer) = (0, GrowingDigest::default(), vec![0; HASH_CHUNK]);
        file.rewind()?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                n => {
                    growing.update(&buffer[..n]);
                    there += n as u64;
                }
            }
        }
        Ok(Partial { file, path, wanted: digest, bytes, there, digest: growing })
    }

    /// Makes files durable of which all bytes are there and were compared, and gives them their names.
    ///
    /// # Errors
    /// Any failure of the file system; the rest may be repeated.
    pub fn place(&self, run: RunId, files: &[ContentDigest]) -> io::Result<()> {
        for some in files.chunks(AT_ONCE) {
            let mut batch = durable::Batch::default();
            for digest in some {
                batch.content(&self.partial(run, *digest))?;
            }
            if !faults::bug("incoming_not_synced") {
                batch.sync()?;
            }
            for digest in some {
                match durable::rename(&self.partial(run, *digest), &self.whole(run, *digest)) {
                    // Named by a call before, which then failed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_whole(run, *digest) => {}
                    renamed => renamed?,
                }
            }
        }
        Ok(())
    }

    /// Deletes what has come for a run.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn remove(&self, run: RunId) -> io::Result<()> {
        durable::remove_folder(&self.of(run))
    }

    /// Moves the files of a run's code into its spool, for an attempt that is about to be accepted. Their names are durable
    /// when the spool's own folders were synced, which accepting does.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`]: not all are here, and nothing was moved. Or any failure of the file system.
    pub fn move_into(&self, spool: &Spool, files: &[StoredFile]) -> io::Result<()> {
        let run = spool.run();
        let mut digests = Vec::with_capacity(files.len());
        for file in files {
            let digest: ContentDigest = file.sha256.parse().map_err(io::Error::other)?;
            let (from, is_empty) = (self.whole(run, digest), file.bytes == 0);
            if !is_empty && fs::metadata(&from).map_or(0, |meta| meta.len()) != file.bytes {
                let words = format!("the file of its code with the SHA-256 {digest} is not here, or not all of it");
                return Err(io::Error::new(io::ErrorKind::NotFound, words));
            }
            digests.push((digest, from, is_empty));
        }
        digests.sort_by_key(|(digest, ..)| *digest);
        digests.dedup_by_key(|(digest, ..)| *digest);
        durable::make_folder(spool.path())?;
        durable::make_folder(spool.control_folder())?;
        let to = spool.blobs();
        durable::make_folder(&to)?;
        for (digest, from, is_empty) in digests {
            let to = to.join(digest.to_string());
            // Nobody sends a file without bytes.
            if is_empty {
                durable::make_append(&to)?;
            } else {
                second_name(&from, &to)?;
            }
        }
        if !faults::bug("incoming_not_synced") {
            durable::sync_folder(&to)?;
        }
        self.remove(run)
    }
}

impl Partial {
    /// Which file it is.
    pub fn digest(&self) -> ContentDigest {
        self.wanted
    }

    /// How many bytes are there.
    pub fn len(&self) -> u64 {
        self.there
    }

    /// Whether none is there.
    pub fn is_empty(&self) -> bool {
        self.there == 0
    }

    /// Whether all are there.
    pub fn is_whole(&self) -> bool {
        self.there >= self.bytes
    }

    /// Appends what came; `false` = it is more than was announced, and nothing was written.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<bool> {
        if self.there + piece.len() as u64 > self.bytes {
            return Ok(false);
        }
        faults::check("agent.incoming")?;
        self.file.write_all(piece)?;
        did(|| Op::Append(self.path.clone(), piece.to_vec()));
        self.digest.update(piece);
        self.there += piece.len() as u64;
        Ok(true)
    }

    /// Compares the digest of all bytes.
    ///
    /// # Errors
    /// A wrong file cannot be deleted.
    pub fn compare(self) -> io::Result<Placed> {
        let found = self.digest.finish();
        if found == self.wanted || faults::bug("incoming_unchecked") {
            return Ok(Placed::Right);
        }
        fs::remove_file(&self.path)?;
        did(|| Op::Remove(self.path.clone()));
        Ok(Placed::Differs(found))
    }
}

/// Gives a file the name by which the run has it; its first one goes with its folder.
fn second_name(from: &Path, to: &Path) -> io::Result<()> {
    // Of an acceptance that a crash interrupted: its bytes may be those that a dead attempt has changed.
    match fs::remove_file(to) {
        Ok(()) => did(|| Op::Remove(to.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match fs::hard_link(from, to) {
        Ok(()) => did(|| Op::Link(from.to_owned(), to.to_owned())),
        // A file system without second names.
        Err(_) => fs::rename(from, to)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use longhaul_proto::ids::Ids;

    use super::*;
    use crate::spool::SpoolRoot;

    #[test]
    fn what_came_is_moved_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolRoot::open(folder.path().join("runs")).unwrap().of(Ids::system().run());
        let incoming = Incoming::open(folder.path().join("incoming")).unwrap();
        let (run, digest) = (spool.run(), ContentDigest::of(b"abc"));
        let stored =
            |digest: ContentDigest, bytes| StoredFile { sha256: digest.to_string(), bytes, ..Default::default() };
        let files = [stored(digest, 3), stored(ContentDigest::of(b""), 0), stored(digest, 3)];
        let mut partial = incoming.append(run, digest, 3).unwrap();
        assert!(partial.write(b"ab").unwrap() && !partial.write(b"cd").unwrap(), "no more than was announced");
        drop(partial);
        assert_eq!(incoming.offset(run, digest).unwrap(), 2);
        assert_eq!(incoming.move_into(&spool, &files).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!spool.exists());
        let mut partial = incoming.append(run, digest, 3).unwrap();
        assert!(partial.len() == 2 && partial.write(b"c").unwrap() && partial.is_whole());
        assert_eq!(partial.compare().unwrap(), Placed::Right);
        incoming.place(run, &[digest]).unwrap();
        incoming.move_into(&spool, &files).unwrap();
        assert_eq!(fs::read(spool.blobs().join(digest.to_string())).unwrap(), b"abc");
        assert_eq!(fs::read_dir(spool.blobs()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(incoming.path()).unwrap().count(), 0);
        // The control: one wrong byte, and nothing stays.
        let mut partial = incoming.append(run, digest, 3).unwrap();
        partial.write(b"abd").unwrap();
        assert_eq!(partial.compare().unwrap(), Placed::Differs(ContentDigest::of(b"abd")));
        assert_eq!(incoming.offset(run, digest).unwrap(), 0);
        // What a process leaves goes with the next one.
        incoming.append(run, digest, 3).unwrap().write(b"a").unwrap();
        let incoming = Incoming::open(folder.path().join("incoming")).unwrap();
        assert_eq!(fs::read_dir(incoming.path()).unwrap().count(), 0);
    }

    /// The controls: neither is so by itself.
    #[cfg(feature = "faults")]
    #[test]
    fn unchecked_or_left_it_would_be_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (run, digest) = (Ids::system().run(), ContentDigest::of(b"abc"));
        let open = || Incoming::open(folder.path().join("incoming")).unwrap();
        let mut partial = open().append(run, digest, 3).unwrap();
        partial.write(b"abd").unwrap();
        {
            let _bug = faults::enter("bug=incoming_unchecked");
            assert_eq!(partial.compare().unwrap(), Placed::Right);
        }
        let _bug = faults::enter("bug=incoming_leftovers_stay");
        assert_eq!(open().offset(run, digest).unwrap(), 3);
    }
}
