//! `files` and `get`: what a run created or changed, and the bytes of it.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Component, Path, PathBuf},
};

use longhaul_proto::{
    CHUNK,
    api::{RunFileView, RunFiles},
    digest::GrowingDigest,
    encoding::Encoding,
    stata_log::{self, DisplayedSmcl},
    words::bytes,
};
use serde::Serialize;

use crate::{
    args::{Files, Get},
    client::{Client, escape},
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::{self, Out, When, say},
};

/// `files`.
///
/// # Errors
/// With what to do.
pub(crate) async fn files(context: &Context, args: &Files) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let listed = gateway.client.files(&args.run).await;
    gateway.close().await;
    let listed = listed?;
    let mut out = Out::default();
    if args.ask.json {
        out.json(&listed)?;
    } else {
        out.text(&output::files(&listed, &When::new(context.utc)))?;
    }
    Ok(0)
}

/// `get`.
///
/// # Errors
/// With what to do; files that could be fetched are there.
pub(crate) async fn get(context: &Context, args: &Get) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let got = fetch(&gateway.client, args, context.log_encoding()).await;
    gateway.close().await;
    got.map(|()| 0)
}

/// A file that was fetched, as `--json` prints it.
#[derive(Serialize)]
struct Got<'a> {
    name: &'a str,
    to: String,
    bytes: u64,
    sha256: String,
}

async fn fetch(client: &Client, args: &Get, encoding: Encoding) -> Result<(), Failure> {
    let listed = client.files(&args.run).await?;
    let wanted = wanted(&listed, &args.names)?;
    let (mut out, mut used, mut failed) = (Out::default(), HashSet::new(), 0);
    for file in &wanted {
        match one(client, args, encoding, &listed, file, &mut used).await {
            Ok(got) if args.ask.json => out.json(&got)?,
            Ok(got) => say(&format!("{} ({})", got.to, bytes(got.bytes))),
            Err(why) => {
                failed += 1;
                say(&format!("{}: {why}", output::shown(&file.name)));
            }
        }
    }
    if let Some(note) = listed.note.as_ref().filter(|_| !listed.complete || wanted.is_empty()) {
        say(note);
    }
    match failed {
        0 => Ok(()),
        1 if wanted.len() == 1 => Err(Failure::system("it was not fetched".to_owned())),
        n => Err(Failure::system(format!("{n} of {} files were not fetched", wanted.len()))),
    }
}

/// The files that a person means; all when none is named.
fn wanted<'a>(listed: &'a RunFiles, names: &[String]) -> Result<Vec<&'a RunFileView>, Failure> {
    let short = listed.run_id.short();
    if names.is_empty() {
        return Ok(listed.files.iter().collect());
    }
    let find = |name: &String| {
        let asked = name.trim_start_matches("./");
        let exact = listed.files.iter().find(|file| file.name == asked || file.path == asked);
        let last: Vec<_> = listed.files.iter().filter(|file| file.path.rsplit('/').next() == Some(asked)).collect();
        match (exact, last.as_slice()) {
            (Some(file), _) => Ok(file),
            (None, [file]) => Ok(*file),
            (None, []) => {
                let words = format!("run {short} left no file called {name}: `longhaul files {short}` lists them");
                Err(Failure::usage(words))
            }
            (None, several) => {
                let names = several.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ");
                Err(Failure::usage(format!("several files of run {short} are called {name}: name one of {names}")))
            }
        }
    };
    names.iter().map(find).collect()
}

async fn one<'a>(
    client: &Client,
    args: &Get,
    encoding: Encoding,
    listed: &RunFiles,
    file: &'a RunFileView,
    used: &mut HashSet<PathBuf>,
) -> Result<Got<'a>, String> {
    let mut to = args.output.join(place(&file.name)?);
    let as_text = args.text && to.extension().is_some_and(|extension| extension == "smcl");
    if as_text {
        to.set_extension("smcl.txt");
    }
    for n in 2.. {
        if used.insert(to.clone()) {
            break;
        }
        let last = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        to.set_file_name(format!("{n}-{last}"));
    }
    let there = sha256_of(&to).map_err(|error| format!("{} is in the way: {error}", to.display()))?;
    let got = |bytes: u64, sha256: String| Got { name: &file.name, to: to.display().to_string(), bytes, sha256 };
    match (&there, &file.sha256) {
        (Some(there), Some(sha256)) if there == sha256 => return Ok(got(file.bytes, sha256.clone())),
        // What the text will be is not known yet.
        _ if as_text => {}
        (Some(_), _) if !args.force => {
            return Err(in_the_way(&to));
        }
        _ => {}
    }
    let folder = to.parent().unwrap_or(&args.output);
    let failed = |error: io::Error| format!("{} cannot be written: {error}", to.display());
    fs::create_dir_all(folder).map_err(failed)?;
    let part = folder.join(format!(".longhaul-{}-{}.part", std::process::id(), used.len()));
    let fetched = download(client, &listed.run_id.to_string(), file, &part, args.force).await;
    let placed = fetched.and_then(|done| {
        let done = if as_text { smcl_to_text(&part, encoding).map_err(failed)? } else { done };
        match &there {
            Some(there) if as_text && *there != done.1 && !args.force => Err(in_the_way(&to)),
            _ => fs::rename(&part, &to).map_err(failed).map(|()| done),
        }
    });
    if placed.is_err() {
        let _ = fs::remove_file(&part);
        let _ = fs::remove_file(part.with_extension("text"));
    }
    placed.map(|(bytes, sha256)| got(bytes, sha256))
}

fn in_the_way(to: &Path) -> String {
    format!("{} is there with other content: pass --force, or -o DIR", to.display())
}

/// Replaces SMCL by the text that Stata shows, and returns its length and digest; what is no SMCL stays.
fn smcl_to_text(path: &Path, encoding: Encoding) -> io::Result<(u64, String)> {
    let mut from = File::open(path)?;
    let mut bytes = vec![0; CHUNK];
    let mut read = from.read(&mut bytes)?;
    let smcl = stata_log::is_smcl(&bytes[..read]);
    let text_path = path.with_extension("text");
    let mut to = BufWriter::new(File::options().write(true).create_new(true).open(&text_path)?);
    let (mut shown, mut digest, mut len) =
        (DisplayedSmcl::default().in_encoding(encoding), GrowingDigest::default(), 0);
    let mut write = |bytes: &[u8]| {
        digest.update(bytes);
        len += bytes.len() as u64;
        to.write_all(bytes)
    };
    while read > 0 {
        if smcl {
            let mut text = String::new();
            shown.push(&bytes[..read], &mut text);
            write(text.as_bytes())?;
        } else {
            write(&bytes[..read])?;
        }
        read = from.read(&mut bytes)?;
    }
    let mut rest = String::new();
    shown.finish(&mut rest);
    write(rest.as_bytes())?;
    to.flush()?;
    fs::rename(&text_path, path)?;
    Ok((len, digest.finish().to_string()))
}

/// Where a file goes below the folder: where it was below the run's, or its name alone.
fn place(name: &str) -> Result<PathBuf, String> {
    let path = Path::new(name);
    let parts: Vec<Component<'_>> = path.components().collect();
    let outside = || "its name leads out of the folder, so it is not written".to_owned();
    if parts.first() == Some(&Component::RootDir) {
        return path.file_name().map(PathBuf::from).ok_or_else(outside);
    }
    let plain = !parts.is_empty() && parts.iter().all(|part| matches!(part, Component::Normal(_)));
    if plain { Ok(path.to_owned()) } else { Err(outside()) }
}

/// Fetches the bytes into a new file, compares them with their digest, and returns length and digest.
async fn download(
    client: &Client,
    run: &str,
    file: &RunFileView,
    part: &Path,
    force: bool,
) -> Result<(u64, String), String> {
    let failed = |error: io::Error| format!("it cannot be written: {error}");
    let mut body = client.file(run, &escape(&file.name)).await.map_err(|error| error.to_string())?;
    let mut to = BufWriter::new(File::options().write(true).create_new(true).open(part).map_err(failed)?);
    let (mut digest, mut len) = (GrowingDigest::default(), 0_u64);
    while let Some(piece) = client.piece(&mut body).await.map_err(|error| error.to_string())? {
        digest.update(&piece);
        len += piece.len() as u64;
        to.write_all(&piece).map_err(failed)?;
    }
    to.flush().map_err(failed)?;
    let digest = digest.finish().to_string();
    match &file.sha256 {
        Some(sha256) if *sha256 != digest && file.kept => {
            Err("its bytes came with another SHA-256 than its own".into())
        }
        Some(sha256) if *sha256 != digest && !force => Err(
            "it was written to after the run's end, so it is not what the run left: pass --force to fetch it as it is now".into(),
        ),
        Some(sha256) if *sha256 != digest => {
            say(&format!("{}: it was written to after the run's end", output::shown(&file.name)));
            Ok((len, digest))
        }
        _ => Ok((len, digest)),
    }
}

/// The digest of what is at a path; `None` = nothing is.
fn sha256_of(path: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let (mut digest, mut piece) = (GrowingDigest::default(), vec![0; CHUNK]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Some(digest.finish().to_string())),
            n => digest.update(&piece[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_below_the_folder() {
        let check =
            |name: &str, want: Option<&str>| assert_eq!(place(name).ok().as_deref(), want.map(Path::new), "{name}");
        check("a.csv", Some("a.csv"));
        check("sub/a.csv", Some("sub/a.csv"));
        check("/home/ana/a.csv", Some("a.csv"));
        for name in ["", "..", "../a", "sub/../../a", "/", "/.."] {
            check(name, None);
        }
    }
}
