//! Turns a file on this machine into a request: path, text or bundle.
//!
//! `longhaul run FILE` sends path and text together: an agent that sees the same bytes under that path runs it there,
//! beside its data; any other agent runs the text. `--with DIR` sends the folder as a bundle: a small one in the request, of
//! a larger one the digests, and then the files that the gateway has not ([`LocalFile`]). A file that is not here may
//! still be on the Stata host, so an absolute path alone is sent to a gateway.

mod bundle;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use base64::Engine as _;
use longhaul_proto::{
    MAX_CODE_API,
    api::{BundleFileRequest, BundleRequest, SubmitRequest},
    paths, sha256_hex,
};

use crate::{args::Run, output};
use bundle::bundle;

pub(crate) use bundle::{LocalFile, with_contents};

/// What is to be submitted.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// The request.
    pub(crate) request: SubmitRequest,
    /// The files that it names by their digests: the gateway may ask for them.
    pub(crate) files: Vec<LocalFile>,
}

/// Where a run may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// On this machine.
    Here,
    /// On any: the gateway was named.
    Anywhere,
}

/// Why there is nothing to send.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// No such file here.
    #[error("{path}: there is no such file here{}", if *hosts == Hosts::Anywhere { ". If it is on the Stata host, give its absolute path" } else { "" })]
    Missing {
        /// The path as given.
        path: PathBuf,
        /// Where the gateway's hosts may be.
        hosts: Hosts,
    },
    /// Not readable.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// Not a regular file.
    #[error("{path} is not a file; give the do-file to run, and its folder with --with if it needs the files there")]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// The file is empty.
    #[error("{path} is empty: there is nothing to run")]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// Binary.
    #[error("{path} is not a do-file: it holds binary data (a zero byte at offset {at})")]
    Binary {
        /// Which.
        path: PathBuf,
        /// Where.
        at: usize,
    },
    /// Larger than the limit.
    #[error(
        "{what} is {} and at most {} can be sent: put the files on the Stata host and give the path there",
        output::bytes(*size),
        output::bytes(*most)
    )]
    TooLarge {
        /// The file or folder.
        what: String,
        /// Its size, bytes; for a folder, as far as it was counted.
        size: u64,
        /// The largest that is sent.
        most: u64,
    },
    /// The do-file lies outside the bundled folder.
    #[error("{file} does not lie in {folder}: --with sends a folder that holds the do-file")]
    Outside {
        /// The do-file.
        file: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// No do-file.
    #[error("no do-file is named: `longhaul run FILE [ARGS]...`; `-` reads code from standard input")]
    Nothing,
    /// Two do-files.
    #[error(
        "`longhaul run` runs one do-file: to pass {other} to {file} as an argument, write `--` before it (longhaul run {file} \
         -- {other}); to run both, call it twice"
    )]
    TwoDoFiles {
        /// The do-file.
        file: PathBuf,
        /// The argument that looks like another.
        other: String,
    },
    /// A folder for code that lies in none.
    #[error(
        "--with sends the folder that the do-file lies in, and standard input lies in none: give the do-file by its name"
    )]
    StandardInputWith,
    /// A name that cannot be written in JSON.
    #[error("{path}: the name is not valid UTF-8, so it cannot be sent; rename it")]
    Name {
        /// Which.
        path: PathBuf,
    },
}

/// The request of a `run` command line.
///
/// # Errors
/// See [`InputError`]; each says what to do.
pub(crate) fn request(run: &Run, hosts: Hosts) -> Result<Input, InputError> {
    if run.file().as_os_str().is_empty() {
        return Err(InputError::Nothing);
    }
    let mut request = SubmitRequest {
        args: run.arguments(),
        timeout: run.timeout.map(|t| t.0.as_secs_f64()),
        queue_timeout: run.queue_timeout.map(|t| t.0.as_secs_f64()),
        host: run.host.clone(),
        labels: run.label.iter().cloned().collect(),
        engine: run.engine.map(|e| e.as_str().to_owned()),
        project_profile: run.project_profile,
        results: run.no_results.then_some(false),
        cores: run.cores,
        again: run.again,
        confirm: run.confirm,
        retry: run.retry.map(Into::into),
        name: run.name.clone(),
        note: run.note.clone(),
        priority: run.priority.map(Into::into),
        priority_reason: run.reason.clone(),
        notify: run.notify.clone(),
        client: Some(concat!("longhaul ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..SubmitRequest::default()
    };
    if let Some(folder) = &run.working_dir {
        // Relative to the current folder, as every other path on a command line.
        request.working_dir = Some(match folder.to_str() {
            // A path of another system: the agent maps it.
            Some(windows) if hosts == Hosts::Anywhere && paths::is_windows(windows) => windows.to_owned(),
            _ => utf8(&std::path::absolute(folder).unwrap_or_else(|_| folder.clone()))?,
        });
    }
    if let Some(other) = run.args.first().filter(|arg| is_do_file(arg)) {
        return Err(InputError::TwoDoFiles { file: run.file(), other: other.clone() });
    }
    if run.file() == Path::new("-") {
        return standard_input(run, request);
    }
    let file = named(&run.file(), run.with.as_deref());
    if let Some(folder) = &run.with {
        let (bundle, files) = bundle(&file, folder)?;
        request.bundle = Some(bundle);
        return Ok(Input { request, files });
    }
    let whole = file.is_absolute() || file.to_str().is_some_and(paths::is_windows);
    if hosts == Hosts::Anywhere && whole && !file.exists() {
        request.path = Some(utf8(&file)?);
        return Ok(Input { request, files: Vec::new() });
    }
    let code = code(&file, hosts)?;
    let path = utf8(&canonical(&file)?)?;
    request.sha256 = Some(sha256_hex(&code));
    match String::from_utf8(code) {
        Ok(text) => {
            request.path = Some(path);
            request.text = Some(text);
            request.file_name = file.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        }
        // JSON cannot carry these bytes as text. An agent on the same host has the file; another one gets it as a
        // bundle of one.
        Err(_) if hosts == Hosts::Here => request.path = Some(path),
        Err(error) => {
            let entry = file.file_name().and_then(|n| n.to_str()).unwrap_or("main.do").to_owned();
            let file = BundleFileRequest::inline(&entry, base64(error.as_bytes()));
            request.bundle = Some(BundleRequest { entry, files: vec![file] });
        }
    }
    Ok(Input { request, files: Vec::new() })
}

/// Code from standard input, as text: it lies in no folder.
fn standard_input(run: &Run, mut request: SubmitRequest) -> Result<Input, InputError> {
    let path = PathBuf::from("standard input");
    if run.with.is_some() {
        return Err(InputError::StandardInputWith);
    }
    let mut bytes = Vec::new();
    let most = MAX_CODE_API as u64;
    let read = io::stdin().lock().take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| InputError::Unreadable { path: path.clone(), reason: error.to_string() })?;
    if bytes.len() as u64 > most {
        return Err(InputError::TooLarge { what: "standard input".into(), size: bytes.len() as u64, most });
    }
    let bytes = checked(bytes, &path)?;
    match String::from_utf8(bytes) {
        Ok(text) => request.text = Some(text),
        Err(error) => {
            let entry = "code.do".to_owned();
            let file = BundleFileRequest::inline(&entry, base64(error.as_bytes()));
            request.bundle = Some(BundleRequest { entry, files: vec![file] });
        }
    }
    Ok(Input { request, files: Vec::new() })
}

/// Whether an argument looks like a second do-file.
fn is_do_file(arg: &str) -> bool {
    Path::new(arg).extension().is_some_and(|extension| extension == "do")
}

fn code(path: &Path, hosts: Hosts) -> Result<Vec<u8>, InputError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => InputError::Missing { path: path.into(), hosts },
        _ => InputError::Unreadable { path: path.into(), reason: error.to_string() },
    };
    let meta = fs::metadata(path).map_err(unreadable)?;
    if !meta.is_file() {
        return Err(InputError::NotAFile { path: path.into() });
    }
    let most = MAX_CODE_API as u64;
    if meta.len() > most {
        return Err(InputError::TooLarge { what: path.display().to_string(), size: meta.len(), most });
    }
    checked(fs::read(path).map_err(unreadable)?, path)
}

/// Code that can be run.
fn checked(bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>, InputError> {
    if bytes.trim_ascii().is_empty() {
        return Err(InputError::Empty { path: path.into() });
    }
    match bytes.iter().position(|b| *b == 0) {
        Some(at) => Err(InputError::Binary { path: path.into(), at }),
        None => Ok(bytes),
    }
}

/// The do-file as Stata reads a name without an extension: `main` is `main.do`, unless there is a file `main`.
fn named(file: &Path, folder: Option<&Path>) -> PathBuf {
    let there = |file: &Path| file.is_file() || folder.is_some_and(|folder| folder.join(file).is_file());
    let with_do = file.to_str().and_then(paths::with_do).map(PathBuf::from);
    with_do.filter(|with_do| !there(file) && there(with_do)).unwrap_or_else(|| file.to_owned())
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn canonical(path: &Path) -> Result<PathBuf, InputError> {
    fs::canonicalize(path).map_err(|e| InputError::Unreadable { path: path.into(), reason: e.to_string() })
}

fn utf8(path: &Path) -> Result<String, InputError> {
    path.to_str().map(str::to_owned).ok_or_else(|| InputError::Name { path: path.into() })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(words: &[&str], hosts: Hosts) -> Result<SubmitRequest, String> {
        let cli = Cli::try_parse_from(["longhaul", "run"].iter().chain(words)).unwrap();
        let Command::Run(run) = cli.command else { panic!() };
        request(&run, hosts).map(|input| input.request).map_err(|e| e.to_string())
    }

    #[test]
    fn what_a_file_becomes() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let at = |name: &str| root.join(name).to_str().unwrap().to_owned();
        fs::write(at("a.do"), "display 1\n").unwrap();
        fs::write(at("latin.do"), b"display \"\xe9\"\n").unwrap();

        let both = parse(&[&at("a.do"), "x", "--timeout", "1min"], Hosts::Anywhere).unwrap();
        assert_eq!((both.path, both.text.as_deref()), (Some(at("a.do")), Some("display 1\n")));
        assert_eq!(both.sha256, Some(sha256_hex(b"display 1\n")));
        assert_eq!((both.args, both.timeout, both.queue_timeout), (vec!["x".to_owned()], Some(60.0), None));

        let here = parse(&[&at("latin.do")], Hosts::Here).unwrap();
        assert_eq!((here.path, here.text, here.bundle), (Some(at("latin.do")), None, None));
        let there = parse(&[&at("latin.do")], Hosts::Anywhere).unwrap();
        assert_eq!((there.path, there.bundle.unwrap().entry), (None, "latin.do".into()));

        let elsewhere = parse(&["/on/the/host/b.do"], Hosts::Anywhere).unwrap();
        assert_eq!((elsewhere.path.as_deref(), elsewhere.text), (Some("/on/the/host/b.do"), None));
        let windows = parse(&["C:\\p\\b.do", "--working-dir", "c:/p"], Hosts::Anywhere).unwrap();
        assert_eq!((windows.path.as_deref(), windows.working_dir.as_deref()), (Some("C:\\p\\b.do"), Some("c:/p")));
    }

    #[test]
    fn bad_files_are_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("empty.do"), " \n").unwrap();
        fs::write(at("binary.do"), b"abc\0").unwrap();
        fs::File::create(at("large.do")).unwrap().set_len(MAX_CODE_API as u64 + 1).unwrap();
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("sub/x.do"), "display 1").unwrap();
        let check = |words: &[&str], hosts: Hosts, want: &str| {
            let error = parse(words, hosts).unwrap_err();
            assert!(error.contains(want), "{words:?}: {error}");
        };
        check(&[&at("none.do")], Hosts::Here, "no such file here");
        check(&["a.do", "b.do"], Hosts::Here, "write `--` before it (longhaul run a.do -- b.do)");
        check(&["-", "--with", "."], Hosts::Here, "standard input lies in none");
        check(&["none.do"], Hosts::Anywhere, "give its absolute path");
        check(&["/none.do"], Hosts::Here, "no such file here");
        check(&[&at("empty.do")], Hosts::Here, "nothing to run");
        check(&[&at("binary.do")], Hosts::Here, "a zero byte at offset 3");
        check(&[&at("large.do")], Hosts::Here, "at most 32.0 MiB");
        check(&[&at("")], Hosts::Here, "is not a file");
        check(&[&at("binary.do"), "--with", &at("")], Hosts::Here, "zero byte");
        fs::File::create(at("large.csv")).unwrap().set_len((2 << 30) + 1).unwrap();
        check(&[&at("sub/x.do"), "--with", &at("")], Hosts::Here, "at most 2.0 GiB");
        fs::remove_file(at("large.csv")).unwrap();
        fs::remove_file(at("large.do")).unwrap();
        fs::write(at("y.do"), "display 1").unwrap();
        check(&[&at("y.do"), "--with", &at("sub")], Hosts::Here, "does not lie in");
    }

    #[test]
    fn a_bundle_has_the_files_below_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir_all(at("sub/deep")).unwrap();
        fs::create_dir_all(at(".git")).unwrap();
        fs::write(at(".git/config"), "x").unwrap();
        fs::write(at("sub/deep/data.csv"), b"1,2\n").unwrap();
        fs::write(at("sub/main.do"), "display 1").unwrap();
        std::os::unix::fs::symlink(at(""), at("sub/loop")).unwrap();
        for file in [at("sub/main.do"), "sub/main.do".into()] {
            let bundle = parse(&[&file, "--with", &at("")], Hosts::Anywhere).unwrap().bundle.unwrap();
            let paths: Vec<_> = bundle.files.iter().map(|f| f.path.as_str()).collect();
            assert_eq!((bundle.entry.as_str(), paths), ("sub/main.do", vec!["sub/deep/data.csv", "sub/main.do"]));
            assert_eq!(bundle.files[0].content.as_deref(), Some("MSwyCg=="));
        }
    }
    #[test]
    fn of_a_larger_bundle_the_digests_are_sent() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("main.do"), "display 1").unwrap();
        fs::write(at("data.csv"), "1,2\n".repeat(20_000)).unwrap();
        let cli = Cli::try_parse_from(["longhaul", "run", &at("main.do"), "--with", &at("")]).unwrap();
        let Command::Run(run) = cli.command else { panic!() };
        let input = request(&run, Hosts::Here).unwrap();
        let files = &input.request.bundle.as_ref().unwrap().files;
        let named: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.sha256.clone().unwrap())).collect();
        let local: Vec<_> = input.files.iter().map(|file| (file.digest.to_string(), file.bytes)).collect();
        assert_eq!(named.iter().map(|(path, _)| *path).collect::<Vec<_>>(), ["data.csv", "main.do"]);
        assert_eq!(local, [(named[0].1.clone(), 80_000), (named[1].1.clone(), 9)]);
        let whole = with_contents(&input).unwrap().bundle.unwrap();
        assert_eq!(whole.files[1], BundleFileRequest::inline("main.do", base64(b"display 1")));
    }
}
