//! The data files that a run's log names, and what may be read of them.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use longhaul_proto::{api::DataFileView, words};

use crate::{
    os,
    prepare::Places,
    spool::{OutcomeRecord, Plan, Spool},
    stata::{
        locate::{Locator, LogStart, NotedData, NotedFile},
        saved,
    },
};

/// Logs larger than this are not searched, bytes.
const SEARCHED: u64 = 256 << 20;
/// Most files of one run that are read.
pub(crate) const FILES: usize = 50;
/// Most bytes of one run that are read for it; files that were read before count nothing.
pub(crate) const BYTES: u64 = 2 << 30;
/// What clocks of a host and of its files may differ.
const SLACK_MS: i64 = 20;

/// What the log names.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) files: Vec<NotedFile>,
    pub(crate) seeds: Vec<String>,
    /// What is not among them, in words.
    pub(crate) note: Option<String>,
}

/// Reads the log of the run in `spool`. `home` = what `~` means to its Stata.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn named(spool: &Spool, plan: &Plan, home: Option<&Path>) -> io::Result<Named> {
    let log = match File::open(spool.log()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Named::default()),
        log => log?,
    };
    let len = log.metadata()?.len();
    if len > SEARCHED {
        let note =
            format!("the log has {}, and no more than {} are searched", words::bytes(len), words::bytes(SEARCHED));
        return Ok(Named { note: Some(note), ..Named::default() });
    }
    let encoding = plan.encoding();
    let start = LogStart::in_directory(spool.run_folder()).in_encoding(encoding);
    let mut locator = Locator::new(start, |path: &Path| {
        let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        (meta.len() <= longhaul_proto::MAX_CODE_API as u64).then(|| fs::read(path).ok())?
    })
    .noting_data();
    let mut buffer = vec![0_u8; 256 * 1024];
    let mut from = &log;
    loop {
        match io::Read::read(&mut from, &mut buffer) {
            Ok(0) => break,
            Ok(n) => locator.push(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut noted = locator.noted_data();
    // What was saved in loops and programs, by Stata's own word. A name without a folder may be of any folder.
    for name in saved::data(io::BufReader::new(File::open(spool.log())?)).unwrap_or_default() {
        let path: PathBuf = plan.working_dir.join(name).components().collect();
        let known = noted.files.iter().any(|known| known.written && known.path.file_name() == path.file_name());
        if !known && path.is_file() {
            noted.note(path, true);
        }
    }
    let note = note(&noted);
    let own = |file: &NotedFile| !file.path.starts_with(spool.tmp());
    let at_home = |file: NotedFile| match (file.path.strip_prefix("~/"), home) {
        (Ok(rest), Some(home)) => NotedFile { path: home.join(rest), ..file },
        _ => file,
    };
    Ok(Named { files: noted.files.into_iter().filter(own).map(at_home).collect(), seeds: noted.seeds, note })
}

fn note(noted: &NotedData) -> Option<String> {
    let mut notes = vec![];
    if noted.untold > 0 {
        notes.push(format!(
            "of {} {} it cannot be told which file is meant: {}",
            noted.untold,
            if noted.untold == 1 { "command" } else { "commands" },
            noted.untold_commands.iter().map(|command| format!("`{command}`")).collect::<Vec<_>>().join(", ")
        ));
    }
    if noted.more > 0 {
        notes.push(format!("{} more are named in the log", noted.more));
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// What is seen of a file before it is read; with the file, if it may be.
pub(crate) fn look(
    file: &NotedFile,
    spool: &Spool,
    places: &Places,
    outcome: &OutcomeRecord,
) -> (DataFileView, Option<(File, fs::Metadata)>) {
    let mut view = DataFileView {
        path: file.path.display().to_string(),
        read: file.read,
        written: file.written,
        ..DataFileView::default()
    };
    let none = |view: DataFileView, why: String| (DataFileView { why_not: Some(why), ..view }, None);
    if view.path.contains("://") {
        return none(view, "it is an address, and no file of the host".to_owned());
    }
    let own = spool.path().canonicalize().unwrap_or_else(|_| spool.path().to_owned());
    let opened = places
        .named_by_code(&file.path, &own)
        .and_then(|real| os::open_without_links(&real).map_err(|error| format!("it cannot be read: {error}")));
    let opened = opened.and_then(|file| match file.metadata() {
        Ok(meta) => Ok((file, meta)),
        Err(error) => Err(format!("it cannot be read: {error}")),
    });
    let (opened, meta) = match opened {
        Ok(opened) => opened,
        Err(why) => return none(view, why),
    };
    let modified_ms = meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000;
    view.bytes = Some(meta.len());
    // A file that the run only read must be older than its start, and one that it wrote not younger than its end.
    let since = if file.written { outcome.ended_at_ms } else { outcome.started_at_ms };
    view.perhaps_changed = modified_ms > since + SLACK_MS;
    (view, Some((opened, meta)))
}
