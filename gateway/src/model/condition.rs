//! What may hold of a run besides its state.

use std::collections::BTreeMap;

/// What may hold of a run besides its state, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Attempts before this one died.
    EarlierAttempts,
    /// The gateway's copy of the output cannot be opened.
    CopyUnopened,
    /// The gateway's copy of the output cannot be written.
    CopyFails,
    /// Stata has ended, and the rest of its output is being fetched.
    Collecting,
    /// The gateway's copy differs from what the agent recorded.
    Incomplete,
    /// Its agent is connected and cannot look after it.
    Trouble,
    /// What was deleted on its host, when, and why.
    Released,
}

impl Condition {
    const ALL: [Self; 7] = [
        Self::EarlierAttempts,
        Self::CopyUnopened,
        Self::CopyFails,
        Self::Collecting,
        Self::Incomplete,
        Self::Trouble,
        Self::Released,
    ];

    /// Its name in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EarlierAttempts => "earlier_attempts",
            Self::CopyUnopened => "copy_unopened",
            Self::CopyFails => "copy_fails",
            Self::Collecting => "collecting",
            Self::Incomplete => "incomplete",
            Self::Trouble => "trouble",
            Self::Released => "released",
        }
    }

    /// The condition of this name; `None` = a newer version wrote it.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == name)
    }
}

/// A condition that holds, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Which; `None` = one that only a newer version knows.
    pub condition: Option<Condition>,
    /// In words, for people.
    pub words: String,
}

/// The conditions of a run, with one text for each: set and cleared without touching the others. Those that only a newer
/// version knows are kept and shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions(BTreeMap<Kind, String>);

/// The kind of a condition. Kinds are in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Known(Condition),
    Newer(String),
}

impl Kind {
    fn name(&self) -> &str {
        match self {
            Self::Known(condition) => condition.as_str(),
            Self::Newer(name) => name,
        }
    }
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name().cmp(other.name())
    }
}

impl Conditions {
    /// Sets a condition, replacing its earlier text.
    pub fn set(&mut self, condition: Condition, words: impl Into<String>) {
        self.0.insert(Kind::Known(condition), words.into());
    }

    /// Adds to the text of a condition, unless it says so already.
    pub fn add(&mut self, condition: Condition, words: &str) {
        let text = self.0.entry(Kind::Known(condition)).or_default();
        if !text.contains(words) {
            let between = if text.is_empty() { "" } else { "; " };
            text.push_str(between);
            text.push_str(words);
        }
    }

    /// Clears a condition.
    pub fn clear(&mut self, condition: Condition) {
        self.0.remove(&Kind::Known(condition));
    }

    /// Whether none holds.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that hold, in the order of their names.
    pub fn remarks(&self) -> impl Iterator<Item = Remark> {
        self.0.iter().map(|(kind, words)| Remark {
            condition: match kind {
                Kind::Known(condition) => Some(*condition),
                Kind::Newer(_) => None,
            },
            words: words.clone(),
        })
    }

    /// Conditions by their stored names.
    pub fn from_names(stored: BTreeMap<String, String>) -> Self {
        let kind = |name: String| Condition::of(&name).map_or_else(|| Kind::Newer(name.clone()), Kind::Known);
        Self(stored.into_iter().map(|(name, words)| (kind(name), words)).collect())
    }

    /// Their names and words, to be stored.
    pub fn names(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(kind, words)| (kind.name().to_owned(), words.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_a_newer_version_are_kept_in_their_place() {
        let stored = [("trouble", "t"), ("later", "l"), ("collecting", "c")].map(|(n, w)| (n.to_owned(), w.to_owned()));
        let stored = BTreeMap::from(stored);
        let mut conditions = Conditions::from_names(stored.clone());
        assert_eq!(conditions.names(), stored);
        conditions.clear(Condition::Collecting);
        conditions.set(Condition::Trouble, "other");
        let remarks: Vec<_> = conditions.remarks().map(|remark| (remark.condition, remark.words)).collect();
        assert_eq!(remarks, [(None, "l".to_owned()), (Some(Condition::Trouble), "other".to_owned())]);
    }
}
