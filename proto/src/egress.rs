//! What of a host's runs and data may leave to AI clients.
//!
//! The administrator of a host sets the rule at its agent, which tells it when it registers; a gateway may narrow it for a
//! pool. It binds what is answered over the Model Context Protocol and nothing else: a person who reads a run in a terminal
//! sends nothing to the provider of a model.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::wire;

/// Fewest observations of which something is told where rows may not leave, if nothing else is set: what fewer have in
/// common is nearly a row. Five is what many statistical offices ask for at least.
pub const FEW: u32 = 5;

/// How much of a run leaves, from nothing but its verdict on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// State, return code, kind of error, times.
    Verdict,
    /// Also what it printed, and its results; no rows of data, graphs or files.
    Output,
    /// All, as far as the switches allow it.
    #[default]
    Full,
}

impl Level {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Output => "output",
            Self::Full => "full",
        }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Egress {
    /// How much of a run.
    pub level: Level,
    /// Observations of data files; with [`Level::Full`] only.
    pub rows: bool,
    /// Graphs that runs left; likewise.
    pub graphs: bool,
    /// Other files that runs left; likewise.
    pub files: bool,
    /// Most observations of one answer; 0 = as many as have room.
    pub row_limit: u32,
    /// What fewer observations have in common is not told of data files, and counts are rounded to multiples of it; 0 = all
    /// is told.
    pub min_cell: u32,
    /// Where it was set, for those who are refused something.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub set_in: String,
}

impl Default for Egress {
    fn default() -> Self {
        let set_in = String::new();
        Self { level: Level::Full, rows: true, graphs: true, files: true, row_limit: 0, min_cell: 0, set_in }
    }
}

impl Egress {
    /// Whether everything may leave.
    pub fn is_full(&self) -> bool {
        Self { set_in: String::new(), ..self.clone() } == Self::default()
    }

    /// Whether observations may leave.
    pub fn gives_rows(&self) -> bool {
        self.level == Level::Full && self.rows
    }

    /// Whether graphs may leave.
    pub fn gives_graphs(&self) -> bool {
        self.level == Level::Full && self.graphs
    }

    /// Whether other files may leave.
    pub fn gives_files(&self) -> bool {
        self.level == Level::Full && self.files
    }

    /// The smallest number of observations of which something is told; 0 = of one, too.
    pub fn smallest(&self) -> u32 {
        if self.gives_rows() { self.min_cell } else { self.min_cell.max(FEW) }
    }

    /// What both allow.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let row_limit = match (self.row_limit, other.row_limit) {
            (0, limit) | (limit, 0) => limit,
            (one, two) => one.min(two),
        };
        let both = Self {
            level: self.level.min(other.level),
            rows: self.rows && other.rows,
            graphs: self.graphs && other.graphs,
            files: self.files && other.files,
            row_limit,
            min_cell: self.min_cell.max(other.min_cell),
            set_in: String::new(),
        };
        let same = |one: &Self| Self { set_in: String::new(), ..one.clone() } == both;
        let set_in = match (same(self), same(other)) {
            (true, _) => self.set_in.clone(),
            (false, true) => other.set_in.clone(),
            (false, false) => {
                let both = [self.set_in.as_str(), other.set_in.as_str()];
                both.into_iter().filter(|place| !place.is_empty()).collect::<Vec<_>>().join(" and ")
            }
        };
        Self { set_in, ..both }
    }

    /// As agents tell it. A level that this version does not know is a narrow one: nothing but verdicts leaves.
    pub fn of_wire(rule: Option<&wire::EgressRule>) -> Self {
        let Some(rule) = rule else { return Self::default() };
        let level = match wire::EgressLevel::try_from(rule.level) {
            Ok(wire::EgressLevel::Full) => Level::Full,
            Ok(wire::EgressLevel::Output) => Level::Output,
            Ok(wire::EgressLevel::Verdict) | Err(_) => Level::Verdict,
        };
        Self {
            level,
            rows: !rule.no_rows,
            graphs: !rule.no_graphs,
            files: !rule.no_files,
            row_limit: rule.row_limit,
            min_cell: rule.min_cell,
            set_in: crate::visible::line(&rule.set_in).chars().take(200).collect(),
        }
    }

    /// Likewise; `None` = everything may leave.
    pub fn to_wire(&self) -> Option<wire::EgressRule> {
        let level = match self.level {
            Level::Full => wire::EgressLevel::Full,
            Level::Output => wire::EgressLevel::Output,
            Level::Verdict => wire::EgressLevel::Verdict,
        };
        (!self.is_full()).then(|| wire::EgressRule {
            level: level.into(),
            no_rows: !self.rows,
            no_graphs: !self.graphs,
            no_files: !self.files,
            row_limit: self.row_limit,
            min_cell: self.min_cell,
            set_in: self.set_in.clone(),
        })
    }
}

/// `full rows=off row_limit=50`: what differs from the default.
impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.level.as_str())?;
        for (name, on) in [("rows", self.rows), ("graphs", self.graphs), ("files", self.files)] {
            if !on {
                write!(f, " {name}=off")?;
            }
        }
        for (name, number) in [("row_limit", self.row_limit), ("min_cell", self.min_cell)] {
            if number > 0 {
                write!(f, " {name}={number}")?;
            }
        }
        Ok(())
    }
}

/// The text is no rule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}`: expected full, output or verdict, and after full rows=off, graphs=off, files=off, row_limit=N, min_cell=N with \
     blanks between, such as \"full rows=off min_cell=10\""
)]
pub struct NotARule(String);

impl FromStr for Egress {
    type Err = NotARule;
    fn from_str(text: &str) -> Result<Self, NotARule> {
        let mut rule = Self::default();
        let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
        rule.level = match words.next() {
            Some("full") => Level::Full,
            Some("output") => Level::Output,
            Some("verdict") => Level::Verdict,
            _ => return Err(NotARule(text.to_owned())),
        };
        for word in words {
            let wrong = || NotARule(word.to_owned());
            let (name, value) = word.split_once('=').ok_or_else(wrong)?;
            let on = || match value {
                "on" => Ok(true),
                "off" => Ok(false),
                _ => Err(wrong()),
            };
            // Far above any sensible one, and a bound on what is multiplied by it.
            let number =
                || value.parse::<u32>().ok().filter(|number| (1..=1_000_000).contains(number)).ok_or_else(wrong);
            match name {
                "rows" => rule.rows = on()?,
                "graphs" => rule.graphs = on()?,
                "files" => rule.files = on()?,
                "row_limit" => rule.row_limit = number()?,
                "min_cell" => rule.min_cell = number()?,
                _ => return Err(wrong()),
            }
        }
        Ok(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Egress {
        text.parse().unwrap()
    }

    #[test]
    fn texts() {
        for text in ["full", "output", "verdict", "full rows=off graphs=off files=off row_limit=5 min_cell=10"] {
            assert_eq!(rule(text).to_string(), text);
        }
        assert_eq!(rule("full, rows=off,files=on"), Egress { rows: false, ..Egress::default() });
        for bad in
            ["", "all", "full rows", "full rows=no", "full min_cell=0", "full min_cell=-1", "rows=off", "full x=1"]
        {
            assert!(bad.parse::<Egress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_narrower_of_two() {
        let check = |one: &str, two: &str, want: &str| {
            assert_eq!(rule(one).and(&rule(two)).to_string(), want);
            assert_eq!(rule(two).and(&rule(one)).to_string(), want);
        };
        check("full", "output", "output");
        check("verdict", "full rows=off", "verdict rows=off");
        check("full row_limit=5 min_cell=3", "full row_limit=9", "full row_limit=5 min_cell=3");
        check("full graphs=off", "full files=off min_cell=9", "full graphs=off files=off min_cell=9");
        let at = |text: &str, place: &str| Egress { set_in: place.to_owned(), ..rule(text) };
        assert_eq!(at("output", "a").and(&at("full", "b")).set_in, "a");
        assert_eq!(at("full rows=off", "a").and(&at("full files=off", "b")).set_in, "a and b");
    }

    #[test]
    fn over_the_wire() {
        let narrow = Egress { set_in: "egress in x.toml".into(), ..rule("output min_cell=7") };
        assert_eq!(Egress::of_wire(narrow.to_wire().as_ref()), narrow);
        assert_eq!((Egress::default().to_wire(), Egress::of_wire(None)), (None, Egress::default()));
        let newer = wire::EgressRule { level: 99, ..wire::EgressRule::default() };
        assert_eq!(Egress::of_wire(Some(&newer)).level, Level::Verdict, "a later version's level is a narrow one");
    }

    #[test]
    fn what_is_too_few() {
        let check = |text: &str, want: u32| assert_eq!(rule(text).smallest(), want, "{text}");
        check("full", 0);
        check("full min_cell=3", 3);
        check("full rows=off", FEW);
        check("full rows=off min_cell=3", FEW);
        check("output min_cell=10", 10);
    }
}
