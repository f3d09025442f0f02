//! What is asked of hosts and not of a run: data files, help, paths, and whether an earlier run may answer.
//!
//! The rule is that of the host that is named, or of all that would be asked, and it is decided by *before* anything is read:
//! also how a request fails tells of what was read.

use longhaul_proto::{
    api::{DataView, HelpView},
    egress::{Egress, Level},
    faults,
};

use super::{Gives, cells, words};
use crate::{
    mcp::call::{Call, Caller},
    runs::{DataAsk, DataError, HelpAsked, HelpError, NotThere, Unjoined},
};

/// Hosts named in a refusal.
const NAMED: usize = 3;

/// A rule, and whose it is.
struct Bound {
    host: String,
    rule: Egress,
    /// The gateway knows the host: one that was forgotten has no rule, and nothing of it leaves.
    known: bool,
}

impl Call {
    /// Whether lines of code that stands on a host may leave: on the one that is named, or on all that would be asked.
    pub(in crate::mcp) async fn code_may_leave(&self, host: &str) -> bool {
        let asked = self.frontend.core.runs.egress_of_asked(&self.who, host).await;
        asked.iter().all(|(_, rule)| rule.level > Level::Verdict) || faults::bug("egress_off")
    }
}

impl Bound {
    fn refusal(&self, what: &str, instead: &str) -> String {
        if self.known {
            return words(what, &self.host, &self.rule, instead);
        }
        format!(
            "{what}: not told here, this gateway does not know the host {} any more, nor what may leave of it to AI clients: \
             it counts as egress = verdict. {instead}",
            self.host
        )
    }

    fn is_verdict(&self) -> bool {
        self.rule.level == Level::Verdict
    }

    /// What of a data file is refused whatever is in it.
    fn allows(&self, action: &str) -> Result<(), DataError> {
        let what = match Gives::Data.refused(&self.rule) {
            None if action == "rows" && !self.rule.gives_rows() => "observations of a data file",
            None => return Ok(()),
            Some(what) => what,
        };
        Err(DataError::Refused {
            words: self.refusal(what, "A person can look at it in a terminal: `longhaul data PATH`."),
        })
    }

    /// Why a data file is not shown, without what was read of it.
    fn failure(&self, error: DataError) -> DataError {
        if self.rule.smallest() == 0 {
            return error;
        }
        let kept = |what: &str, instead: &str| self.refusal(what, instead);
        match error {
            DataError::OfFile { words, asked } if asked && is_of_names(&words) => DataError::OfFile { words, asked },
            DataError::OfFile { asked, .. } => DataError::OfFile {
                words: kept(
                    "why the file does not answer this",
                    "A range must lie within the file, and the second variable of tabulate may take 20 values: describe lists \
                     the variables.",
                ),
                asked,
            },
            // It tells their sizes.
            DataError::Different(_) => {
                DataError::Different("the file is not the same on every host: pass host".to_owned())
            }
            DataError::Unanswered { host, .. } => {
                DataError::Unanswered { host, reason: "it cannot read the file now".to_owned() }
            }
            // It names files that there are.
            DataError::File(_) if !self.rule.gives_files() => DataError::Refused {
                words: kept("why the run's file is not there", "`path` is the file as the do-file saved it."),
            },
            other => other,
        }
    }
}

/// Whether an agent's words tell nothing but names of variables and the request itself. Their first words are no names: a
/// variable has one word, and each of these two or more.
fn is_of_names(words: &str) -> bool {
    let no_variable = words.strip_prefix("variable ").and_then(|rest| rest.split_once(' ')).map(|(_, rest)| rest);
    no_variable.is_some_and(|rest| rest.starts_with("not found: "))
        || ["the variable ", "no variable fits ", "the condition ", "tabulate takes one or two "]
            .iter()
            .any(|start| words.starts_with(start))
        || words.starts_with("the range ") && words.contains(" means nothing: ")
}

/// Whether a help file is the engine's own: elsewhere on the ado-path a do-file may have written it.
fn is_own(place: &str) -> bool {
    ["BASE ", "STANDIN "].iter().any(|folder| place.starts_with(folder))
}

impl Caller {
    /// The rule of all hosts that would be asked.
    async fn bound(&self, host: &str) -> Bound {
        let asked = self.frontend.core.runs.egress_of_asked(&self.who, host).await;
        let rule = asked.iter().fold(Egress::default(), |narrow, (_, rule)| narrow.and(rule));
        let mut narrow: Vec<&str> = asked.iter().filter(|(_, rule)| !rule.is_full()).map(|(host, _)| &**host).collect();
        narrow.dedup();
        narrow.truncate(NAMED);
        Bound { host: if host.is_empty() { narrow.join(", ") } else { host.to_owned() }, rule, known: true }
    }

    fn bound_of(&self, host: &str) -> Bound {
        let rule = self.frontend.core.runs.egress_of_host(host);
        let known = rule.is_some();
        let rule = rule.unwrap_or_else(|| Egress { level: Level::Verdict, ..Egress::default() });
        Bound { host: host.to_owned(), rule, known }
    }

    fn is_verdict(&self, host: &str) -> bool {
        self.bound_of(host).is_verdict() && !faults::bug("egress_off")
    }

    /// How the beginning of a path may go on, on hosts of which names may leave.
    pub(in crate::mcp) async fn paths(&self, host: Option<&str>, prefix: &str, ending: &str) -> Vec<String> {
        let tells = |rule: &Egress| rule.level > Level::Verdict || faults::bug("egress_off");
        self.frontend.core.runs.complete_path(&self.who, host, prefix, &[ending], tells).await
    }
}

impl Call {
    /// What is in a data file, as far as it may leave.
    ///
    /// # Errors
    /// The refusal, or why it is not shown.
    pub(in crate::mcp) async fn data_of(&self, ask: DataAsk) -> Result<DataView, DataError> {
        let runs = &self.frontend.core.runs;
        if faults::bug("egress_off") {
            return runs.data(&self.who, ask).await;
        }
        let run = match ask.run.as_str() {
            "" => None,
            name => Some(runs.get(&self.who, runs.find(&self.who, name).await?).await?),
        };
        let bound = async || match &run {
            None => self.bound(&ask.host).await,
            Some(run) => {
                // What it left is under the rule of its time, too.
                let mut bound = match run.host.as_deref() {
                    Some(host) => self.bound_of(host),
                    None => Bound { host: String::new(), rule: Egress::default(), known: true },
                };
                bound.rule = runs.egress(run).and(&bound.rule);
                bound
            }
        };
        let before = bound().await;
        before.allows(&ask.action)?;
        let view = match runs.data(&self.who, ask.clone()).await {
            Ok(view) => view,
            // A host may have joined meanwhile.
            Err(error) => {
                let now = bound().await;
                return Err(Bound { rule: before.rule.and(&now.rule), ..now }.failure(error));
            }
        };
        let mut now = self.bound_of(&view.host);
        now.rule = before.rule.and(&now.rule);
        now.allows(&view.action)?;
        if now.rule.is_full() {
            return Ok(view);
        }
        cells::told(view, &now.rule).map_err(|what| DataError::Refused {
            words: now.refusal(&what, "Ask about more of them: a wider condition or range."),
        })
    }

    /// Help of a host; under a verdict the engine's own, since a do-file may write any other.
    ///
    /// # Errors
    /// The refusal, or why there is none.
    pub(in crate::mcp) async fn help_of(&self, asked: HelpAsked) -> Result<HelpView, String> {
        const WHAT: &str = "help that is not Stata's own";
        const INSTEAD: &str = "Help on Stata's own commands is told, if the name or the words are right.";
        let bound = self.bound(&asked.host).await;
        let mut view = match self.frontend.core.runs.help(&self.who, asked).await {
            Ok(view) => view,
            Err(HelpError::NotFound { .. } | HelpError::Unanswered { .. })
                if bound.is_verdict() && !faults::bug("egress_off") =>
            {
                return Err(bound.refusal(WHAT, INSTEAD));
            }
            Err(error) => return Err(error.to_string()),
        };
        if !self.is_verdict(&view.host) {
            return Ok(view);
        }
        view.topics.retain(|topic| is_own(&topic.place));
        view.more = 0;
        let own = if view.text.is_some() { view.place.as_deref().is_some_and(is_own) } else { !view.topics.is_empty() };
        if own { Ok(view) } else { Err(self.bound_of(&view.host).refusal(WHAT, INSTEAD)) }
    }

    /// Why an earlier run does not answer: under a verdict without the do-files that it entered.
    pub(in crate::mcp) async fn not_joined(&self, refusal: &Unjoined) -> String {
        let runs = &self.frontend.core.runs;
        let run = runs.get(&self.who, refusal.run).await;
        let tells = run.is_ok_and(|run| runs.egress(&run).level > Level::Verdict) || faults::bug("egress_off");
        if tells { refusal.words.clone() } else { refusal.without_names.clone() }
    }

    /// A path that is not there: without names of files on hosts of which nothing but verdicts leaves.
    pub(in crate::mcp) fn not_there(&self, missing: NotThere) -> NotThere {
        missing.without_near(|host| self.is_verdict(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_names_and_errors_of_data() {
        for words in [
            "variable incme not found: did you mean income?",
            "the variable m is ambiguous: it may be make, mpg",
            "no variable fits z*: action describe lists the variables",
            "the condition prise > 1: there is no variable prise",
            "the range x means nothing: write for example 1/20, 500, or -5/l",
        ] {
            assert!(is_of_names(words), "{words}");
        }
        for words in [
            "variable takes 40 values, too many for columns (at most 20)",
            "the takes 40 values, too many for columns (at most 20)",
            "the range 1/500 is not in the file: it has 40 observations",
            "/p/a.dta on stata1 cannot be shown: it is damaged",
        ] {
            assert!(!is_of_names(words), "{words}");
        }
    }
}
