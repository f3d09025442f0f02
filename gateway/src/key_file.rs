//! Keys of this gateway's own: 32 random bytes in a file of the data folder, made when missing, readable by its user alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use longhaul_proto::{durable, hex, ids};

/// Why a secret of the data folder is not there.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file could not be read or written.
    #[error("cannot read or write {}: check that the folder is yours and has room", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// It holds no key.
    #[error("{} is not what this program wrote: move it away, and a new one is made", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("cannot make a secret")]
    Random(#[source] io::Error),
}

/// The key in `<data>/<name>`.
///
/// # Errors
/// When the file cannot be read or written, or holds no key.
pub(crate) fn ensure(data: &Path, name: &str) -> Result<[u8; 32], KeyFileError> {
    let path = data.join(name);
    let failed = |source| KeyFileError::File { path: path.clone(), source };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = hex(&ids::secret::<32>().map_err(KeyFileError::Random)?);
            durable::create_exclusive(&path, format!("{made}\n").as_bytes()).map_err(failed)?;
            fs::read_to_string(&path).map_err(failed)?
        }
        Err(error) => return Err(failed(error)),
    };
    unhex(text.trim()).ok_or(KeyFileError::Content { path })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(key)
}
