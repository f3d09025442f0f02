//! Principals: the identities that own runs, keys and calls.
//!
//! A principal is the pair of an issuer and a subject, so that an identity provider's `ana` is never the `ana` of this
//! gateway's own tokens, whose issuer is [`LOCAL`]. People and logs see one text, its display name:
//!
//! ```text
//! ana                              of this gateway's tokens; also typed as local:ana
//! https://idp.example/lab:ana      of another issuer; `:` and `%` in the subject are shown as %3A and %25
//! ```
//!
//! Different principals have different display names, and a display name parses back to its principal.

use serde::{Deserialize, Serialize};

/// The issuer of the gateway's own tokens.
pub const LOCAL: &str = "local";

/// An issuer and its subject. An empty subject means none: an unverified run has no principal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Principal {
    issuer: String,
    subject: String,
}

/// As records keep it: a local one is its subject alone, as it was before there were issuers.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Local(String),
    Other { issuer: String, subject: String },
}

impl From<Stored> for Principal {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Local(subject) => Self::local(subject),
            Stored::Other { issuer, subject } => Self::new(issuer, subject),
        }
    }
}

impl From<Principal> for Stored {
    fn from(Principal { issuer, subject }: Principal) -> Self {
        if issuer == LOCAL { Self::Local(subject) } else { Self::Other { issuer, subject } }
    }
}

impl Default for Principal {
    fn default() -> Self {
        Self::local("")
    }
}

impl Principal {
    /// The principal of an issuer; an empty issuer is [`LOCAL`], as on the wire.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        let (issuer, subject) = (issuer.into(), subject.into());
        Self { issuer: if issuer.is_empty() { LOCAL.to_owned() } else { issuer }, subject }
    }

    /// The principal of one of the gateway's own tokens.
    pub fn local(subject: impl Into<String>) -> Self {
        Self::new(LOCAL, subject)
    }

    /// Who vouches for the subject.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The issuer in a message: empty for a local principal, so that peers of earlier versions understand it.
    pub fn wire_issuer(&self) -> &str {
        if self.issuer == LOCAL { "" } else { &self.issuer }
    }

    /// Whether it is of the gateway's own tokens.
    pub fn is_local(&self) -> bool {
        self.issuer == LOCAL
    }

    /// The name within the issuer.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether this is no principal.
    pub fn is_none(&self) -> bool {
        self.subject.is_empty()
    }

    /// Whether `text` is the display name of this principal.
    pub fn is_shown_as(&self, text: &str) -> bool {
        self.to_string() == text
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.issuer != LOCAL {
            write!(f, "{}:", self.issuer)?;
        }
        if !self.subject.contains(['%', ':']) {
            return f.write_str(&self.subject);
        }
        f.write_str(&self.subject.replace('%', "%25").replace(':', "%3A"))
    }
}

/// A principal as a person typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// With its issuer.
    Whole(Principal),
    /// A subject alone: the local one, unless several issuers know that subject.
    Bare(String),
}

/// A subject was named without its issuer, and several issuers know it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{subject}` may mean {}: name one of them", candidates.join(" or "))]
pub struct AmbiguousPrincipal {
    /// What was typed.
    pub subject: String,
    /// What it may mean, each in a form that can be typed.
    pub candidates: Vec<String>,
}

impl Typed {
    /// Reads what a person typed: `ana`, or `ISSUER:ana`.
    pub fn read(text: &str) -> Self {
        let plain = |subject: &str| subject.replace("%3A", ":").replace("%25", "%");
        match text.rsplit_once(':') {
            None => Self::Bare(plain(text)),
            Some((issuer, subject)) => Self::Whole(Principal::new(issuer, plain(subject))),
        }
    }

    /// The subject that was typed, with an issuer or without.
    pub fn subject(&self) -> &str {
        match self {
            Self::Whole(principal) => principal.subject(),
            Self::Bare(subject) => subject,
        }
    }

    /// The principal that is meant, given those that are known.
    ///
    /// # Errors
    /// When several known principals have the subject that was typed without an issuer.
    pub fn among<'a>(self, known: impl IntoIterator<Item = &'a Principal>) -> Result<Principal, AmbiguousPrincipal> {
        let subject = match self {
            Self::Whole(principal) => return Ok(principal),
            Self::Bare(subject) => subject,
        };
        let all: std::collections::BTreeSet<_> = known.into_iter().filter(|one| one.subject == subject).collect();
        if all.len() < 2 {
            return Ok(Principal::local(subject));
        }
        let typed = |one: &Principal| if one.issuer == LOCAL { format!("{LOCAL}:{one}") } else { one.to_string() };
        Err(AmbiguousPrincipal { candidates: all.into_iter().map(typed).collect(), subject })
    }

    /// The principal that is meant where what else is known does not matter: a subject alone is the local one.
    pub fn alone(self) -> Principal {
        match self {
            Self::Whole(principal) => principal,
            Self::Bare(subject) => Principal::local(subject),
        }
    }

    /// Whether this names `principal`, where what else is known does not matter: a subject alone is the local one.
    pub fn names(&self, principal: &Principal) -> bool {
        match self {
            Self::Whole(one) => one == principal,
            Self::Bare(subject) => principal.issuer == LOCAL && principal.subject == *subject,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_parses_back_and_differs() {
        let all = [
            Principal::local("ana"),
            Principal::new("https://idp.example:8443/lab", "ana"),
            Principal::new("idp", "a:n%a"),
            Principal::new("idp:a", "n%a"),
            Principal::local("idp:ana"),
            Principal::new("idp", "ana"),
            Principal::local("a%3Ab"),
        ];
        let shown: std::collections::BTreeSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), all.len());
        for one in &all {
            assert_eq!(Typed::read(&one.to_string()).among([]), Ok(one.clone()), "{one}");
            assert!(one.is_shown_as(&one.to_string()));
        }
        assert_eq!(all[0].to_string(), "ana");
        assert_eq!(all[1].to_string(), "https://idp.example:8443/lab:ana");
        assert_eq!(Typed::read("local:ana").among([]), Ok(all[0].clone()));
    }

    #[test]
    fn a_subject_alone_is_the_local_one_unless_several_issuers_know_it() {
        let (here, there, bob) = (Principal::local("ana"), Principal::new("idp", "ana"), Principal::new("idp", "bob"));
        assert_eq!(Typed::read("ana").among([&there]), Ok(here.clone()));
        assert_eq!(Typed::read("bob").among([&here, &there, &bob]), Ok(Principal::local("bob")));
        let error = Typed::read("ana").among([&there, &here, &bob, &here]).unwrap_err();
        assert_eq!(error.to_string(), "`ana` may mean idp:ana or local:ana: name one of them");
        for whole in error.candidates {
            Typed::read(&whole).among([&there, &here]).unwrap();
        }
        assert!(Typed::read("ana").names(&here) && !Typed::read("ana").names(&there));
        assert!(Typed::read("idp:ana").names(&there) && !Typed::read("idp:ana").names(&here));
    }

    #[test]
    fn a_record_keeps_a_local_one_as_before() {
        let check = |principal: Principal, json: &str| {
            assert_eq!(serde_json::to_string(&principal).unwrap(), json);
            assert_eq!(serde_json::from_str::<Principal>(json).unwrap(), principal);
        };
        check(Principal::local("ana"), r#""ana""#);
        check(Principal::default(), r#""""#);
        check(Principal::new("idp", "ana"), r#"{"issuer":"idp","subject":"ana"}"#);
    }
}
