//! `stata_graph`: the graphs that a run wrote, as images.
//!
//! A graph is a file of the run with a graph file's extension. Formats that models can see (PNG, JPEG, GIF) are sent as
//! images, within a budget that keeps the whole answer in one event below 1 MiB. An SVG is drawn as PNG ([`crate::draw`])
//! where the run did not save the same graph as an image too, and a PDF by its host, where there is no SVG either; the
//! others are listed by path.

use base64::{Engine, engine::general_purpose::STANDARD};
use longhaul_proto::api::ArtifactView;

use super::{
    call::{Call, Reply},
    output::{Picture, ToolOutput},
    words,
};
use crate::{draw::INPUT, model::RunSnapshot, runs::ArtifactError};

/// Bytes of images in one answer: base64 makes them a third larger, and some clients (the Python SDK) reject an event
/// of 1 MiB.
const BUDGET: u64 = 640 * 1024;

/// Images in one answer.
const SHOWN: usize = 8;

/// Graphs named in the result of a run, and in one answer.
const NAMED: usize = 8;
const LISTED: usize = 20;

/// Longest name shown, characters.
const NAME: usize = 200;

/// Extensions of graph files that clients cannot show as images: other vectors, Stata's own, and older or printers' formats.
const OTHERS: [&str; 7] = ["gph", "eps", "ps", "tif", "tiff", "emf", "wmf"];

/// What a file is, judged by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An image that clients show, of that media type.
    Image(&'static str),
    /// One that is drawn here.
    Drawn,
    /// One that its host draws.
    DrawnThere,
    /// A graph in a format that clients do not show.
    Other,
}

fn kind(path: &str) -> Option<Kind> {
    let (_, ending) = path.rsplit('/').next()?.rsplit_once('.')?;
    match ending.to_lowercase().as_str() {
        "png" => Some(Kind::Image("image/png")),
        "jpg" | "jpeg" => Some(Kind::Image("image/jpeg")),
        "gif" => Some(Kind::Image("image/gif")),
        "svg" => Some(Kind::Drawn),
        "pdf" => Some(Kind::DrawnThere),
        other => OTHERS.contains(&other).then_some(Kind::Other),
    }
}

/// Whether the bytes begin as that media type does: a client refuses a whole answer for a block that is no image.
fn begins_as(mime: &str, bytes: &[u8]) -> bool {
    match mime {
        "image/png" => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        "image/jpeg" => bytes.starts_with(b"\xff\xd8\xff"),
        _ => bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a"),
    }
}

/// Whether a file is a graph, judged by its name.
pub(super) fn is_graph(path: &str) -> bool {
    kind(path).is_some()
}

/// The graphs of a run, images first.
fn graphs(view: &RunSnapshot) -> Vec<(&ArtifactView, Kind)> {
    let mut all: Vec<_> = view.artifacts.iter().filter_map(|a| Some((a, kind(&a.path)?))).collect();
    all.sort_by_key(|(_, kind)| match kind {
        Kind::Image(_) => 0,
        Kind::Drawn => 1,
        Kind::DrawnThere => 2,
        Kind::Other => 3,
    });
    all
}

/// Whether the run saved the same graph as an image too (or, of a PDF, as SVG), which then is shown.
fn is_shown_else(all: &[(&ArtifactView, Kind)], artifact: &ArtifactView, kind: Kind) -> bool {
    let stem = |path: &str| path.rsplit_once('.').map(|(stem, _)| stem.to_owned());
    let better = |other: Kind| matches!(other, Kind::Image(_)) || (kind == Kind::DrawnThere && other == Kind::Drawn);
    all.iter().any(|(other, kind)| better(*kind) && stem(&other.path) == stem(&artifact.path))
}

/// A path as people know it: relative to the working directory where the file lies below it.
fn name<'a>(view: &RunSnapshot, artifact: &'a ArtifactView) -> &'a str {
    let folder = view.working_dir.as_deref().filter(|dir| !dir.is_empty());
    let inside = folder.and_then(|dir| artifact.path.strip_prefix(dir)?.strip_prefix('/'));
    inside.unwrap_or(&artifact.path)
}

fn shown_name(view: &RunSnapshot, artifact: &ArtifactView) -> String {
    words::cut(&words::plain(name(view, artifact)), NAME)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// What the result of a run says of its graphs: their names and how to see them. Empty when there are none.
pub(super) fn named(view: &RunSnapshot) -> String {
    let all = graphs(view);
    if all.is_empty() {
        return String::new();
    }
    let mut names: Vec<String> = all.iter().take(NAMED).map(|(a, _)| shown_name(view, a)).collect();
    if all.len() > NAMED {
        names.push(format!("{} more", all.len() - NAMED));
    }
    format!("{}; to see them: stata_graph(run: \"{}\")", names.join(", "), view.run.short())
}

/// The tool.
pub(super) async fn graph(call: &Call) -> Reply {
    let view = call.asked_run().await?;
    let run = view.run;
    let head = words::message(&view, None, call.now_ms());
    if !view.state.is_end() {
        let short = run.short();
        let text = format!("{head}\nIts graphs are known when it has ended: call stata_wait(runs: \"{short}\") first.");
        return Ok(ToolOutput::ok(text));
    }
    let all = graphs(&view);
    let asked = call.args.text("name");
    let by_name = asked.is_some();
    let wanted = match asked {
        None if all.is_empty() => return Ok(ToolOutput::ok(none(&head, &view)).about(&view)),
        None => all.clone(),
        Some(asked) => {
            let found: Vec<_> = all.iter().filter(|(a, _)| is_named(&view, a, &asked)).copied().collect();
            if found.is_empty() {
                return Err(unknown(&view, &asked, &all));
            }
            found
        }
    };
    let mut answer = Answer { head, view: &view, lines: Vec::new(), pictures: Vec::new(), used: 0 };
    for (artifact, kind) in wanted.iter().take(LISTED) {
        match *kind {
            Kind::Image(mime) => answer.image(call, artifact, mime).await?,
            Kind::Drawn | Kind::DrawnThere if !by_name && is_shown_else(&all, artifact, *kind) => {
                answer.line(artifact, "the same graph as the image of that name");
            }
            Kind::Drawn | Kind::DrawnThere => answer.drawn(call, artifact, *kind).await?,
            Kind::Other => {
                let place = words::cut(&words::plain(&artifact.path), NAME);
                answer.line(artifact, &format!("not an image that can be sent here; the file is {place} on its host"));
            }
        }
    }
    if wanted.len() > LISTED {
        answer.lines.push(format!("and {} more: pass name", wanted.len() - LISTED));
    }
    Ok(answer.said(wanted.iter().any(|(_, kind)| *kind == Kind::Other)))
}

fn is_named(view: &RunSnapshot, artifact: &ArtifactView, asked: &str) -> bool {
    let asked = asked.trim().trim_start_matches("./");
    artifact.path == asked
        || name(view, artifact) == asked
        || shown_name(view, artifact) == asked
        || artifact.path.rsplit('/').next() == Some(asked)
}

fn none(head: &str, view: &RunSnapshot) -> String {
    let folder = view.working_dir.as_deref().unwrap_or("its working directory");
    let wrote = match view.artifacts.len() {
        0 => "no file".to_owned(),
        1 => "one file, which is no graph".to_owned(),
        n => format!("{n} files, none of which is a graph"),
    };
    format!(
        "{head}\nThe run left {wrote} in {}. A graph is kept when the code saves it, for example with:\n\
         graph export fit.png, width(1200) replace",
        words::plain(folder)
    )
}

fn unknown(view: &RunSnapshot, asked: &str, all: &[(&ArtifactView, Kind)]) -> String {
    let asked = words::cut(&words::plain(asked), NAME);
    if all.is_empty() {
        return format!("run {} left no graph, so none named `{asked}`", view.run.short());
    }
    let names: Vec<String> = all.iter().take(LISTED).map(|(a, _)| shown_name(view, a)).collect();
    format!("run {} left no graph named `{asked}`: it left {}", view.run.short(), names.join(", "))
}

struct Answer<'a> {
    head: String,
    view: &'a RunSnapshot,
    lines: Vec<String>,
    pictures: Vec<Picture>,
    used: u64,
}

impl Answer<'_> {
    fn line(&mut self, artifact: &ArtifactView, what: &str) {
        self.lines.push(format!("{} ({}): {what}", shown_name(self.view, artifact), size(artifact.bytes)));
    }

    /// Fetches and adds an image, or says why it cannot. An error ends the whole answer: the host is away.
    async fn image(&mut self, call: &Call, artifact: &ArtifactView, mime: &'static str) -> Result<(), String> {
        if artifact.bytes > BUDGET {
            self.line(artifact, &too_large(artifact));
            return Ok(());
        }
        let next = || format!("left out here; ask for it with name: \"{}\"", shown_name(self.view, artifact));
        if self.pictures.len() >= SHOWN || self.used + artifact.bytes > BUDGET {
            let text = next();
            self.line(artifact, &text);
            return Ok(());
        }
        // One byte more than expected, so that a file that has grown is noticed.
        let fetched = match call.graph_bytes(self.view, &artifact.path, BUDGET - self.used).await {
            Ok(fetched) => fetched,
            Err(error) if of_one_file(&error) => {
                self.line(artifact, &error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.to_string()),
        };
        if fetched.len > fetched.bytes.len() as u64 {
            let grown = format!("it has grown to {} since the run ended, too large to show", size(fetched.len));
            self.line(artifact, &grown);
        } else if !begins_as(mime, &fetched.bytes) {
            self.line(artifact, &format!("not shown: the file is no {mime}, whatever its name says"));
        } else {
            self.used += fetched.len;
            self.pictures.push(Picture { data: STANDARD.encode(&fetched.bytes), mime });
            let changed = if fetched.len == artifact.bytes { "" } else { ", changed since the run ended" };
            self.line(artifact, &format!("image {} below{changed}", self.pictures.len()));
        }
        Ok(())
    }

    /// Draws an SVG, or lets the host draw a PDF; or says why it cannot be drawn.
    async fn drawn(&mut self, call: &Call, artifact: &ArtifactView, kind: Kind) -> Result<(), String> {
        let next = format!("left out here; ask for it with name: \"{}\"", shown_name(self.view, artifact));
        if self.pictures.len() >= SHOWN || self.used >= BUDGET {
            self.line(artifact, &next);
            return Ok(());
        }
        let Some(graph) = self.whole(call, artifact).await? else { return Ok(()) };
        let drawn = match kind {
            Kind::DrawnThere => {
                let there = call.frontend.core.runs.picture(&call.who, self.view.run, graph).await;
                there.map_err(|error| error.to_string())?.and_then(as_png)
            }
            _ => call.frontend.drawing.png(&graph).await,
        };
        match drawn {
            Ok(png) if self.used + png.len() as u64 > BUDGET => self.line(artifact, &next),
            Ok(png) => {
                self.used += png.len() as u64;
                self.pictures.push(Picture { data: STANDARD.encode(&png), mime: "image/png" });
                self.line(artifact, &format!("image {} below, drawn from it", self.pictures.len()));
            }
            Err(why) => self.line(artifact, &format!("not shown: {}", words::plain(&why))),
        }
        Ok(())
    }

    /// All bytes of a graph that is to be drawn; `None` = they are not to be had, which is said.
    async fn whole(&mut self, call: &Call, artifact: &ArtifactView) -> Result<Option<Vec<u8>>, String> {
        let file = match call.graph_file(self.view, &artifact.path).await {
            Ok(file) => file,
            Err(error) if of_one_file(&error) => {
                self.line(artifact, &error.to_string());
                return Ok(None);
            }
            Err(error) => return Err(error.to_string()),
        };
        if file.len() > INPUT {
            self.line(artifact, "too large to be drawn here");
            return Ok(None);
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < file.len() {
            match file.read(bytes.len() as u64, file.len()).await {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) => {
                    self.line(artifact, &error.to_string());
                    return Ok(None);
                }
            }
        }
        Ok(Some(bytes))
    }

    fn said(self, others: bool) -> ToolOutput {
        let mut text = format!("{}\n{}", self.head, self.lines.join("\n"));
        if others && self.pictures.is_empty() {
            text.push_str(
                "\nTo see a graph here, let the code save it as PNG: graph export fit.png, width(1200) replace",
            );
        }
        ToolOutput { pictures: self.pictures, ..ToolOutput::ok(text) }.about(self.view)
    }
}

/// What a host drew, if it is an image: a client refuses a whole answer for a block that is none.
fn as_png(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if begins_as("image/png", &bytes) { Ok(bytes) } else { Err("what its host drew is no PNG".to_owned()) }
}

/// Whether an error says something of this file alone; others end the whole answer.
fn of_one_file(error: &ArtifactError) -> bool {
    use ArtifactError::{Changed, Gone, Refused, Unknown};
    matches!(error, Refused { .. } | Gone { .. } | Changed(_) | Unknown { .. })
}

fn too_large(artifact: &ArtifactView) -> String {
    format!(
        "too large to show here, where {} fit; save it smaller, for example with graph export fit.png, width(1200) \
         replace. The file is {} on its host",
        size(BUDGET),
        words::cut(&words::plain(&artifact.path), NAME)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::words::tests::view, *};

    fn wrote(files: &[&str]) -> RunSnapshot {
        let artifacts: Vec<_> = files.iter().map(|f| json!({"path": format!("/p/{f}"), "bytes": 5})).collect();
        view(json!({"state": "succeeded", "cause": "completed", "working_dir": "/p", "artifacts": artifacts}))
    }

    #[test]
    fn graphs_are_known_by_their_names() {
        let check = |path: &str, want: Option<Kind>| assert_eq!(kind(path), want, "{path}");
        check("/a/fit.png", Some(Kind::Image("image/png")));
        check("/a/FIT.JPEG", Some(Kind::Image("image/jpeg")));
        check("/a.png/fit.gph", Some(Kind::Other));
        check("/a/fit.svg", Some(Kind::Drawn));
        check("/a/fit.PDF", Some(Kind::DrawnThere));
        for path in ["/a/fit.dta", "/a.png/fit", "/a/png", "", "/a/fit."] {
            check(path, None);
        }
    }

    #[test]
    fn a_result_names_the_graphs() {
        let check = |files: &[&str], want: &str| assert_eq!(named(&wrote(files)), want);
        check(&["a.dta"], "");
        check(&["a.gph", "b.dta", "f/b.png"], "f/b.png, a.gph; to see them: stata_graph(run: \"7f3a9c21\")");
        let many: Vec<String> = (0..11).map(|n| format!("{n}.png")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(named(&wrote(&many)).contains("7.png, 3 more; "));
    }

    #[test]
    fn a_graph_is_found_by_name_or_path() {
        let run = wrote(&["f/b.png"]);
        for asked in ["f/b.png", "b.png", "./f/b.png", "/p/f/b.png"] {
            assert!(is_named(&run, &run.artifacts[0], asked), "{asked}");
        }
        for asked in ["", "b", "png", "p/f/b.png"] {
            assert!(!is_named(&run, &run.artifacts[0], asked), "{asked}");
        }
    }

    #[test]
    fn an_image_is_what_it_begins_as() {
        assert!(begins_as("image/png", b"\x89PNG\r\n\x1a\n..") && begins_as("image/gif", b"GIF89a"));
        assert!(!begins_as("image/png", b"<svg") && !begins_as("image/jpeg", b"") && !begins_as("image/gif", b"GIF8"));
    }

    #[test]
    fn a_whole_answer_stays_below_one_event() {
        let images = BUDGET.div_ceil(3) * 4;
        // Each line names a file twice, in characters of four bytes, and says something about it; the rest is the
        // frame.
        let text = (LISTED * (2 * 4 * NAME + 400)) as u64;
        assert!(images + text + 16_384 < 1 << 20, "{images} {text}");
    }
}
