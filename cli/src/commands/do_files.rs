//! `do-files`: what exactly a run executed, as the gateway keeps it.

use std::{collections::BTreeSet, fs, io, path::Path};

use longhaul_proto::{
    api::{DoFileView, RunDoFiles},
    sha256_hex,
};

use crate::{
    args::DoFiles,
    client::Client,
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::{self, Out, say},
    printer::{OnTerminal, Printer},
};

/// `do-files`.
///
/// # Errors
/// With what to do.
pub(crate) async fn do_files(context: &Context, args: &DoFiles) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = answer(context, &gateway.client, args).await;
    gateway.close().await;
    done.map(|()| 0)
}

async fn answer(context: &Context, client: &Client, args: &DoFiles) -> Result<(), Failure> {
    let listed = client.do_files(&args.run).await?;
    if let Some(which) = &args.print {
        return print(context, client, &listed, which).await;
    }
    if let Some(folder) = &args.to {
        write(client, &listed, folder).await?;
    }
    let mut out = Out::default();
    if args.ask.json {
        out.json(&listed)?;
    } else if args.to.is_none() {
        out.text(&output::do_files(&listed))?;
    }
    Ok(())
}

/// Prints the bytes of one.
async fn print(context: &Context, client: &Client, listed: &RunDoFiles, which: &str) -> Result<(), Failure> {
    let fitting: Vec<_> = listed.do_files.iter().filter(|file| fits(file, which)).collect();
    let contents: BTreeSet<_> = fitting.iter().map(|file| &file.sha256).collect();
    let short = listed.run_id.short();
    let Some(file) = fitting.first().filter(|_| contents.len() == 1) else {
        let words = match (fitting.is_empty(), &listed.note) {
            (false, _) => format!("{} of its do-files fit `{which}`: name one by its number", fitting.len()),
            (true, Some(note)) => note.clone(),
            (true, None) => format!("none of its do-files is `{which}`: `longhaul do-files {short}` lists them"),
        };
        return Err(Failure::usage(format!("run {short}: {words}")));
    };
    if let Some(why) = &file.why_not {
        return Err(Failure::system(format!("run {short}: the bytes of {} are not kept: {why}", file.path)));
    }
    let content = content(client, listed, file).await?;
    let mut printer = Printer::bytes_to_stdout(OnTerminal::of(false), context.log_encoding());
    printer.bytes(0, &content)?;
    printer.finish()?;
    Ok(())
}

/// Whether a person means this one.
fn fits(file: &DoFileView, which: &str) -> bool {
    let digest = which.len() >= 8 && file.sha256.as_ref().is_some_and(|sha256| sha256.starts_with(which));
    digest || file.order.to_string() == which || file.path == which || name(&file.path) == which
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Writes those that are kept into a folder, and says of the others why not.
async fn write(client: &Client, listed: &RunDoFiles, folder: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::system(format!("cannot write into {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut written = 0;
    for file in &listed.do_files {
        match &file.why_not {
            Some(why) => say(&format!("{}. {} is not kept: {why}", file.order, file.path)),
            None => {
                let content = content(client, listed, file).await?;
                fs::write(folder.join(plain(file)), content).map_err(failed)?;
                written += 1;
            }
        }
    }
    if let Some(note) = &listed.note {
        say(note);
    }
    say(&format!("{written} of {} do-files written into {}", listed.do_files.len(), folder.display()));
    Ok(())
}

/// The name of a do-file in a folder of ours: never a path, and no two have the same.
fn plain(file: &DoFileView) -> String {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let name: String = name(&file.path).chars().map(safe).take(100).collect();
    format!("{:02}-{name}", file.order)
}

/// The bytes, compared with their digest.
async fn content(client: &Client, listed: &RunDoFiles, file: &DoFileView) -> Result<Vec<u8>, Failure> {
    let sha256 = file.sha256.as_deref().unwrap_or_default();
    let content = client.do_file(&listed.run_id.to_string(), sha256).await?;
    if sha256_hex(&content) != sha256 {
        return Err(Failure::system(format!("the bytes of {} came with another SHA-256 than its own", file.path)));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(order: u32, path: &str) -> DoFileView {
        let sha256 = Some(sha256_hex(path.as_bytes()));
        DoFileView { order, path: path.into(), bytes: 1, sha256, kept: true, why_not: None, perhaps_changed: false }
    }

    #[test]
    fn a_do_file_has_a_plain_name_and_is_meant_by_several() {
        let clean = file(2, "/home/ana/steps/clean.do");
        assert_eq!(plain(&clean), "02-clean.do");
        assert_eq!(plain(&file(3, "/home/ana/..")), "03-..");
        assert_eq!(plain(&file(4, "/home/a b\\c.do")), "04-a_b_c.do");
        let digest = sha256_hex(b"/home/ana/steps/clean.do");
        for which in ["2", "clean.do", "/home/ana/steps/clean.do", &digest, &digest[..8]] {
            assert!(fits(&clean, which), "{which}");
        }
        for which in ["1", "lean.do", &digest[..7], ""] {
            assert!(!fits(&clean, which), "{which}");
        }
    }
}
