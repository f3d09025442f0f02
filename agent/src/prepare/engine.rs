//! What executes the code: Stata, found on this host or named by the operator, or the stand-in, which is chosen only on
//! purpose.

use std::path::{Path, PathBuf};

use longhaul_proto::wire;

use crate::stata;

/// Which engine an agent offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Stata if there is one; otherwise the agent takes no runs.
    #[default]
    Auto,
    /// Stata.
    Stata,
    /// The stand-in.
    Standin,
}

/// The kinds of engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Stata itself.
    Stata,
    /// The stand-in: Stata's manners, and no statistics package.
    Standin,
}

impl EngineKind {
    /// As records and requests name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stata => "stata",
            Self::Standin => "standin",
        }
    }
}

/// What an agent offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Stata or the stand-in.
    pub kind: EngineKind,
    /// Absolute path of the program.
    pub program: PathBuf,
    /// First arguments.
    pub argv: Vec<String>,
    /// `mp`, `se`, `be`; empty = not known.
    pub edition: String,
    /// From its banner; empty = not known yet.
    pub version: String,
}

/// How the stand-in describes itself, in every record of its runs.
pub const STANDIN_NOTE: &str = "stand-in: Stata's manners, no statistics package";

impl Engine {
    /// Finds what `choice` asks for. `own` is the program that contains the stand-in.
    ///
    /// # Errors
    /// In words for people: what was looked for, where, and what to do.
    pub fn find(choice: Choice, stata: Option<&Path>, own: &Path) -> Result<Self, String> {
        match choice {
            Choice::Standin => Ok(Self {
                kind: EngineKind::Standin,
                program: own.to_owned(),
                argv: vec!["standin".into()],
                edition: String::new(),
                version: String::new(),
            }),
            Choice::Auto | Choice::Stata => find_stata(stata),
        }
    }

    /// Whether this is the stand-in.
    pub fn is_standin(&self) -> bool {
        self.kind == EngineKind::Standin
    }

    /// Edition and version for people, or how the stand-in describes itself.
    pub fn note(&self) -> String {
        if self.is_standin() {
            return STANDIN_NOTE.to_owned();
        }
        let edition = match self.edition.as_str() {
            "" => String::new(),
            edition => format!("Stata/{}", edition.to_uppercase()),
        };
        [edition, self.version.clone()].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// All arguments for running the do-file with this plain name.
    pub fn argv(&self, do_file: &str) -> Vec<String> {
        // On macOS `-b` waits for a click on its dialogue.
        let batch = if cfg!(target_os = "macos") && !self.is_standin() { "-e" } else { "-b" };
        self.argv.iter().cloned().chain([batch.into(), "do".into(), do_file.into()]).collect()
    }

    /// As it goes over the wire.
    pub fn to_wire(&self) -> wire::Engine {
        wire::Engine {
            kind: self.kind.name().to_owned(),
            program: self.program.to_string_lossy().into_owned(),
            edition: self.edition.clone(),
            version: self.version.clone(),
        }
    }
}

fn find_stata(stata: Option<&Path>) -> Result<Engine, String> {
    let places = stata::find::SearchPlaces::from_env(stata.map(Path::to_owned), |name| std::env::var_os(name));
    let candidates = stata::find::find(&places);
    if let Some(best) = candidates.iter().find(|c| c.usable()) {
        return Ok(Engine {
            kind: EngineKind::Stata,
            program: best.path.clone(),
            argv: vec![],
            edition: best.edition.map(|e| format!("{e:?}").to_lowercase()).unwrap_or_default(),
            version: best.version.map(|v| format!("{}.{}", v / 10, v % 10)).unwrap_or_default(),
        });
    }
    let tried: Vec<String> = candidates
        .iter()
        .take(5)
        .map(|c| format!("{} ({})", c.path.display(), c.problem.as_deref().unwrap_or("not usable")))
        .collect();
    let tried = if tried.is_empty() { "nothing that looks like it was found".to_owned() } else { tried.join(", ") };
    Err(format!(
        "no Stata on this host ({tried}): name it with --stata PATH. To try Longhaul without Stata use \
         --engine standin, which has Stata's manners and of estimators `regress` alone"
    ))
}
