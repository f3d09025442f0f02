//! Which risky commands the administrator of a host wants a person to agree to.

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::{Risk, RiskKind};

/// The kinds; empty = none, which is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirm(BTreeSet<RiskKind>);

/// Why a text is no such list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no kind of risky command: they are shell, erase, install, network, python, plugin, and all for every one"
)]
pub struct NotARule(String);

impl Confirm {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of these must be agreed to.
    pub fn asks_for(&self, risks: &[Risk]) -> bool {
        risks.iter().any(|risk| self.0.contains(&risk.kind))
    }

    /// Whether one of the kinds with these words must be agreed to.
    pub fn asks_for_kind(&self, words: &[String]) -> bool {
        self.0.iter().any(|kind| words.iter().any(|word| word == kind.as_str()))
    }

    /// Those that must be agreed to.
    pub fn asked<'a>(&self, risks: &'a [Risk]) -> Vec<&'a Risk> {
        risks.iter().filter(|risk| self.0.contains(&risk.kind)).collect()
    }

    /// What either asks.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.0.extend(&other.0);
        self
    }

    /// As agents tell it.
    pub fn to_wire(&self) -> Vec<String> {
        self.0.iter().map(|kind| kind.as_str().to_owned()).collect()
    }

    /// As agents tell it; kinds of later versions are not known here, and the agent asks for them itself.
    pub fn of_wire(words: &[String]) -> Self {
        Self(words.iter().filter_map(|word| RiskKind::of(word)).collect())
    }
}

impl FromStr for Confirm {
    type Err = NotARule;
    fn from_str(text: &str) -> Result<Self, NotARule> {
        let mut kinds = BTreeSet::new();
        for word in text.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty()) {
            match (word, RiskKind::of(word)) {
                ("all", _) => kinds.extend(RiskKind::ALL),
                ("none", _) => {}
                (_, Some(kind)) => {
                    kinds.insert(kind);
                }
                (_, None) => return Err(NotARule(word.to_owned())),
            }
        }
        Ok(Self(kinds))
    }
}

impl fmt::Display for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0 => f.write_str("none"),
            n if n == RiskKind::ALL.len() => f.write_str("all"),
            _ => f.write_str(&self.to_wire().join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_written() {
        let read = |text: &str| text.parse::<Confirm>().map(|rule| rule.to_string());
        assert_eq!(read("erase,shell").as_deref(), Ok("shell,erase"));
        assert_eq!(read("all").as_deref(), Ok("all"));
        assert_eq!(read("none").as_deref(), Ok("none"));
        assert!(read("rm").unwrap_err().to_string().contains("shell, erase, install"));
        let rule: Confirm = "python".parse().unwrap();
        assert!(
            rule.asks_for(&super::super::of_code(b"python\nend")) && !rule.asks_for(&super::super::of_code(b"rm x"))
        );
        assert_eq!(Confirm::of_wire(&rule.to_wire()), rule);
        assert_eq!(rule.or(&"shell".parse().unwrap()).to_string(), "shell,python");
    }
}
