//! Which runs hold the lock of those that install packages: those whose code, as it came, names a command for it.
//!
//! Of a bundle that is every do-file and ado-file in it. A do-file on this host that the code calls is read by Stata alone.

use std::path::{Path, PathBuf};

use longhaul_proto::{risk::is_code, wire::submission::Source};

use super::source::{Code, beginning};
use crate::stata::installs;

/// Where the lock is: below the home of the user, where Stata has the user's packages too, so that all agents of the user
/// have one. `data` is where it is for a user without a home.
pub(crate) fn lock(home: Option<&Path>, data: &Path) -> PathBuf {
    let folder = home.filter(|home| home.is_absolute()).map(|home| home.join(".local/state/longhaul"));
    folder.unwrap_or_else(|| data.to_owned()).join("install.lock")
}

/// Whether the code of a run installs packages, as far as its text tells. Its files lie in `work`.
pub(super) fn installs(code: &Code, source: Option<&Source>, work: &Path) -> bool {
    let named = |bytes: &[u8]| installs::named(bytes).is_some();
    let at = |path: &Path| beginning(path).is_some_and(|bytes| named(&bytes));
    let own = named(&code.bytes) || code.at.as_deref().is_some_and(at);
    own || match source {
        Some(Source::Bundle(bundle)) => bundle.files.iter().any(|file| is_code(&file.path) && named(&file.content)),
        Some(Source::Stored(stored)) => {
            stored.files.iter().any(|file| is_code(&file.path) && at(&work.join(&file.path)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::wire;

    use super::*;

    #[test]
    fn every_code_file_of_a_bundle_counts() {
        let code = |text: &str| super::super::source::text(text.as_bytes()).unwrap();
        let work = tempfile::tempdir().unwrap();
        let bundle = |path: &str, text: &str| {
            let file = wire::BundleFile { path: path.into(), content: text.into(), mode: 0 };
            Some(Source::Bundle(wire::Bundle { files: vec![file], entry: "main.do".into() }))
        };
        let found = |code: &Code, source: &Option<Source>| installs(code, source.as_ref(), work.path());
        assert!(found(&code("ssc install x"), &None));
        assert!(!found(&code("do sub/b.do"), &None));
        assert!(found(&code("do sub/b.do"), &bundle("sub/b.do", "ssc install x")));
        assert!(!found(&code("do sub/b.do"), &bundle("sub/readme.txt", "ssc install x")));
        let stored = wire::StoredFile { path: "b.ado".into(), ..wire::StoredFile::default() };
        let stored = Some(Source::Stored(wire::StoredCode { files: vec![stored], entry: "main.do".into() }));
        assert!(!found(&code("b"), &stored), "a file that is not there");
        std::fs::write(work.path().join("b.ado"), "program b\nnet install x, from(http://a.b)\nend\n").unwrap();
        assert!(found(&code("b"), &stored));
    }

    #[test]
    fn one_lock_for_a_user() {
        let data = Path::new("/var/lib/longhaul");
        assert_eq!(lock(Some(Path::new("/home/ana")), data), Path::new("/home/ana/.local/state/longhaul/install.lock"));
        assert_eq!(lock(None, data), lock(Some(Path::new("home")), data));
        assert_eq!(lock(None, data), Path::new("/var/lib/longhaul/install.lock"));
    }
}
