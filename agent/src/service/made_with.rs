//! With what an ended run was made, as the last part of the answer about its files: Stata, seeds, data files, packages.

use std::{
    fs::{File, Metadata},
    path::{Path, PathBuf},
    sync::Arc,
};

use longhaul_proto::{
    api::{DataFileView, MadeWith, StataFacts},
    sha256_hex,
    tasks::blocking,
    wire, words,
};

use super::files::{At, Gone, Sender, read, tell};
use crate::{
    follow::do_files,
    prepare::{BannerCache, Preparer},
    provenance::{Digests, data, facts, packages},
    spool::{OutcomeRecord, Plan, Spool},
    stata::locate::NotedFile,
};

/// What is known of the run, and where it is looked up.
struct About {
    spool: Arc<Spool>,
    plan: Plan,
    outcome: OutcomeRecord,
    host: Arc<Preparer>,
    digests: Digests,
}

/// Finds it out. What cannot be is said in words.
pub(super) async fn of_run(
    spool: &Arc<Spool>,
    outcome: OutcomeRecord,
    host: &Arc<Preparer>,
    digests: &Digests,
    banners: &BannerCache,
    to: &Sender,
) -> Result<wire::FilesPart, Gone> {
    let of = spool.clone();
    let plan = blocking(move || of.read::<Plan>(&of.plan())).await.and_then(|plan| plan).ok().flatten();
    let Some(plan) = plan else { return Ok(without("what it ran with cannot be read")) };
    let about = Arc::new(About { spool: spool.clone(), plan, outcome, host: host.clone(), digests: digests.clone() });
    let of = about.clone();
    let home = || host.variable("HOME").map(PathBuf::from);
    let at_home = home();
    let read = blocking(move || {
        let facts = facts::of_run(&of.spool, &of.plan)?;
        Ok((facts, data::named(&of.spool, &of.plan, at_home.as_deref())?))
    });
    let (stata, named) = match read.await.and_then(|read| read) {
        Ok(read) => read,
        Err(error) => (
            StataFacts::default(),
            data::Named { note: Some(format!("the log cannot be read: {error}")), ..data::Named::default() },
        ),
    };
    tell(to, wire::FilesPart { known: true, ..wire::FilesPart::default() }).await?;
    if let Some(cores) = stata.processors_licensed {
        banners.told_cores(cores);
    }
    let plus = stata.plus.clone();
    let data = files(&about, named.files, to).await?;
    let made_with = MadeWith { stata, seeds: named.seeds, data, data_note: named.note };
    let installed = installed(&about, plus, home(), to).await?;
    let made_with = serde_json::to_vec(&made_with).unwrap_or_default();
    Ok(match installed {
        Ok((packages_sha256, packages_bytes)) => {
            wire::FilesPart { made_with, packages_sha256, packages_bytes, ..wire::FilesPart::default() }
        }
        Err(packages_missing) => wire::FilesPart { made_with, packages_missing, ..wire::FilesPart::default() },
    })
}

fn without(why: &str) -> wire::FilesPart {
    wire::FilesPart { packages_missing: why.to_owned(), ..wire::FilesPart::default() }
}

/// The data files with their digests.
async fn files(about: &Arc<About>, named: Vec<NotedFile>, to: &Sender) -> Result<Vec<DataFileView>, Gone> {
    let (mut views, mut left) = (Vec::new(), data::BYTES);
    for (n, file) in named.into_iter().enumerate() {
        if !about.host.data_digests || n >= data::FILES {
            let why = match about.host.data_digests {
                false => "the agent on this host was told to read no data files (data_digests = false)".to_owned(),
                true => format!("of one run {} files are read", data::FILES),
            };
            let path = file.path.display().to_string();
            let (read, written) = (file.read, file.written);
            views.push(DataFileView { path, read, written, why_not: Some(why), ..DataFileView::default() });
            continue;
        }
        let of = about.clone();
        let looked = blocking(move || data::look(&file, &of.spool, &of.host.places, &of.outcome)).await;
        let Ok((mut view, opened)) = looked else { continue };
        if let Some((file, meta)) = opened {
            match digest(about, file, &meta, &mut left, to).await? {
                Ok(sha256) => view.sha256 = Some(sha256),
                Err(why) => view.why_not = Some(why),
            }
        }
        views.push(view);
    }
    Ok(views)
}

/// The digest of a file. The inner error says why there is none.
async fn digest(
    about: &About,
    file: File,
    meta: &Metadata,
    left: &mut u64,
    to: &Sender,
) -> Result<Result<String, String>, Gone> {
    if let Some(known) = about.digests.known(meta) {
        return Ok(Ok(known.to_string()));
    }
    if meta.len() > *left {
        return Ok(Err(format!("of the data files of one run {} are read", words::bytes(data::BYTES))));
    }
    *left -= meta.len();
    let done = read(At::start(file, meta.len()), to).await?;
    if let Ok(digest) = &done {
        about.digests.learn(meta, *digest);
    }
    Ok(done.map(|digest| digest.to_string()))
}

/// Keeps the list of packages beside the run's do-files; returns its digest and length. The inner error says why there is none.
async fn installed(
    about: &Arc<About>,
    plus: Option<String>,
    home: Option<PathBuf>,
    to: &Sender,
) -> Result<Result<(String, u64), String>, Gone> {
    let of = about.clone();
    let opened = blocking(move || {
        let home: Option<&Path> = home.as_deref();
        packages::Reading::begin(plus.as_deref(), home, &of.host.places, of.plan.encoding(), of.digests.clone())
    });
    let mut reading = match opened.await {
        Ok(Ok(reading)) => reading,
        Ok(Err(why)) => return Ok(Err(why)),
        Err(error) => return Ok(Err(format!("they could not be read: {error}"))),
    };
    let found = loop {
        match blocking(move || reading.step()).await {
            Ok(packages::Step::All(found)) => break found,
            Ok(packages::Step::More(more)) => reading = *more,
            Err(error) => return Ok(Err(format!("they could not be read: {error}"))),
        }
        tell(to, wire::FilesPart { known: true, ..wire::FilesPart::default() }).await?;
    };
    let spool = about.spool.clone();
    let kept = blocking(move || {
        let json = packages::json(found)?;
        let sha256 = sha256_hex(&json);
        let written = do_files::write(&spool, &json, &sha256);
        written.map_err(|error| format!("they could not be kept on the host: {error}"))?;
        Ok((sha256, json.len() as u64))
    });
    Ok(kept.await.unwrap_or_else(|error| Err(format!("they could not be read: {error}"))))
}
