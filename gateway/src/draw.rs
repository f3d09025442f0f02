//! Pictures of graphs that were saved as SVG, in a process of their own.
//!
//! **A graph that a user's code made costs its own process at most**: the drawing may take [`TIME`], [`MEMORY`] and
//! [`INPUT`], reads no file and reaches no network, and when it fails or is ended, the gateway says that the graph cannot
//! be shown. Text is drawn with one font that is part of the program, whatever fonts the host has: Stata names Helvetica,
//! and Liberation Sans has its measures.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::{ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use resvg::{tiny_skia, usvg};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};

/// The word of the command line by which the program draws, as the child of a gateway.
pub const DRAW: &str = "draw-svg";

/// Largest SVG that is drawn, bytes.
pub(crate) const INPUT: u64 = 4 << 20;
/// Largest picture that is taken, bytes.
const OUTPUT: u64 = 4 << 20;
/// Width of a picture, pixels: what models look at.
const WIDTH: f32 = 1200.0;
/// Tallest picture, pixels.
const HEIGHT: f32 = 2400.0;
/// What drawing may take.
const TIME: Duration = Duration::from_secs(10);
/// Of memory, bytes.
const MEMORY: u64 = 512 << 20;
/// Drawn at once.
const AT_ONCE: usize = 2;

/// Metric-compatible with Helvetica; SIL Open Font License 1.1, see `assets/LiberationSans-LICENSE.txt`.
const FONT: &[u8] = include_bytes!("../assets/LiberationSans-Regular.ttf");
const FAMILY: &str = "Liberation Sans";

/// Draws in child processes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    program: Option<PathBuf>,
    at_once: Arc<Semaphore>,
}

impl Drawing {
    /// Drawing by this program; `None` = the running one.
    pub(crate) fn new(program: Option<PathBuf>) -> Self {
        Self { program, at_once: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The picture of an SVG, as PNG.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) async fn png(&self, svg: &[u8]) -> Result<Vec<u8>, String> {
        let _permit = self.at_once.acquire().await.map_err(|error| error.to_string())?;
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(|error| format!("the program was not found: {error}"))?,
        };
        let drawn = tokio::time::timeout(TIME, child(program, svg)).await;
        drawn.unwrap_or_else(|_| Err(format!("it takes longer than {} s to draw", TIME.as_secs())))
    }
}

/// One child: the SVG goes to its standard input, and the picture comes from its standard output.
async fn child(program: PathBuf, svg: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("it could not be drawn: {error}");
    let mut command = tokio::process::Command::new(program);
    command.arg(DRAW).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(failed)?;
    let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
    let Some(((mut to, from), said)) = pipes else { return Err("it could not be drawn".to_owned()) };
    let write = async {
        // A child that refuses it early says why.
        let _ = to.write_all(svg).await;
        drop(to);
    };
    let (mut picture, mut words) = (Vec::new(), Vec::new());
    let (mut from, mut said) = (from.take(OUTPUT), said.take(1_000));
    let read = async { tokio::try_join!(from.read_to_end(&mut picture), said.read_to_end(&mut words)) };
    let ((), read) = tokio::join!(write, read);
    read.map_err(failed)?;
    let status = child.wait().await.map_err(failed)?;
    if status.success() {
        return Ok(picture);
    }
    match String::from_utf8_lossy(&words).lines().next() {
        Some(why) if !why.trim().is_empty() => Err(why.trim().to_owned()),
        _ => Err(format!("drawing it ended with {status}: it may need more than {} MiB", MEMORY >> 20)),
    }
}

/// The child's side: draws what comes on standard input.
pub fn draw_main() -> ExitCode {
    let limit = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    // Where a limit cannot be set, the parent's patience is one.
    let _ = limit(Resource::As, MEMORY);
    let _ = limit(Resource::Cpu, TIME.as_secs());
    let _ = limit(Resource::Core, 0);
    let _ = limit(Resource::Fsize, 0);
    let drawn = || -> Result<(), String> {
        let mut svg = Vec::new();
        let read = io::stdin().lock().take(INPUT + 1).read_to_end(&mut svg);
        read.map_err(|error| format!("it did not come: {error}"))?;
        let picture = picture(&svg)?;
        io::stdout().lock().write_all(&picture).map_err(|error| format!("it did not go: {error}"))
    };
    match drawn() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}

/// The PNG of an SVG.
fn picture(svg: &[u8]) -> Result<Vec<u8>, String> {
    if svg.len() as u64 > INPUT {
        return Err(format!("it is larger than the {} MiB that are drawn", INPUT >> 20));
    }
    let mut options = usvg::Options { font_family: FAMILY.to_owned(), ..usvg::Options::default() };
    // Nothing outside of the file is read.
    options.resources_dir = None;
    options.image_href_resolver =
        usvg::ImageHrefResolver { resolve_data: Box::new(|_, _, _| None), resolve_string: Box::new(|_, _| None) };
    let fonts = options.fontdb_mut();
    fonts.load_font_data(FONT.to_vec());
    for set in [
        usvg::fontdb::Database::set_serif_family,
        usvg::fontdb::Database::set_sans_serif_family,
        usvg::fontdb::Database::set_cursive_family,
        usvg::fontdb::Database::set_fantasy_family,
        usvg::fontdb::Database::set_monospace_family,
    ] {
        set(fonts, FAMILY);
    }
    let tree =
        usvg::Tree::from_data(svg, &options).map_err(|error| format!("it is no SVG that can be drawn: {error}"))?;
    let size = tree.size();
    let scale = (WIDTH / size.width()).min(HEIGHT / size.height());
    let side = |length: f32| (length * scale).round().max(1.0) as u32;
    let map = tiny_skia::Pixmap::new(side(size.width()), side(size.height()));
    let mut map = map.ok_or_else(|| "it has no size that can be drawn".to_owned())?;
    map.fill(tiny_skia::Color::WHITE);
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut map.as_mut());
    map.encode_png().map_err(|error| format!("its picture could not be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(inside: &str) -> Vec<u8> {
        format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="600" height="400">{inside}</svg>"#).into_bytes()
    }

    fn dark(png: &[u8]) -> usize {
        let map = tiny_skia::Pixmap::decode_png(png).unwrap();
        map.pixels().iter().filter(|pixel| pixel.red() < 100).count()
    }

    #[test]
    fn lines_and_text_are_drawn_whatever_font_is_named() {
        let blank = picture(&svg("")).unwrap();
        assert_eq!(dark(&blank), 0, "the ground is white");
        let map = tiny_skia::Pixmap::decode_png(&blank).unwrap();
        assert_eq!((map.width(), map.height()), (1200, 800));
        assert!(
            dark(&picture(&svg(r#"<line x1="0" y1="9" x2="600" y2="9" stroke="black" stroke-width="4"/>"#)).unwrap())
                > 4_000
        );
        for family in ["Helvetica", "No Such Font", "serif", ""] {
            let text = format!(r#"<text x="10" y="200" font-family="{family}" font-size="60">Price (mpg) é</text>"#);
            assert!(dark(&picture(&svg(&text)).unwrap()) > 5_000, "{family}");
        }
    }

    #[test]
    fn nothing_outside_is_read_and_what_is_no_svg_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("black.svg");
        std::fs::write(&path, svg(r#"<rect width="600" height="400"/>"#)).unwrap();
        let inside = format!(
            r#"<image xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="{}" width="600" height="400"/>"#,
            path.display()
        );
        assert_eq!(dark(&picture(&svg(&inside)).unwrap()), 0);
        for (bytes, words) in [
            (b"no svg".to_vec(), "no SVG"),
            (svg("<g>"), "no SVG"),
            (vec![b' '; (INPUT + 1) as usize], "larger than"),
            (br#"<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0"/>"#.to_vec(), "no SVG"),
        ] {
            let why = picture(&bytes).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        // Out of all proportion: it is bounded on both sides.
        let thin = br#"<svg xmlns="http://www.w3.org/2000/svg" width="1" height="100000000"/>"#;
        let map = tiny_skia::Pixmap::decode_png(&picture(thin).unwrap()).unwrap();
        assert!(map.width() <= 1200 && map.height() <= 2400);
    }
}
