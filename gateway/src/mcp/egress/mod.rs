//! What may leave to an AI client: the one place that decides it.
//!
//! ```text
//! agent: its rule ---\
//! gateway: its pool's -+--> Runs::egress --> here: a tool is refused, or its run is narrowed before anything words it
//! record: the rule then/
//! ```
//!
//! - Each tool says in the table of tools what its answers give ([`Gives`]), so that a new one does not compile without a
//!   decision. One that names a run is refused before it reads anything ([`Caller::may`]).
//! - All other modules get runs, and what is read of them, through the methods of [`Caller`] here. A run comes *narrowed*
//!   ([`narrow`]): without the fields that must not leave, so that a verdict, a line of progress, a list, a task or a resource
//!   cannot tell them. A test reads the source of these modules and finds any other way.
//! - What is asked of hosts, where no run says under which rule it is: [`hosts`]. Of data files see [`cells`].
//!
//! The rule holds for this interface, also behind `longhaul stdio`, and not for the HTTP API: there is no telling whether a
//! program with a person's token is an AI client, and what it reads it does not send to one by itself.

mod cells;
mod hosts;
mod narrow;

use std::sync::Arc;

use longhaul_proto::{
    egress::{Egress, Level},
    faults,
    ids::RunId,
};
use tokio::sync::watch;

use super::{
    call::{Call, Caller},
    graph,
};
use crate::{
    frontend::{Frontend, reading::Output},
    model::{RunSnapshot, Stream},
    runs::{ArtifactError, Fetched, FindError, Left, ListFilter, Listed, OpenFile, RunPage},
};

/// What a tool's answers give of runs and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    /// Nothing of either.
    Nothing,
    /// How runs are: narrowed, as the rule has it.
    Runs,
    /// What a run printed.
    Output,
    /// What a run left in r(), e(), s().
    Results,
    /// Graphs.
    Graphs,
    /// Other files that a run left.
    Files,
    /// What is in a data file; each action by itself.
    Data,
}

impl Gives {
    /// What is refused, in words; `None` = the rule allows it.
    fn refused(self, rule: &Egress) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::Runs => None,
            Self::Output if rule.level < Level::Output => Some("what a run printed"),
            Self::Results if rule.level < Level::Output => Some("the results of a run"),
            Self::Data if rule.level < Level::Output => Some("what is in a data file"),
            Self::Graphs if !rule.gives_graphs() => Some("graphs"),
            Self::Files if !rule.gives_files() => Some("files of a run"),
            Self::Output | Self::Results | Self::Graphs | Self::Files | Self::Data => None,
        }
    }
}

/// The refusal, in words that name the rule, who can change it, and what is left.
fn words(what: &str, host: &str, rule: &Egress, instead: &str) -> String {
    let set_in = if rule.set_in.is_empty() { String::new() } else { format!(" in {}", rule.set_in) };
    let what_leaves = match rule.level {
        Level::Verdict => "lets only verdicts leave to AI clients",
        Level::Output => "lets verdicts and output leave to AI clients, no rows, graphs or files",
        Level::Full => "does not let this leave to AI clients",
    };
    format!(
        "{what}: not told here, the host {host} {what_leaves} (egress = {rule}, set by its administrator{set_in}, who alone can \
         change it). {instead}"
    )
}

/// A run that is followed, as this client may see it.
pub(super) struct Live {
    caller: Frontend,
    live: watch::Receiver<Arc<RunSnapshot>>,
}

impl Live {
    /// As it is now.
    pub(super) fn now(&self) -> Arc<RunSnapshot> {
        narrowed(&self.caller, self.live.borrow().clone())
    }

    /// The next time it changes.
    ///
    /// # Errors
    /// When its task has ended.
    pub(super) async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        self.live.changed().await
    }

    /// Whether its task has ended.
    pub(super) fn is_over(&self) -> bool {
        self.live.has_changed().is_err()
    }

    /// Waits until this holds of it, or its task ends.
    pub(super) async fn until(&mut self, holds: impl FnMut(&Arc<RunSnapshot>) -> bool) {
        // A run whose task ended stays as it is.
        let _ = self.live.wait_for(holds).await;
    }
}

fn narrowed(frontend: &Frontend, run: Arc<RunSnapshot>) -> Arc<RunSnapshot> {
    let rule = frontend.core.runs.egress(&run);
    if rule.is_full() || faults::bug("egress_off") {
        return run;
    }
    Arc::new(narrow::narrow(&run, &rule))
}

impl Caller {
    /// A run as this client may see it.
    pub(super) fn narrowed(&self, run: Arc<RunSnapshot>) -> Arc<RunSnapshot> {
        narrowed(&self.frontend, run)
    }

    /// Everything about a run that may leave.
    ///
    /// # Errors
    /// As [`crate::runs::Runs::get`].
    pub(super) async fn run(&self, run: RunId) -> Result<Arc<RunSnapshot>, FindError> {
        self.frontend.core.runs.get(&self.who, run).await.map(|run| self.narrowed(run))
    }

    /// A page of runs.
    ///
    /// # Errors
    /// As [`crate::runs::Runs::list`].
    pub(super) async fn runs(&self, filter: ListFilter) -> Result<RunPage, FindError> {
        let page = self.frontend.core.runs.list(&self.who, filter).await?;
        Ok(RunPage { runs: page.runs.into_iter().map(|run| self.narrowed(run)).collect(), next: page.next })
    }

    /// A run to be followed.
    ///
    /// # Errors
    /// As [`crate::runs::Runs::watch`].
    pub(super) async fn watched(&self, run: RunId) -> Result<Live, FindError> {
        let live = self.frontend.core.runs.watch(&self.who, run).await?;
        Ok(Live { caller: self.frontend.clone(), live })
    }

    /// The output of a run; of a narrowed run no part of it is asked for.
    pub(super) fn output(&self, run: &RunSnapshot, stream: Stream) -> Output {
        Output { runs: self.frontend.core.runs.clone(), who: self.who.clone(), run: run.run, stream }
    }

    /// Whether the rule lets this of a run leave.
    ///
    /// # Errors
    /// The refusal, in words.
    fn may(&self, run: &RunSnapshot, gives: Gives) -> Result<(), String> {
        let rule = self.frontend.core.runs.egress(run);
        let Some(what) = gives.refused(&rule).filter(|_| !faults::bug("egress_off")) else { return Ok(()) };
        Err(words(what, host(run), &rule, &instead_of(run, gives)))
    }
}

impl Call {
    /// Whether the rule lets this tool answer about a run.
    ///
    /// # Errors
    /// The refusal, in words.
    pub(super) fn may_tell(&self, run: &RunSnapshot) -> Result<(), String> {
        self.may(run, self.gives)
    }

    /// What a run left in r(), e() and s().
    ///
    /// # Errors
    /// The refusal, or why they cannot be read.
    pub(super) async fn results(&self, run: &RunSnapshot) -> Result<Left, String> {
        self.may(run, Gives::Results)?;
        self.frontend.core.runs.results(&self.who, run.run).await.map_err(|error| error.to_string())
    }

    /// The files that a run left; a graph is also one of the graphs.
    ///
    /// # Errors
    /// The refusal, or why they cannot be listed.
    pub(super) async fn listed(&self, run: &RunSnapshot) -> Result<Listed, String> {
        self.may(run, Gives::Files)?;
        let mut listed = self.frontend.core.runs.files(&self.who, run.run).await.map_err(|error| error.to_string())?;
        if self.may(run, Gives::Graphs).is_err() {
            listed.left.files.retain(|file| !graph::is_graph(&file.path));
        }
        Ok(listed)
    }

    /// One of them.
    ///
    /// # Errors
    /// The refusal, or why it cannot be read.
    pub(super) async fn file_of(&self, run: &RunSnapshot, name: &str) -> Result<OpenFile, String> {
        self.may(run, Gives::Files)?;
        let opened = self.frontend.core.runs.open_file(&self.who, run.run, name).await;
        let file = opened.map_err(|error| match self.may(run, Gives::Graphs) {
            Ok(()) => error.to_string(),
            // Its words name the files that there are.
            Err(_) => format!("run {} left no such file that may leave: leave name out for a list", run.run.short()),
        })?;
        if graph::is_graph(&file.file.path) {
            self.may(run, Gives::Graphs)?;
        }
        Ok(file)
    }

    /// The bytes of a graph, for the tool that may tell of graphs ([`Call::may_tell`]).
    ///
    /// # Errors
    /// As [`crate::runs::Runs::artifact`].
    pub(super) async fn graph_bytes(&self, run: &RunSnapshot, path: &str, most: u64) -> Result<Fetched, ArtifactError> {
        self.frontend.core.runs.artifact(&self.who, run.run, path, most).await
    }

    /// Likewise, of one that is drawn.
    ///
    /// # Errors
    /// As [`crate::runs::Runs::open_file`].
    pub(super) async fn graph_file(&self, run: &RunSnapshot, path: &str) -> Result<OpenFile, ArtifactError> {
        self.frontend.core.runs.open_file(&self.who, run.run, path).await
    }
}

fn host(run: &RunSnapshot) -> &str {
    run.host.as_deref().unwrap_or_default()
}

/// How a person gets what a tool does not tell.
fn instead_of(run: &RunSnapshot, gives: Gives) -> String {
    let short = run.run.short();
    match gives {
        Gives::Graphs | Gives::Files => {
            format!("A person can list and fetch them in a terminal: `longhaul files {short}`, `longhaul get {short}`.")
        }
        Gives::Results => format!("A person can read them in a terminal: `longhaul results {short}`."),
        Gives::Nothing | Gives::Runs | Gives::Output | Gives::Data => instead(run),
    }
}

/// How a person gets what is not told here.
fn instead(run: &RunSnapshot) -> String {
    let short = run.run.short();
    format!("A person can read it in a terminal: `longhaul log {short}`, `longhaul show {short}`.")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// How modules would read runs past the rule.
    fn past_the_rule(text: &str) -> Vec<String> {
        const READS: [&str; 15] = [
            "get",
            "list",
            "watch",
            "read",
            "results",
            "data",
            "files",
            "open_file",
            "artifact",
            "made_with",
            "do_files",
            "do_file",
            "history",
            "help",
            "complete_path",
        ];
        let calls = READS.iter().flat_map(|read| ["call", "caller", "self"].map(|who| format!(".{read}(&{who}.who")));
        calls.chain(["Output { runs".to_owned()]).filter(|way| text.contains(way)).collect()
    }

    fn sources(folder: &Path, all: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("egress") {
                sources(&path, all);
            } else if path.is_file() {
                all.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }

    #[test]
    fn no_module_reads_runs_past_the_rule() {
        let mut all = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mcp"), &mut all);
        assert!(all.len() > 25);
        for (file, text) in &all {
            assert_eq!(past_the_rule(text), [""; 0], "{file}: take it from the methods of mcp/egress");
        }
        assert!(past_the_rule(include_str!("mod.rs")).len() > 5, "the control: this module does");
    }

    #[test]
    fn refusals_say_whose_rule_it_is() {
        let rule = Egress { set_in: "`egress` (/etc/longhaul/config.toml)".into(), ..Egress::default() };
        let rule = Egress { level: Level::Verdict, ..rule };
        let told = words("graphs", "stata1", &rule, "Ask a person.");
        assert_eq!(
            told,
            "graphs: not told here, the host stata1 lets only verdicts leave to AI clients (egress = verdict, set by its \
             administrator in `egress` (/etc/longhaul/config.toml), who alone can change it). Ask a person."
        );
    }

    #[test]
    fn each_kind_by_each_rule() {
        let check = |gives: Gives, rules: &[&str]| {
            for rule in ["full", "full graphs=off", "full files=off", "full rows=off", "output", "verdict"] {
                let refused = gives.refused(&rule.parse().unwrap()).is_some();
                assert_eq!(refused, rules.contains(&rule), "{gives:?} under {rule}");
            }
        };
        check(Gives::Nothing, &[]);
        check(Gives::Runs, &[]);
        check(Gives::Output, &["verdict"]);
        check(Gives::Results, &["verdict"]);
        check(Gives::Data, &["verdict"]);
        check(Gives::Graphs, &["full graphs=off", "output", "verdict"]);
        check(Gives::Files, &["full files=off", "output", "verdict"]);
    }
}
