//! What a token permits.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing that a token may permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scope {
    /// Start runs, and read do-files, folders, data files and help on the hosts that take the principal's runs.
    Submit = 1,
    /// Read the principal's own runs.
    ReadOwn = 1 << 1,
    /// Read everybody's runs.
    ReadAll = 1 << 2,
    /// End the principal's own runs.
    CancelOwn = 1 << 3,
    /// End everybody's runs.
    CancelAll = 1 << 4,
    /// Administer the gateway: tokens, agents, hosts, adoption.
    Operate = 1 << 5,
    /// Read who did what.
    Audit = 1 << 6,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Submit, Self::ReadOwn, Self::ReadAll, Self::CancelOwn, Self::CancelAll, Self::Operate, Self::Audit];

    /// Its name in the API and the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::ReadOwn => "read_own",
            Self::ReadAll => "read_all",
            Self::CancelOwn => "cancel_own",
            Self::CancelAll => "cancel_all",
            Self::Operate => "operate",
            Self::Audit => "audit",
        }
    }
}

/// What one token permits: a set of [`Scope`]s, which is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

/// The name of [`Scopes::USE`].
const USE: &str = "use";

impl Scopes {
    /// `use`: what a researcher needs, for runs of their own.
    pub const USE: Self = Self(Scope::Submit as u8 | Scope::ReadOwn as u8 | Scope::CancelOwn as u8);
    /// `operate`: everything. Who makes tokens can give themselves any scope, so this is no set of its own.
    pub const OPERATE: Self = Self((1 << Scope::ALL.len()) - 1);

    /// The set of these.
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |set, &scope| set | scope as u8))
    }

    /// Whether it permits this.
    pub fn may(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }

    /// Whether it permits one of these at least.
    pub fn may_any(self, scopes: &[Scope]) -> bool {
        scopes.iter().any(|&scope| self.may(scope))
    }

    /// Its scopes.
    pub fn list(self) -> Vec<Scope> {
        Scope::ALL.into_iter().filter(|&scope| self.may(scope)).collect()
    }
}

/// Where none are named: for runs of one's own.
impl Default for Scopes {
    fn default() -> Self {
        Self::USE
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::OPERATE {
            return f.write_str(Scope::Operate.as_str());
        }
        let has_use = self.0 & Self::USE.0 == Self::USE.0;
        let rest = Self(if has_use { self.0 & !Self::USE.0 } else { self.0 });
        let mut words: Vec<&str> = rest.list().into_iter().map(Scope::as_str).collect();
        if has_use {
            words.insert(0, USE);
        }
        f.write_str(&words.join(","))
    }
}

impl std::str::FromStr for Scopes {
    type Err = WrongScopes;

    fn from_str(words: &str) -> Result<Self, WrongScopes> {
        let mut set = 0;
        for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            set |= match (word, Scope::ALL.into_iter().find(|scope| scope.as_str() == word)) {
                (USE, _) => Self::USE.0,
                (_, Some(Scope::Operate)) => Self::OPERATE.0,
                (_, Some(scope)) => scope as u8,
                (other, None) => return Err(WrongScopes::Unknown(other.chars().take(64).collect())),
            };
        }
        let set = Self(set);
        let lacks = |scope: Scope, needs: &[Scope]| set.may(scope) && !set.may_any(needs);
        match () {
            () if set.0 == 0 => Err(WrongScopes::None),
            () if lacks(Scope::CancelAll, &[Scope::ReadAll]) => {
                Err(WrongScopes::Lacks { scope: Scope::CancelAll, needs: Scope::ReadAll })
            }
            () if lacks(Scope::CancelOwn, &[Scope::ReadOwn, Scope::ReadAll]) => {
                Err(WrongScopes::Lacks { scope: Scope::CancelOwn, needs: Scope::ReadOwn })
            }
            () => Ok(set),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why words are no scopes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongScopes {
    /// There is no such scope.
    #[error(
        "unknown scope `{0}`: there are submit, read_own, read_all, cancel_own, cancel_all and audit, with commas between; \
         `use` means submit,read_own,cancel_own, and `operate` everything"
    )]
    Unknown(String),
    /// No word at all.
    #[error("no scope is named: `use` is for runs of one's own, `operate` for everything")]
    None,
    /// A run that may not be read cannot be ended.
    #[error("scope `{}` needs `{}` too: a run is found before it is ended", scope.as_str(), needs.as_str())]
    Lacks {
        /// What was named.
        scope: Scope,
        /// What it needs.
        needs: Scope,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_sets() {
        let check = |words: &str, shown: &str, may: &[Scope]| {
            let set: Scopes = words.parse().unwrap();
            assert_eq!((set.to_string(), set.list()), (shown.to_owned(), may.to_vec()), "{words}");
            assert_eq!(shown.parse::<Scopes>().unwrap(), set);
            assert_eq!(Scopes::of(may), set);
        };
        use Scope::{Audit, CancelOwn, ReadAll, ReadOwn, Submit};
        check("use", "use", &[Submit, ReadOwn, CancelOwn]);
        check("operate", "operate", &Scope::ALL);
        check("read_own,operate", "operate", &Scope::ALL);
        check(" submit , read_own ", "submit,read_own", &[Submit, ReadOwn]);
        check("audit,use", "use,audit", &[Submit, ReadOwn, CancelOwn, Audit]);
        check("read_all,cancel_own", "read_all,cancel_own", &[ReadAll, CancelOwn]);
    }

    #[test]
    fn what_is_no_set_of_scopes_is_refused_in_words() {
        let check = |words: &str, told: &str| {
            let error = words.parse::<Scopes>().unwrap_err().to_string();
            assert!(error.contains(told), "{words}: {error}");
        };
        check("", "no scope is named");
        check(",", "no scope is named");
        check("admin", "unknown scope `admin`");
        check("Use", "unknown scope `Use`");
        check("submit,cancel_own", "`cancel_own` needs `read_own` too");
        check("use,cancel_all", "`cancel_all` needs `read_all` too");
    }
}
