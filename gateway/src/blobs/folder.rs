//! The files of blobs: `<2 hex>/<digest>.<name>`, and with `.part` behind it while bytes come in.
//!
//! Everything here blocks.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use longhaul_proto::{digest::ContentDigest, durable, faults};

use super::claims::{Claim, Hashed};
use crate::ledger::{BlobFile, Upload};

/// Read at once while a digest is recomputed, bytes.
const HASH_CHUNK: usize = 1 << 20;

/// The folder of all blobs. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Folder(Arc<PathBuf>);

/// Where an upload starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At its first byte, whatever is there.
    Over,
    /// At this offset, where the bytes end that are there.
    At(u64),
}

/// What became of the bytes of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// They are in place, durably.
    Yes,
    /// Some are missing.
    No,
    /// They have another digest.
    Differs(ContentDigest),
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self(Arc::new(root))
    }

    /// A folder of its file system that exists.
    pub(super) fn root(&self) -> &Path {
        let above = self.0.ancestors().find(|path| path.exists());
        above.unwrap_or(Path::new("."))
    }

    /// The folder of all digests with these first two digits.
    pub(super) fn below(&self, prefix: &str) -> PathBuf {
        self.0.join(prefix)
    }

    /// The path of all bytes of a blob.
    pub(super) fn whole(&self, file: &BlobFile) -> PathBuf {
        self.0.join(place_of(file))
    }

    /// The path while bytes come in.
    fn partial(&self, file: &BlobFile) -> PathBuf {
        let mut path = self.whole(file).into_os_string();
        path.push(".part");
        path.into()
    }

    /// How many bytes of an upload are there.
    pub(super) fn received(&self, file: &BlobFile) -> io::Result<u64> {
        for path in [self.partial(file), self.whole(file)] {
            match fs::metadata(path) {
                Ok(meta) => return Ok(meta.len()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }

    /// Deletes the file, whole or not. Whoever is renaming it meanwhile either fails, or has its result deleted.
    pub(super) fn remove(&self, file: &BlobFile) -> io::Result<()> {
        for path in [self.partial(file), self.whole(file)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The path of all bytes of a blob, below the folder of all.
pub(crate) fn place_of(file: &BlobFile) -> PathBuf {
    let digest = file.digest.to_string();
    Path::new(&digest[..2]).join(format!("{digest}.{}", file.name))
}

/// The bytes of an upload that are there, with a place for more. It is the only one of its upload as long as it lives.
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    whole: PathBuf,
    wanted: ContentDigest,
    bytes: u64,
    claim: Claim,
}

/// What opening an upload found.
pub(super) enum Opened {
    /// It goes on where it was asked to.
    Here(Box<Partial>),
    /// It has so many bytes, and was asked to go on elsewhere.
    Elsewhere(u64),
}

impl Partial {
    /// Opens it, and makes the digest of what is there, if that is not known.
    pub(super) fn open(folder: &Folder, upload: &Upload, start: Start, mut claim: Claim) -> io::Result<Opened> {
        if start == Start::Over {
            folder.remove(&upload.file)?;
        }
        let whole = folder.whole(&upload.file);
        // All bytes were in place already, and the ledger did not get to know it.
        let in_place = start != Start::Over && whole.exists();
        let path = if in_place { whole.clone() } else { folder.partial(&upload.file) };
        if let Some(above) = path.parent() {
            durable::create_folder(above)?;
        }
        let file = durable::open_append(&path)?;
        let there = file.metadata()?.len();
        match start {
            Start::At(at) if at != there => return Ok(Opened::Elsewhere(there)),
            _ => {}
        }
        // Another length: an append failed in the middle.
        if claim.hashed.bytes != there {
            claim.hashed = hashed(&file)?;
        }
        let (wanted, bytes) = (upload.file.digest, upload.bytes);
        Ok(Opened::Here(Box::new(Self { file, path, whole, wanted, bytes, claim })))
    }

    /// How many bytes are there.
    pub(super) fn len(&self) -> u64 {
        self.claim.hashed.bytes
    }

    /// Appends what came; `false` = it is more than was announced, and nothing was written.
    pub(super) fn append(&mut self, piece: &[u8]) -> io::Result<bool> {
        if self.len() + piece.len() as u64 > self.bytes {
            return Ok(false);
        }
        faults::check("blobs.append")?;
        self.file.write_all(piece)?;
        self.claim.hashed.update(piece);
        Ok(true)
    }

    /// Compares the digest of all bytes, makes them durable, and puts them in place. No other request may have the upload
    /// before the ledger knows what became of it, so the claim is given back.
    pub(super) fn put_in_place(self) -> (io::Result<Whole>, Claim) {
        let Self { file, path, whole, wanted, bytes, mut claim } = self;
        if claim.hashed.bytes < bytes {
            return (Ok(Whole::No), claim);
        }
        let hashed = mem::take(&mut claim.hashed);
        let found = hashed.digest.finish();
        if (found, hashed.bytes) != (wanted, bytes) {
            return (Ok(Whole::Differs(found)), claim);
        }
        (put(&file, &path, &whole).map(|()| Whole::Yes), claim)
    }
}

/// The digest of all that is there.
fn hashed(mut file: &File) -> io::Result<Hashed> {
    file.rewind()?;
    let (mut hashed, mut buffer) = (Hashed::default(), vec![0; HASH_CHUNK]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hashed),
            n => hashed.update(&buffer[..n]),
        }
    }
}

/// Makes a file durable under its last name.
fn put(file: &File, path: &Path, whole: &Path) -> io::Result<()> {
    faults::point("blobs.before_sync");
    durable::sync_file(file, path)?;
    if path != whole {
        durable::rename(path, whole)?;
    }
    if let Some(above) = whole.parent() {
        durable::sync_folder(above)?;
    }
    faults::point("blobs.in_place");
    Ok(())
}

/// Opens a file to be read.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}
