//! The packages that are installed for the host's user: Stata's own list of them, and the digests of their files.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use longhaul_proto::{
    CHUNK, MAX_DO_FILE,
    api::{PackageFileView, PackageView, Packages},
    digest::GrowingDigest,
    encoding::Encoding,
    sha256_hex, words,
};

use super::Digests;
use crate::{os, prepare::Places, stata::trk};

/// Longest list that is read, bytes.
const LIST: u64 = 8 << 20;
/// Most bytes of files that are read for one run; files that were read before count nothing.
const BYTES: u64 = 512 << 20;
/// Files that are looked at, and bytes that are read, before a sign of life.
const STEP: (usize, u64) = (200, 16 << 20);

/// The packages of a folder, while their files are read.
pub(crate) struct Reading {
    folder: PathBuf,
    listed: std::vec::IntoIter<trk::Package>,
    found: Packages,
    digests: Digests,
    left: u64,
}

/// The folder that packages are installed into: as Stata told, or the first usual one that has a list.
///
/// # Errors
/// Why none can be read, in words.
fn folder(told: Option<&str>, home: Option<&Path>, places: &Places) -> Result<PathBuf, String> {
    let usual = home.map(crate::help::plus_folders).unwrap_or_default();
    let real = |path: &Path| fs::canonicalize(path).ok();
    let Some(told) = told else {
        let has_list = |path: &PathBuf| path.join("stata.trk").is_file();
        return match usual.iter().find(|path| has_list(path)).and_then(|path| real(path)) {
            Some(path) => Ok(path),
            None => Err("none are installed in the usual folders of the host's user".to_owned()),
        };
    };
    let path = match (told.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(told),
    };
    let Some(found) = real(&path) else { return Err(format!("none are installed: there is no folder {told}")) };
    if usual.iter().filter_map(|path| real(path)).any(|usual| usual == found) || places.is_inside(&found) {
        return Ok(found);
    }
    Err(format!("they are installed in {told}, which lies outside the agent's folders and was not read"))
}

/// How far the packages are.
pub(crate) enum Step {
    /// There are more.
    More(Box<Reading>),
    /// All are read.
    All(Packages),
}

impl Reading {
    /// Reads the list. `told` = the folder by Stata's own word.
    ///
    /// # Errors
    /// Why there are none, in words.
    pub(crate) fn begin(
        told: Option<&str>,
        home: Option<&Path>,
        places: &Places,
        encoding: Encoding,
        digests: Digests,
    ) -> Result<Self, String> {
        let folder = folder(told, home, places)?;
        let mut bytes = vec![];
        let list =
            os::open_below(&folder, Path::new("stata.trk")).and_then(|list| list.take(LIST).read_to_end(&mut bytes));
        match list {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!("none are installed in {}", folder.display()));
            }
            Err(error) => return Err(format!("their list in {} cannot be read: {error}", folder.display())),
            Ok(_) => {}
        }
        let (listed, more) = trk::read(&encoding.lines(&bytes).0);
        let note = more.then(|| "more packages or files are installed than are read".to_owned());
        let found = Packages { folder: folder.display().to_string(), packages: vec![], note };
        Ok(Self { folder, listed: listed.into_iter(), found, digests, left: BYTES })
    }

    /// Reads the next ones.
    pub(crate) fn step(mut self) -> Step {
        let (mut files, before) = (0, self.left);
        while files < STEP.0 && before - self.left < STEP.1 {
            let Some(package) = self.listed.next() else { return Step::All(self.found) };
            files += package.files.len() + 1;
            let view = self.package(package);
            self.found.packages.push(view);
        }
        Step::More(Box::new(self))
    }

    fn package(&mut self, package: trk::Package) -> PackageView {
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        let mut files = vec![];
        for path in package.files {
            let sha256 = self.digest(Path::new(&path)).ok();
            files.push(PackageFileView { path, sha256 });
        }
        let line = |file: &PackageFileView| Some(format!("{}  {}\n", file.sha256.as_ref()?, file.path));
        let lines: Option<String> = files.iter().map(line).collect();
        PackageView {
            name: package.name,
            source: package.source,
            distributed: text(package.distributed),
            installed: text(package.installed),
            sha256: lines.filter(|_| !files.is_empty()).map(|lines| sha256_hex(lines.as_bytes())),
            files,
        }
    }

    fn digest(&mut self, path: &Path) -> io::Result<String> {
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = os::open_below(&self.folder, path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if let Some(digest) = self.digests.known(&meta) {
            return Ok(digest.to_string());
        }
        if meta.len() > self.left {
            self.found.note.get_or_insert_with(|| format!("of their files {} are read for a run", words::bytes(BYTES)));
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.left -= meta.len();
        let digest = read(file, meta.len())?;
        self.digests.learn(&meta, digest);
        Ok(digest.to_string())
    }
}

fn read(file: File, len: u64) -> io::Result<longhaul_proto::digest::ContentDigest> {
    let (mut digest, mut piece, mut from) = (GrowingDigest::default(), vec![0; CHUNK], file.take(len));
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(digest.finish()),
            Ok(n) => digest.update(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// As JSON of at most [`MAX_DO_FILE`] bytes: without the files of each package where they are too many.
///
/// # Errors
/// Why there is none, in words.
pub(crate) fn json(mut packages: Packages) -> Result<Vec<u8>, String> {
    let most = usize::try_from(MAX_DO_FILE).unwrap_or(usize::MAX);
    let write =
        |packages: &Packages| serde_json::to_vec(packages).map_err(|e| format!("they could not be written: {e}"));
    let whole = write(&packages)?;
    if whole.len() <= most {
        return Ok(whole);
    }
    packages.packages.iter_mut().for_each(|package| package.files.clear());
    packages.note =
        Some("their files are too many to be named one by one; each package has the digest of all".to_owned());
    let short = write(&packages)?;
    if short.len() <= most {
        Ok(short)
    } else {
        Err(format!("their list takes more than {}", words::bytes(MAX_DO_FILE)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn places(root: &Path) -> Places {
        Places { host: "here".into(), roots: vec![root.to_owned()], hidden: vec![], path_map: vec![] }
    }

    fn all(mut reading: Reading) -> Packages {
        loop {
            match reading.step() {
                Step::All(found) => return found,
                Step::More(more) => reading = *more,
            }
        }
    }

    #[test]
    fn packages_have_digests_and_nothing_outside_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        let plus = home.join("ado/plus");
        let begin = |told: Option<&str>, root: &Path| {
            Reading::begin(
                told,
                Some(&home),
                &places(root),
                Encoding::default(),
                Digests::new(longhaul_proto::clock::Clock::system()),
            )
        };
        let nowhere = home.join("no/root");
        assert!(begin(None, &nowhere).err().unwrap().contains("none are installed"));
        fs::create_dir_all(plus.join("f")).unwrap();
        fs::write(home.join("secret"), "x").unwrap();
        fs::write(plus.join("f/one.ado"), "one").unwrap();
        symlink(home.join("secret"), plus.join("f/link.ado")).unwrap();
        let list = "S http://s\nN one.pkg\nD 1 Jun 2024\nd Distribution-Date: 20240101\nf f/one.ado\ne\n\
                    S http://s\nN bad.pkg\nf ../../secret\nf f/link.ado\nf f/none.ado\nf /etc/passwd\ne\n";
        fs::write(plus.join("stata.trk"), list).unwrap();
        for told in [None, Some("~/ado/plus/"), Some(plus.to_str().unwrap())] {
            let found = all(begin(told, &nowhere).ok().unwrap());
            assert_eq!(found.folder, plus.display().to_string());
            let [one, bad] = &found.packages[..] else { panic!("{found:?}") };
            let digest = sha256_hex(b"one");
            assert_eq!(one.files, [PackageFileView { path: "f/one.ado".into(), sha256: Some(digest.clone()) }]);
            assert_eq!(one.sha256, Some(sha256_hex(format!("{digest}  f/one.ado\n").as_bytes())));
            assert_eq!((one.distributed.as_deref(), one.installed.as_deref()), (Some("20240101"), Some("1 Jun 2024")));
            assert!(bad.sha256.is_none() && bad.files.iter().all(|file| file.sha256.is_none()), "{bad:?}");
        }
        // A folder that Stata told, and that is neither usual nor below a root.
        let other = home.join("own/plus");
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("stata.trk"), list).unwrap();
        let told = other.to_str();
        assert!(begin(told, &nowhere).err().unwrap().contains("outside"));
        assert_eq!(all(begin(told, &home.join("own")).ok().unwrap()).packages.len(), 2);
    }

    #[test]
    fn a_list_that_is_too_long_goes_without_files() {
        let file = |n: usize| PackageFileView { path: format!("a/{n}.ado"), sha256: Some("0".repeat(64)) };
        let package = |n: usize| PackageView {
            name: format!("p{n}"),
            files: (0..100).map(file).collect(),
            ..PackageView::default()
        };
        let packages = Packages { packages: (0..200).map(package).collect(), ..Packages::default() };
        let read: Packages = serde_json::from_slice(&json(packages).unwrap()).unwrap();
        assert!(read.packages.len() == 200 && read.packages[0].files.is_empty() && read.note.is_some());
    }
}
