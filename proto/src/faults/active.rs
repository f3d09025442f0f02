//! What the points do when the feature `faults` is on.

use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::OsString,
    fs, io,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use super::VARIABLE;

/// Longest wait for a `.go` file: a test that forgot it fails instead of hanging.
const HOLD: Duration = Duration::from_secs(60);
/// Time between two looks for it.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Clone, Debug, PartialEq)]
enum Act {
    Kill,
    Panic,
    Stop,
    Pause(Duration),
    Hold,
    Error(rustix::io::Errno),
}

/// An action with the passing at which it is due.
#[derive(Clone, Debug, PartialEq)]
struct Action {
    act: Act,
    passing: u32,
    every_later: bool,
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        let (word, passing) = text.trim().split_once('@').unwrap_or((text.trim(), "1"));
        let (passing, every_later) = passing.strip_suffix('+').map_or((passing, false), |p| (p, true));
        let (verb, value) = word.split_once('=').unwrap_or((word, ""));
        let act = match (verb, value) {
            ("kill", "") => Act::Kill,
            ("panic", "") => Act::Panic,
            ("stop", "") => Act::Stop,
            ("hold", "") => Act::Hold,
            ("pause", ms) => Act::Pause(Duration::from_millis(ms.parse().ok()?)),
            ("error", "enospc") => Act::Error(rustix::io::Errno::NOSPC),
            ("error", "erofs") => Act::Error(rustix::io::Errno::ROFS),
            ("error", "eio") => Act::Error(rustix::io::Errno::IO),
            _ => return None,
        };
        Some(Self { act, passing: passing.parse().ok().filter(|n| *n > 0)?, every_later })
    }
}

#[derive(Debug, Default)]
struct Faults {
    points: HashMap<String, Action>,
    passed: Mutex<HashMap<String, u32>>,
    bugs: Vec<String>,
    dir: Option<PathBuf>,
    boot: Option<PathBuf>,
    clock: Option<PathBuf>,
    in_process: bool,
}

impl Faults {
    fn parse(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for directive in text.split(';').map(str::trim).filter(|d| !d.is_empty()) {
            let wrong = || format!("{VARIABLE}: `{directive}` is no directive");
            match directive.split_once('=').ok_or_else(wrong)? {
                ("point", rest) => {
                    let (name, action) = rest.split_once(':').ok_or_else(wrong)?;
                    faults.points.insert(name.to_owned(), Action::parse(action).ok_or_else(wrong)?);
                }
                ("bug", name) => faults.bugs.push(name.to_owned()),
                ("dir", path) => faults.dir = Some(path.into()),
                ("boot", path) => faults.boot = Some(path.into()),
                ("clock", path) => faults.clock = Some(path.into()),
                _ => return Err(wrong()),
            }
        }
        Ok(faults)
    }

    /// What is due now that the point `name` is reached.
    fn due(&self, name: &str) -> Option<Act> {
        if let Some(action) = self.points.get(name) {
            let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
            let count = passed.entry(name.to_owned()).or_default();
            *count += 1;
            if *count == action.passing || (action.every_later && *count > action.passing) {
                return Some(action.act.clone());
            }
        }
        self.dir.as_ref().and_then(|dir| taken(dir, name))
    }
}

/// Takes the action that lies in the folder: the rename decides which process gets it.
fn taken(dir: &Path, name: &str) -> Option<Act> {
    let path = dir.join(name);
    let text = fs::read_to_string(&path).ok()?;
    let action = Action::parse(&text)?;
    if action.every_later && action.passing == 1 {
        let _ = fs::write(dir.join(format!("{name}.fired")), std::process::id().to_string());
        return Some(action.act);
    }
    let aside = dir.join(format!("{name}.{}.taken", std::process::id()));
    fs::rename(&path, &aside).ok()?;
    if action.passing > 1 {
        let word = text.trim().split('@').next().unwrap_or_default();
        let later = if action.every_later { "+" } else { "" };
        let _ = fs::write(&aside, format!("{word}@{}{later}", action.passing - 1));
        let _ = fs::rename(&aside, &path);
        return None;
    }
    // The test reads from it which process it was.
    let _ = fs::write(&aside, std::process::id().to_string());
    let _ = fs::rename(&aside, dir.join(format!("{name}.fired")));
    Some(action.act)
}

#[allow(clippy::panic)] // a process with a wrong faults variable would test nothing
fn of_process() -> &'static Faults {
    static FAULTS: OnceLock<Faults> = OnceLock::new();
    FAULTS.get_or_init(|| match std::env::var(VARIABLE).map(|text| Faults::parse(&text)) {
        Ok(Ok(faults)) => faults,
        Ok(Err(wrong)) => panic!("{wrong}"),
        Err(_) => Faults::default(),
    })
}

thread_local! {
    static ENTERED: RefCell<Vec<Arc<Faults>>> = const { RefCell::new(Vec::new()) };
}

fn with<T>(ask: impl FnOnce(&Faults) -> T) -> T {
    match ENTERED.with_borrow(|entered| entered.last().cloned()) {
        Some(faults) => ask(&faults),
        None => ask(of_process()),
    }
}

/// Directives for the calling thread until it is dropped.
#[derive(Debug)]
pub struct Scope(PhantomData<*const ()>);

/// Sets directives for this thread; see the module for their grammar.
///
/// # Panics
/// When `text` does not follow the grammar.
#[allow(clippy::panic)] // called by tests
pub fn enter(text: &str) -> Scope {
    let mut faults = Faults::parse(text).unwrap_or_else(|wrong| panic!("{wrong}"));
    faults.in_process = true;
    ENTERED.with_borrow_mut(|entered| entered.push(Arc::new(faults)));
    Scope(PhantomData)
}

impl Drop for Scope {
    fn drop(&mut self) {
        ENTERED.with_borrow_mut(Vec::pop);
    }
}

/// A named point at which a test may stop, kill or delay this process.
pub fn point(name: &str) {
    let _ = check(name);
}

/// A named point that may also fail.
///
/// # Errors
/// When the test asked for one.
#[allow(clippy::panic, clippy::disallowed_methods)] // a scope panics for a kill; the test asks for the wait
pub fn check(name: &str) -> io::Result<()> {
    let Some((act, in_process, dir)) = with(|f| f.due(name).map(|act| (act, f.in_process, f.dir.clone()))) else {
        return Ok(());
    };
    match act {
        Act::Kill | Act::Stop if in_process => panic!("stopped at {name}"),
        Act::Panic => panic!("panics at {name}"),
        Act::Kill => signal(rustix::process::Signal::KILL),
        Act::Stop => signal(rustix::process::Signal::STOP),
        Act::Pause(time) => std::thread::sleep(time),
        Act::Hold => {
            let go = dir.map(|dir| dir.join(format!("{name}.go")));
            let mut waited = Duration::ZERO;
            while waited < HOLD && go.as_ref().is_some_and(|go| !go.exists()) {
                std::thread::sleep(LOOK);
                waited += LOOK;
            }
        }
        Act::Error(errno) => return Err(errno.into()),
    }
    Ok(())
}

fn signal(signal: rustix::process::Signal) {
    let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
}

/// Whether a deliberate bug is switched on.
pub fn bug(name: &str) -> bool {
    with(|f| {
        f.bugs.iter().any(|bug| bug == name)
            || f.dir.as_ref().is_some_and(|dir| dir.join(format!("bug.{name}")).exists())
    })
}

/// A boot id to use instead of the host's own.
pub fn boot_id() -> Option<String> {
    with(|f| f.boot.as_ref().and_then(|path| fs::read_to_string(path).ok()))
}

/// How far wall-clock time is off, milliseconds.
pub fn clock_offset_ms() -> i64 {
    with(|f| f.clock.as_ref().and_then(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).unwrap_or(0))
}

/// The variable, for a child process that is to have the same faults.
pub fn inherited() -> Option<(&'static str, OsString)> {
    std::env::var_os(VARIABLE).map(|value| (VARIABLE, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_for_one_thread_and_one_scope() {
        assert!(!bug("resume_one_off"));
        let outer = enter("bug=resume_one_off; point=log:error=enospc@2+");
        assert!(bug("resume_one_off") && !bug("other"));
        assert!(check("log").is_ok());
        assert_eq!(check("log").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(check("log").is_err() && check("elsewhere").is_ok());
        assert!(!std::thread::spawn(|| bug("resume_one_off")).join().unwrap());
        {
            let _inner = enter("");
            assert!(!bug("resume_one_off"));
        }
        assert!(bug("resume_one_off"));
        drop(outer);
        assert!(!bug("resume_one_off"));
    }

    #[test]
    fn an_action_in_the_folder_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let _scope = enter(&format!("dir={}", folder.path().display()));
        let (armed, fired) = (folder.path().join("commit"), folder.path().join("commit.fired"));
        assert!(check("commit").is_ok());
        fs::write(&armed, "error=eio@2").unwrap();
        assert!(check("commit").is_ok() && !fired.exists());
        assert!(check("commit").is_err());
        assert!(check("commit").is_ok() && fired.exists() && !armed.exists());
        fs::write(folder.path().join("bug.late"), "").unwrap();
        assert!(bug("late"));
        fs::write(&armed, "kill").unwrap();
        assert!(std::panic::catch_unwind(|| point("commit")).is_err(), "in a scope a kill is a panic");
    }

    #[test]
    fn what_is_no_directive_is_refused() {
        for wrong in ["x", "point=a", "point=a:jump", "point=a:kill@0", "point=a:pause=x", "size=3"] {
            assert!(Faults::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Faults::parse("point=a.b:hold@3;dir=/d; boot=/b;clock=/c;").is_ok());
    }
}
