//! Whose runs an agent takes (`--serve`, `--serve-all`), and what its owner can do about that.

use std::collections::BTreeSet;

use crate::model::{Principal, Typed};

/// Whose runs an agent takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum AllowedPrincipals {
    /// Those of all principals.
    #[default]
    Everybody,
    /// Those of the principals named in the agent's `--serve`.
    Told(Vec<Principal>),
    /// A name in the agent's `--serve` may mean several principals: none, until that is mended. The candidates, in
    /// words.
    Unclear(String),
    /// The agent has neither `--serve` nor `--serve-all`, and there are several principals: those of the first
    /// operator.
    First(Principal),
}

fn joined(names: &[Principal], separator: &str) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

impl AllowedPrincipals {
    /// What an agent's `--serve` means, where these principals are known.
    pub(crate) fn told(names: &[String], known: &BTreeSet<Principal>) -> Self {
        match names.iter().map(|name| Typed::read(name).among(known)).collect() {
            Ok(named) => Self::Told(named),
            Err(ambiguous) => Self::Unclear(ambiguous.to_string()),
        }
    }

    /// Whether it takes the runs of this principal.
    pub(super) fn takes(&self, principal: &Principal) -> bool {
        match self {
            Self::Everybody => true,
            Self::Told(names) => names.contains(principal),
            Self::First(name) => name == principal,
            Self::Unclear(_) => false,
        }
    }

    /// Why it refuses the runs of this principal and what to do.
    pub(super) fn refusal(&self, host: &str, principal: &Principal) -> String {
        match self {
            Self::Told(names) => format!(
                "agent {host} takes the runs of {} only: ask its owner to start it with --serve {},{principal}, or cancel \
                 this run and submit it elsewhere",
                joined(names, ", "),
                joined(names, ",")
            ),
            Self::Everybody | Self::First(_) | Self::Unclear(_) => self.note(host).unwrap_or_default(),
        }
    }

    /// What a person should know of an agent whose `--serve` is missing or unclear.
    pub(crate) fn note(&self, host: &str) -> Option<String> {
        let name = match self {
            Self::Everybody | Self::Told(_) => return None,
            Self::Unclear(words) => return Some(format!("agent {host} takes no runs: in its --serve, {words}")),
            Self::First(name) => name,
        };
        Some(format!(
            "agent {host} takes the runs of {name} only, since this gateway has several principals and the agent was not told \
             whom to serve: start it with --serve NAME,... or --serve-all"
        ))
    }

    /// The names, if it does not serve everybody.
    pub(crate) fn names(&self) -> Option<Vec<String>> {
        match self {
            Self::Everybody => None,
            Self::Told(names) => Some(names.iter().map(ToString::to_string).collect()),
            Self::First(name) => Some(vec![name.to_string()]),
            Self::Unclear(_) => Some(Vec::new()),
        }
    }
}
