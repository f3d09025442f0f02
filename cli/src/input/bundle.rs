//! A folder as a bundle: a small one goes into the request, of a larger one the digests of its files.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use longhaul_proto::{
    MAX_CODE_API,
    api::{BundleFileRequest, BundleRequest, SubmitRequest},
    digest::{ContentDigest, GrowingDigest},
};

use super::{Hosts, Input, InputError, base64, canonical, code, utf8};

/// A bundle up to this size is sent in the request, bytes.
const IN_REQUEST: u64 = 64 * 1024;

/// The largest folder that is sent, bytes: what a gateway takes unless it is set otherwise.
const MAX_FOLDER: u64 = 2 << 30;

/// Read at once while a digest is made, bytes.
const CHUNK: usize = 256 * 1024;

/// A file that may have to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its digest when it was read.
    pub(crate) digest: ContentDigest,
    /// Its length then.
    pub(crate) bytes: u64,
}

/// A file of a bundle, and its name there.
struct Found {
    name: String,
    path: PathBuf,
}

/// Everything under `folder` but `.git`; links to files are followed, links to folders are not.
pub(super) fn bundle(file: &Path, folder: &Path) -> Result<(BundleRequest, Vec<LocalFile>), InputError> {
    // FILE is relative to the current folder, as everywhere; a name inside the folder is understood too.
    let inside = folder.join(file);
    let file = if !file.exists() && inside.exists() { &inside } else { file };
    code(file, Hosts::Here)?;
    let root = canonical(folder)?;
    let entry = canonical(file)?;
    let entry = entry
        .strip_prefix(&root)
        .map_err(|_| InputError::Outside { file: file.into(), folder: folder.into() })
        .and_then(utf8)?;
    let (mut found, mut size) = (vec![], 0);
    collect(&root, &root, &mut found, &mut size, folder)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut files, mut local) = (vec![], vec![]);
    for Found { name, path } in found {
        if size <= IN_REQUEST {
            let content = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
            files.push(BundleFileRequest::inline(name, base64(&content)));
        } else {
            let (digest, bytes) = digest(&path)?;
            files.push(BundleFileRequest::stored(name, digest.to_string()));
            local.push(LocalFile { path, digest, bytes });
        }
    }
    Ok((BundleRequest { entry, files }, local))
}

/// The same request with the files in it, for a gateway of an earlier version.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn with_contents(input: &Input) -> Result<SubmitRequest, InputError> {
    let (size, most) = (input.files.iter().map(|file| file.bytes).sum(), MAX_CODE_API as u64);
    if size > most {
        return Err(InputError::TooLarge { what: "the folder, for this gateway's version,".to_owned(), size, most });
    }
    let mut request = input.request.clone();
    let files = request.bundle.iter_mut().flat_map(|bundle| &mut bundle.files);
    for (file, local) in files.filter(|file| file.sha256.is_some()).zip(&input.files) {
        let content = fs::read(&local.path).map_err(|error| unreadable(&local.path, &error))?;
        *file = BundleFileRequest::inline(&*file.path, base64(&content));
    }
    Ok(request)
}

fn unreadable(path: &Path, error: &io::Error) -> InputError {
    InputError::Unreadable { path: path.into(), reason: error.to_string() }
}

fn digest(path: &Path) -> Result<(ContentDigest, u64), InputError> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let (mut digest, mut bytes, mut buffer) = (GrowingDigest::default(), 0, vec![0; CHUNK]);
    loop {
        match file.read(&mut buffer).map_err(|error| unreadable(path, &error))? {
            0 => return Ok((digest.finish(), bytes)),
            n => {
                digest.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Found>, size: &mut u64, named: &Path) -> Result<(), InputError> {
    for entry in fs::read_dir(folder).map_err(|e| unreadable(folder, &e))? {
        let entry = entry.map_err(|e| unreadable(folder, &e))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|e| unreadable(&path, &e))?;
        if kind.is_dir() {
            if entry.file_name() != ".git" {
                collect(root, &path, found, size, named)?;
            }
            continue;
        }
        let meta = fs::metadata(&path).map_err(|e| unreadable(&path, &e))?;
        if !meta.is_file() {
            continue;
        }
        *size += meta.len();
        if *size > MAX_FOLDER {
            return Err(InputError::TooLarge { what: named.display().to_string(), size: *size, most: MAX_FOLDER });
        }
        let name = utf8(path.strip_prefix(root).unwrap_or(&path))?;
        found.push(Found { name, path });
    }
    Ok(())
}
