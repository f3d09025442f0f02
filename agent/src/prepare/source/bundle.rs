//! Code that was sent with the files it needs.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use longhaul_proto::{MAX_CODE_API, sha256_hex, state::Cause, wire};

use super::{Code, Problem, check_bytes, older_than_the_run, unreadable};

/// Unpacks a bundle into `work` and returns the code of its entry.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn unpack(bundle: &wire::Bundle, work: &Path) -> Result<Code, Problem> {
    let total: usize = bundle.files.iter().map(|f| f.content.len()).sum();
    if total > MAX_CODE_API {
        return Err(unreadable(format!("the bundle is larger than {} MiB", MAX_CODE_API >> 20)));
    }
    for file in &bundle.files {
        let path = work.join(safe(&file.path)?);
        let write = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, &file.content)?;
            older_than_the_run(&path)?;
            match file.mode {
                0 => Ok(()),
                mode => fs::set_permissions(&path, Permissions::from_mode(mode & 0o777)),
            }
        };
        write().map_err(|e| unreadable(format!("{} of the bundle could not be written: {e}", file.path)))?;
    }
    let entry = safe(&bundle.entry)?;
    let Some(file) = bundle.files.iter().find(|f| safe(&f.path).is_ok_and(|p| p == entry)) else {
        return Err(unreadable(format!("the bundle has no file {}, which is to be run", bundle.entry)));
    };
    check_bytes(&file.content, &format!("{} of the bundle", bundle.entry))?;
    let (bytes, sha256) = (file.content.clone(), sha256_hex(&file.content));
    Ok(Code { bytes, at: None, sha256, file: Some(work.join(entry)) })
}

/// A path that stays below the folder it is joined to.
pub(super) fn safe(path: &str) -> Result<PathBuf, Problem> {
    let plain: PathBuf = Path::new(path).components().filter(|c| *c != Component::CurDir).collect();
    let inside = plain.components().all(|c| matches!(c, Component::Normal(_)));
    if plain.as_os_str().is_empty() || !inside || path.contains('\0') || path.contains('\\') {
        return Err(Problem {
            cause: Cause::Malformed,
            text: format!(
                "the bundle's path {path:?} does not stay inside the bundle: use relative paths with / and without .."
            ),
        });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_stays_inside() {
        let folder = tempfile::tempdir().unwrap();
        let check = |path: &str, ok: bool| {
            let files = vec![wire::BundleFile { path: path.into(), content: b"display 1\n".to_vec(), mode: 0o700 }];
            let bundle = wire::Bundle { files, entry: path.into() };
            assert_eq!(unpack(&bundle, &folder.path().join("work")).is_ok(), ok, "{path}");
        };
        check("a.do", true);
        check("./sub/a.do", true);
        check("../a.do", false);
        check("sub/../../a.do", false);
        check("/etc/a.do", false);
        check("", false);
        assert!(!folder.path().join("a.do").exists());
        let mode = fs::metadata(folder.path().join("work/a.do")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
