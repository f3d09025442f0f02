//! Stored code: its files came before the run and lie in the spool by their digests. They may have more bytes than fit into
//! memory, so they get a second name where the run finds them, and are copied only where one is not enough.

use std::{
    collections::HashSet,
    fs::{self, File, Permissions},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use longhaul_proto::wire::{StoredCode, StoredFile};

use super::{Code, Problem, bundle::safe, empty, not_text, older_than_the_run, unreadable};

/// Read at once while a do-file is looked into, bytes.
const STEP: usize = 256 * 1024;

/// Lays the files of a bundle out in `work`, and returns the code of its entry; of a text nothing is laid out.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn lay_out(code: &StoredCode, blobs: &Path, work: &Path) -> Result<Code, Problem> {
    let entry = if code.entry.is_empty() { PathBuf::new() } else { safe(&code.entry)? };
    let is_entry = |file: &StoredFile| match code.entry.as_str() {
        "" => true,
        _ => safe(&file.path).is_ok_and(|path| path == entry),
    };
    let Some(file) = code.files.iter().find(|file| is_entry(file)) else {
        return Err(unreadable(format!("the bundle has no file {}, which is to be run", code.entry)));
    };
    let at = blobs.join(&file.sha256);
    let what =
        if code.entry.is_empty() { "the submitted code".to_owned() } else { format!("{} of the bundle", code.entry) };
    look_into(&at, &what)?;
    let (sha256, at) = (file.sha256.clone(), Some(at));
    if code.entry.is_empty() {
        return Ok(Code { bytes: Vec::new(), at, sha256, file: None });
    }
    let mut used = HashSet::new();
    for file in &code.files {
        let path = work.join(safe(&file.path)?);
        // Two files with the same bytes are two files: the run may change one. And what its mode hides must stay readable
        // as a file of the code.
        let second_name = used.insert(&file.sha256) && (file.mode == 0 || file.mode & 0o400 != 0);
        put(&blobs.join(&file.sha256), &path, second_name, file.mode)
            .map_err(|e| unreadable(format!("{} of the bundle could not be written: {e}", file.path)))?;
    }
    Ok(Code { bytes: Vec::new(), at, sha256, file: Some(work.join(entry)) })
}

fn put(blob: &Path, path: &Path, second_name: bool, mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if !second_name || fs::hard_link(blob, path).is_err() {
        fs::copy(blob, path)?;
    }
    older_than_the_run(path)?;
    match mode {
        0 => Ok(()),
        mode => fs::set_permissions(path, Permissions::from_mode(mode & 0o777)),
    }
}

/// As with code that comes as bytes, piece by piece.
fn look_into(path: &Path, what: &str) -> Result<(), Problem> {
    let failed = |error: io::Error| unreadable(format!("{what} cannot be read: {error}"));
    let mut file = File::open(path).map_err(failed)?;
    let (mut buffer, mut blank) = (vec![0; STEP], true);
    loop {
        let n = file.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            return if blank { Err(empty(what)) } else { Ok(()) };
        }
        if buffer[..n].contains(&0) {
            return Err(not_text(what));
        }
        blank &= buffer[..n].iter().all(u8::is_ascii_whitespace);
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::sha256_hex;

    use super::*;

    #[test]
    fn files_are_laid_out_apart_and_as_often_as_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (blobs, work) = (folder.path().join("blobs"), folder.path().join("work"));
        fs::create_dir_all(&blobs).unwrap();
        let stored = |path: &str, content: &[u8], mode| {
            let sha256 = sha256_hex(content);
            fs::write(blobs.join(&sha256), content).unwrap();
            StoredFile { path: path.to_owned(), sha256, bytes: content.len() as u64, mode }
        };
        let files = vec![
            stored("a.csv", b"1\n", 0),
            stored("main.do", b"display 1\n", 0o600),
            stored("sub/b.csv", b"1\n", 0o400),
        ];
        let bundle = StoredCode { files, entry: "./main.do".to_owned() };
        // Laid out anew after a crash, too.
        for _ in 0..2 {
            let code = lay_out(&bundle, &blobs, &work).unwrap();
            assert_eq!(code.file, Some(work.join("main.do")));
            assert_eq!(fs::read(code.at.unwrap()).unwrap(), b"display 1\n");
        }
        fs::write(work.join("a.csv"), "changed").unwrap();
        assert_eq!(fs::read(work.join("sub/b.csv")).unwrap(), b"1\n", "another file");
        let mode = fs::metadata(work.join("sub/b.csv")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
        let text = |content: &[u8]| StoredCode { files: vec![stored("", content, 0)], entry: String::new() };
        assert!(lay_out(&text(b"display 1\n"), &blobs, &work).unwrap().file.is_none());
        let wrong = |code: &StoredCode, words: &str| {
            let problem = lay_out(code, &blobs, &work).unwrap_err();
            assert!(problem.text.contains(words), "{problem:?}");
        };
        wrong(&text(b" \n"), "is empty");
        wrong(&text(b"a\0"), "not text");
        wrong(
            &StoredCode { files: vec![stored("../a.do", b"display 1\n", 0)], entry: "../a.do".to_owned() },
            "stay inside",
        );
        wrong(&StoredCode { files: vec![], entry: "a.do".to_owned() }, "no file a.do");
    }
}
