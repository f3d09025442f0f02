//! Opening the file that a path names, below the agent's folders and nowhere else.
//!
//! The path is resolved once, with its symbolic links; the file is then opened from the agent's folder down, a folder at a
//! time, following no link. So a folder that is swapped for a link meanwhile opens nothing.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use longhaul_proto::{sha256_hex, wire};

use super::refused::Refused;
use crate::{
    os,
    prepare::{Missing, Places},
};

/// Bytes of each end of a file that tell it from others.
const END: usize = 64 * 1024;

/// An open file and where it is.
pub(super) struct Found {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) modified_ms: i64,
}

/// The file that a path names.
pub(super) fn open(places: &Places, path: &str) -> Result<Found, Missing> {
    let (root, real) = places.data_file(path)?;
    let what = format!("{path} on {}", places.host);
    let refused = |text: String| Missing::plain(text);
    let file = below(&root, &real).map_err(|error| {
        refused(match error.kind() {
            io::ErrorKind::PermissionDenied => format!("{what} may not be read by the agent's user"),
            io::ErrorKind::NotFound => format!("{what} does not exist any more"),
            _ => format!("{what} cannot be opened ({error})"),
        })
    })?;
    let meta = file.metadata().map_err(|error| refused(format!("{what} cannot be read ({error})")))?;
    if meta.is_dir() {
        return Err(refused(format!("{what} is a folder: name the data file in it")));
    }
    if !meta.is_file() {
        return Err(refused(format!("{what} is not an ordinary file")));
    }
    let since = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let modified_ms = since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default();
    Ok(Found { bytes: meta.len(), modified_ms, file, path: real })
}

/// Opens a file below a folder without following any link on the way.
fn below(root: &Path, real: &Path) -> io::Result<File> {
    let rest = real.strip_prefix(root).map_err(|_| io::Error::from(io::ErrorKind::PermissionDenied))?;
    os::open_below(root, rest)
}

/// What the gateway is told of it, before anything in it is looked at.
pub(super) fn told(found: &Found) -> wire::DataFile {
    wire::DataFile {
        path: found.path.to_string_lossy().into_owned(),
        bytes: found.bytes,
        modified_ms: found.modified_ms,
        ..Default::default()
    }
}

/// Tells files apart without reading them whole: their length and the bytes at both ends.
pub(super) fn mark(found: &Found) -> Result<String, Refused> {
    let len = END.min(usize::try_from(found.bytes).unwrap_or(usize::MAX));
    let mut bytes = vec![0; 2 * len];
    let (first, last) = bytes.split_at_mut(len);
    found.file.read_exact_at(first, 0)?;
    found.file.read_exact_at(last, found.bytes - len as u64)?;
    Ok(format!("{}-{}", found.bytes, &sha256_hex(&bytes)[..32]))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_folder_that_became_a_link_opens_nothing() {
        let all = tempfile::tempdir().unwrap();
        let all = all.path().canonicalize().unwrap();
        let (root, other) = (all.join("root"), all.join("other"));
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::create_dir_all(&other).unwrap();
        for folder in [&root.join("sub"), &other] {
            fs::write(folder.join("a.dta"), folder.display().to_string()).unwrap();
        }
        let real = root.join("sub/a.dta");
        assert!(below(&root, &real).is_ok());
        // It was resolved, and then the folder is swapped.
        fs::rename(root.join("sub"), root.join("old")).unwrap();
        symlink(&other, root.join("sub")).unwrap();
        assert!(fs::read_to_string(&real).unwrap().ends_with("other"), "the control: a plain open follows it");
        assert!(below(&root, &real).is_err());
        assert!(below(&root, &other.join("a.dta")).is_err());
        assert!(below(&root, &root.join("../other/a.dta")).is_err());
        symlink(other.join("a.dta"), root.join("link.dta")).unwrap();
        assert!(below(&root, &root.join("link.dta")).is_err());
    }
}
