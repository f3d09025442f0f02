//! From a request to a plan: everything the supervisor needs, laid out in the spool. May be repeated for a run that
//! provably never started.

mod banner_cache;
mod cores;
mod engine;
mod env;
mod packages;
mod risks;
mod source;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use longhaul_proto::{
    durable::{FILE_MODE, FOLDER_MODE},
    encoding::Encoding,
    risk::Confirm,
    state::Cause,
    wire::{self, submission::Source},
};

use crate::{
    spool::{Gathers, Installs, Plan, RunLimits, Spool, Timing},
    stata::gather,
    stata::wrapper::{Spec, Wrapper, needs_staging},
};

pub(crate) use banner_cache::{BannerCache, Printed};
pub use engine::{Choice, Engine, EngineKind, STANDIN_NOTE};
pub(crate) use packages::lock as install_lock;
pub use source::Places;
pub(crate) use source::{Code, Missing, Problem};

/// What the agent knows about how runs are started here.
#[derive(Clone, Debug)]
pub struct Preparer {
    /// Where code may be.
    pub places: Places,
    /// What executes code; or why there is nothing to execute it.
    pub engine: Result<Engine, String>,
    /// The agent's own environment, of which a run gets the allowed part.
    pub environment: Vec<(OsString, OsString)>,
    /// Names that are allowed besides the usual ones.
    pub env_allow: Vec<String>,
    /// Limits; the run's own timeout comes from the request.
    pub timing: Timing,
    /// Whether results are gathered where the request does not say no.
    pub results: bool,
    /// Held by each run that installs packages.
    pub install_lock: PathBuf,
    /// Most cores that one run may use; `None` = as many as the licence allows.
    pub max_cores: Option<u32>,
    /// Whether data files that runs name are read for their digests.
    pub data_digests: bool,
    /// Bytes of each stream that are kept.
    pub output_limit: u64,
    /// Bytes that a run's spool may take before it is ended; 0 = no limit.
    pub max_run_spool: u64,
    /// What a run may use of the host besides.
    pub limits: RunLimits,
    /// The encoding of what is no UTF-8 in logs and sources.
    pub log_encoding: Encoding,
    /// Risky commands to which a person must have agreed.
    pub confirm: Confirm,
}

impl Preparer {
    /// A host for tests, on which nothing runs.
    #[cfg(test)]
    pub(crate) fn of_no_engine(roots: &[PathBuf]) -> Self {
        let timing = Timing { timeout: None, start: 0, after_break: 0, after_terminate: 0, gathering: 0 };
        Self {
            places: Places { host: "here".into(), roots: roots.to_vec(), hidden: vec![], path_map: vec![] },
            engine: Err("none".to_owned()),
            environment: vec![],
            env_allow: vec![],
            timing,
            results: false,
            install_lock: PathBuf::new(),
            max_cores: None,
            data_digests: true,
            output_limit: 0,
            max_run_spool: 0,
            limits: RunLimits::default(),
            log_encoding: Encoding::default(),
            confirm: Confirm::default(),
        }
    }

    /// A variable of the agent's own environment; `None` = not set, or empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&std::ffi::OsStr> {
        let found = self.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// Lays out the spool of a run.
    ///
    /// # Errors
    /// What is wrong, in words for the user; the run then ends without having started.
    pub fn prepare(
        &self,
        spool: &Spool,
        submission: &wire::Submission,
        attempt: u32,
        printed: &Printed,
    ) -> Result<Plan, Problem> {
        let engine = self.engine.as_ref().map_err(|text| failed(text.clone()))?;
        if !submission.engine.is_empty() && submission.engine != engine.kind.name() {
            return Err(failed(format!(
                "this run wants the engine {} and {} has {}",
                submission.engine,
                self.places.host,
                engine.kind.name()
            )));
        }
        let (code, source) = self.code(spool, submission)?;
        source::check_digest(&code, &submission.code_sha256)?;
        risks::check(&self.confirm, &self.places.host, &code, submission, &spool.work())?;
        let working_dir = self.working_dir(spool, submission, &code)?;
        let plain_dir = plain(spool, &working_dir)?;
        let profile = working_dir.join("profile.do");
        let profile = (submission.project_profile && profile.is_file()).then_some(profile);

        let cores = cores::most(self.max_cores, submission.cores, engine, printed);
        let gathers = match (self.results, submission.no_results) {
            (_, true) => Gathers::NotAsked,
            (false, _) => Gathers::NotHere,
            _ => Gathers::Yes,
        };
        let gather = (gathers == Gathers::Yes).then(|| spool.gather());
        let tag = format!("{}_{attempt}", spool.run().short());
        let wrapper = Wrapper::new(&Spec {
            working_dir: &plain_dir,
            do_file: &spool.code(),
            cores,
            args: &submission.args,
            gather: gather.as_deref(),
            sentinel: &spool.sentinel(),
            tag: &tag,
        })
        .map_err(|error| failed(error.to_string()))?;

        let plan = Plan {
            format: spool.layout().format(),
            attempt,
            program: engine.program.clone(),
            arg0: engine.is_standin().then(|| "longhaul".to_owned()),
            argv: engine.argv(&(spool.stem() + ".do")),
            env: self.environment(spool, engine),
            engine: engine.kind.name().to_owned(),
            engine_note: engine.note(),
            working_dir,
            source,
            code_sha256: code.sha256.clone(),
            profile,
            timing: Timing { timeout: self.timeout(submission), ..self.timing },
            output_limit: self.output_limit,
            max_spool: self.max_run_spool,
            log_encoding: self.log_encoding.name().to_owned(),
            gathers: Some(gathers),
            installs: packages::installs(&code, submission.source.as_ref(), &spool.work())
                .then(|| Installs { lock: self.install_lock.clone(), host: self.places.host.clone() }),
            cores,
            limits: self.limits,
        };
        if let Some(gather) = &gather {
            private(gather, gather::text(&tag, &spool.gathered()).as_bytes())
                .map_err(|error| laid_out(spool, &error))?;
        }
        lay_out(spool, &plan, &code, &wrapper, &plain_dir).map_err(|error| laid_out(spool, &error))?;
        Ok(plan)
    }

    /// The shorter of what the request asks for and what a run may take here, milliseconds; `None` = no limit.
    fn timeout(&self, submission: &wire::Submission) -> Option<u64> {
        let most = if longhaul_proto::faults::bug("runs_unlimited") { 0 } else { self.limits.time_ms };
        [submission.timeout_ms, most].into_iter().filter(|limit| *limit > 0).min()
    }

    /// The code, and its name for people.
    fn code(&self, spool: &Spool, submission: &wire::Submission) -> Result<(Code, String), Problem> {
        let work = || {
            folder(&spool.work())
                .map_err(|error| failed(format!("{} could not be made: {error}", spool.work().display())))
        };
        match &submission.source {
            Some(Source::Path(path)) => {
                let code = self.places.read(path)?;
                let name = code.file.as_ref().map_or_else(|| path.clone(), |f| f.to_string_lossy().into_owned());
                Ok((code, name))
            }
            Some(Source::Text(bytes)) => {
                work()?;
                Ok((source::text(bytes)?, String::new()))
            }
            Some(Source::Bundle(bundle)) => {
                work()?;
                let code = source::unpack(bundle, &spool.work())?;
                Ok((code, bundle.entry.clone()))
            }
            Some(Source::Stored(stored)) => {
                work()?;
                Ok((source::lay_out(stored, &spool.blobs(), &spool.work())?, stored.entry.clone()))
            }
            None => Err(Problem {
                cause: Cause::Malformed,
                text: "the request names no code that this agent knows; if its gateway is newer, upgrade the agent"
                    .to_owned(),
            }),
        }
    }

    fn working_dir(&self, spool: &Spool, submission: &wire::Submission, code: &Code) -> Result<PathBuf, Problem> {
        if !submission.working_dir.is_empty() {
            return self.places.directory(&submission.working_dir);
        }
        Ok(code.file.as_deref().and_then(Path::parent).map_or_else(|| spool.work(), Path::to_owned))
    }

    fn environment(&self, spool: &Spool, engine: &Engine) -> BTreeMap<String, String> {
        env::for_run(self.environment.iter().cloned(), engine.kind, &self.env_allow, &spool.tmp())
    }
}

/// Writes what the supervisor and Stata read.
fn lay_out(spool: &Spool, plan: &Plan, code: &Code, wrapper: &Wrapper, plain_dir: &Path) -> io::Result<()> {
    folder(&spool.tmp())?;
    match &code.at {
        None => private(&spool.code(), &code.bytes)?,
        Some(at) => copy(at, &spool.code())?,
    }
    private(&spool.wrapper(), wrapper.text().as_bytes())?;
    if plan.profile.is_some() {
        private(&spool.profile(), profile_text(plain_dir, spool).as_bytes())?;
    }
    // Not synced: after a crash of the host nothing of this is needed, and after a crash of the agent all of it is
    // there.
    private(&spool.plan(), &serde_json::to_vec(plan)?)
}

/// A path of the working directory that Stata can take: itself, or a symbolic link in the spool.
fn plain(spool: &Spool, dir: &Path) -> Result<PathBuf, Problem> {
    if needs_staging(dir).is_none() {
        return Ok(dir.to_owned());
    }
    let link = spool.plain_dir();
    let made = match std::fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(dir, &link),
    };
    made.map_err(|error| failed(format!("{} could not be given a plain name: {error}", dir.display())))?;
    Ok(link)
}

/// Stata runs a `profile.do` in the folder where it starts, which is the spool: this one runs the project's, in the
/// folder where the project expects that, and returns. As at Stata's own start, an error in it is shown and ignored.
fn profile_text(dir: &Path, spool: &Spool) -> String {
    let (dir, back) = (dir.display(), spool.run_folder().display());
    format!("cd `\"{dir}\"'\ncapture noisily do `\"{dir}/profile.do\"'\ncd `\"{back}\"'\n")
}

fn folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

fn private(path: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?.write_all(content)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = std::fs::File::open(from)?;
    let mut to = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(to)?;
    io::copy(&mut from, &mut to).map(drop)
}

fn laid_out(spool: &Spool, error: &io::Error) -> Problem {
    Problem {
        cause: if error.kind() == io::ErrorKind::StorageFull { Cause::SpoolFull } else { Cause::SpawnFailed },
        text: format!("the run could not be laid out in {}: {error}", spool.path().display()),
    }
}

fn failed(text: String) -> Problem {
    Problem { cause: Cause::SpawnFailed, text }
}
