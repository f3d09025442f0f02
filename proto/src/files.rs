//! The files that a run left on its host, in one line for people: where they are, what they are called, or when they
//! were removed.

use crate::{
    api::{ArtifactView, FilesRemoved, RunView},
    visible,
};

/// Most names in the line; the record has them all.
const NAMES: usize = 5;
/// Most characters of one name.
const NAME: usize = 60;

/// The files that a run left, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The host that has them.
    pub host: Option<&'a str>,
    /// The run's working directory there.
    pub folder: Option<&'a str>,
    /// The files.
    pub artifacts: &'a [ArtifactView],
    /// Set when their folder was removed.
    pub removed: Option<&'a FilesRemoved>,
}

impl<'a> Files<'a> {
    /// The files of this run.
    pub fn of(run: &'a RunView) -> Self {
        Self {
            host: run.host.as_deref(),
            folder: run.working_dir.as_deref(),
            artifacts: &run.artifacts,
            removed: run.files_removed.as_ref(),
        }
    }
}

/// `files in stata1:/home/ana/work: fit.png, results.csv and 3 more`; `None` = it left none, as far as is known.
pub fn words(files: &Files<'_>) -> Option<String> {
    let host = files.host.unwrap_or("its host");
    if let Some(gone) = files.removed {
        return Some(format!("the files that it left on {host} were removed {}: {}", gone.at, gone.why));
    }
    let (first, more) = (files.artifacts.iter().take(NAMES), files.artifacts.len().saturating_sub(NAMES));
    let folder = files.folder.unwrap_or_default();
    let names: Vec<String> = first.map(|artifact| short(within(&artifact.path, folder))).collect();
    if names.is_empty() {
        return None;
    }
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("files in {host}:{}: {}{more}", visible::line(folder), names.join(", ")))
}

/// The path relative to a folder; whole when it lies elsewhere.
pub fn within<'a>(path: &'a str, folder: &str) -> &'a str {
    let rest = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
    rest.filter(|_| !folder.is_empty()).unwrap_or(path)
}

/// The type of a file, by the ending of its name. That of `.dta` is not registered, and is the one in common use.
pub fn media_type(name: &str) -> &'static str {
    let last = name.rsplit('/').next().unwrap_or_default();
    let ending = last.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "txt" | "log" | "smcl" | "do" | "ado" | "mata" | "sthlp" | "raw" | "dat" => "text/plain",
        "csv" => "text/csv",
        "tsv" | "tab" => "text/tab-separated-values",
        "md" => "text/markdown",
        "html" | "htm" => "text/html",
        "tex" => "application/x-tex",
        "rtf" => "application/rtf",
        "json" => "application/json",
        "xml" => "application/xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "tif" | "tiff" => "image/tiff",
        "pdf" => "application/pdf",
        "eps" | "ps" => "application/postscript",
        "dta" => "application/x-stata-dta",
        "gph" => "application/x-stata-gph",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "zip" => "application/zip",
        "parquet" => "application/vnd.apache.parquet",
        _ => "application/octet-stream",
    }
}

fn short(name: &str) -> String {
    let name = visible::line(name);
    let len = name.chars().count();
    if len <= NAME {
        return name.into_owned();
    }
    // The end of a name says most.
    format!("…{}", name.chars().skip(len - NAME + 1).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ArtifactView, FilesRemoved};

    fn run(names: &[&str]) -> RunView {
        let mut run: RunView = serde_json::from_value(serde_json::json!({
            "run_id": "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21", "state": "succeeded", "cause": "completed", "rc": null,
            "message": null, "host": "stata1", "attempt": 1, "created_at": null, "started_at": null,
            "finished_at": null, "output_bytes": 0, "trace_id": null, "principal": "ana", "source": "text",
            "working_dir": "/w/work"
        }))
        .unwrap();
        run.artifacts = names.iter().map(|n| ArtifactView { path: (*n).to_owned(), bytes: 1 }).collect();
        run
    }

    #[test]
    fn files_are_named_by_host_and_folder() {
        let check = |names: &[&str], want: Option<&str>| assert_eq!(words(&Files::of(&run(names))).as_deref(), want);
        check(&[], None);
        check(
            &["/w/work/a.csv", "/w/work/sub/b.png", "/elsewhere/c.png"],
            Some("files in stata1:/w/work: a.csv, sub/b.png, /elsewhere/c.png"),
        );
        check(
            &["/w/work/1", "/w/work/2", "/w/work/3", "/w/work/4", "/w/work/5", "/w/work/6", "/w/work/7"],
            Some("files in stata1:/w/work: 1, 2, 3, 4, 5 and 2 more"),
        );
        check(&["/w/workshop/a"], Some("files in stata1:/w/work: /w/workshop/a"));
        let long = format!("/w/work/{}.csv", "x".repeat(500));
        let said = words(&Files::of(&run(&[&long, "/w/work/\u{1b}[2J"]))).unwrap();
        assert!(said.len() < 130 && said.contains("x.csv, \\x1b[2J"), "{said}");
    }

    #[test]
    fn a_type_is_told_by_the_name() {
        let check = |name: &str, want: &str| assert_eq!(media_type(name), want, "{name}");
        check("a/b.CSV", "text/csv");
        check("fit.png", "image/png");
        check("x.tar.dta", "application/x-stata-dta");
        for name in ["", "csv", "a.csv/b", ".csv2", "a."] {
            check(name, "application/octet-stream");
        }
    }

    #[test]
    fn files_that_went_are_told_with_time_and_reason() {
        let mut run = run(&["/w/work/a.csv"]);
        let why = "to make room, 1.2 GiB".to_owned();
        run.files_removed = Some(FilesRemoved { at: "2026-11-26T03:00:00.000Z".to_owned(), bytes: 9, why });
        assert_eq!(
            words(&Files::of(&run)).unwrap(),
            "the files that it left on stata1 were removed 2026-11-26T03:00:00.000Z: to make room, 1.2 GiB"
        );
    }
}
