//! What `doctor` found, as JSON and for people.

use longhaul_agent::stata::find;
use serde::Serialize;

use crate::output::{
    colour::{self, Tone},
    shown,
};

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Finding {
    /// `ok`, `note` or `problem`.
    pub(super) state: &'static str,
    /// What was checked.
    pub(super) what: String,
    /// What was found.
    pub(super) found: String,
    /// What to do; only where something can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

/// One setting.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SettingView {
    pub(super) name: &'static str,
    pub(super) variable: String,
    pub(super) value: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) meaning: &'static str,
}

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) findings: Vec<Finding>,
    pub(super) stata_tried: Vec<find::Candidate>,
    pub(super) stata_looked: Vec<String>,
    pub(super) settings: Vec<SettingView>,
}

pub(super) fn ok(what: &str, found: impl Into<String>) -> Finding {
    Finding { state: "ok", what: what.into(), found: found.into(), advice: None }
}

pub(super) fn note(what: &str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { state: "note", what: what.into(), found: found.into(), advice: Some(advice.into()) }
}

pub(super) fn problem(what: &str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { state: "problem", what: what.into(), found: found.into(), advice: Some(advice.into()) }
}

impl Report {
    /// For people, the mark before each finding in its colour where colours are wanted. Harmless as it is.
    pub(super) fn text(&self, colours: bool) -> String {
        let mut out = String::new();
        for finding in &self.findings {
            let (mark, tone) = match finding.state {
                "problem" => ("!!", Tone::Bad),
                "note" => ("--", Tone::Warning),
                _ => ("ok", Tone::Good),
            };
            let mark = colour::paint(mark, tone, colours);
            out.push_str(&format!("{mark} {}: {}\n", shown(&finding.what), shown(&finding.found)));
            if let Some(advice) = &finding.advice {
                out.push_str(&format!("   -> {}\n", shown(advice)));
            }
        }
        let (set, unset): (Vec<_>, Vec<_>) = self.settings.iter().partition(|s| s.value.is_some());
        out.push_str("\nsettings\n");
        for setting in set {
            let (value, origin) =
                (setting.value.as_deref().unwrap_or(""), setting.origin.as_deref().unwrap_or("default"));
            out.push_str(&format!("   {} = {}   from {}\n", setting.name, shown(value), shown(origin)));
        }
        out.push_str(&format!(
            "   {} others are not set: `longhaul config template` lists them with their defaults\n",
            unset.len()
        ));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_what_to_do() {
        let findings = vec![problem("Stata", "none", "name it"), ok("time", "now")];
        let report = Report { version: "0", findings, stata_tried: vec![], stata_looked: vec![], settings: vec![] };
        let text = report.text(false);
        assert!(text.starts_with("!! Stata: none\n   -> name it\nok time: now\n"), "{text}");
        let painted = report.text(true);
        assert!(painted.starts_with("\u{1b}[31m!!\u{1b}[0m Stata: none\n"), "{painted}");
    }
}
