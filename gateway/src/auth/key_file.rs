//! Keys of this gateway's own: 32 random bytes in a file of the data folder, made when missing, readable by its user alone.

use std::{fs, io, path::Path};

use longhaul_proto::{durable, hex, ids};

use super::credentials::CredentialsError;

/// The key in `<data>/<name>`.
///
/// # Errors
/// When the file cannot be read or written, or holds no key.
pub(super) fn ensure(data: &Path, name: &str) -> Result<[u8; 32], CredentialsError> {
    let path = data.join(name);
    let failed = |source| CredentialsError::File { path: path.clone(), source };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = hex(&ids::secret::<32>().map_err(CredentialsError::Random)?);
            durable::create_exclusive(&path, format!("{made}\n").as_bytes()).map_err(failed)?;
            fs::read_to_string(&path).map_err(failed)?
        }
        Err(error) => return Err(failed(error)),
    };
    unhex(text.trim()).ok_or(CredentialsError::Content { path })
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
