//! Settings that are words with a meaning of their own: the audit log's, what may leave to AI clients, and what a person must
//! agree to.

use longhaul_proto::{
    egress::{Egress, NotARule},
    risk::{self, Confirm},
};

use super::values::{Given, Value};

/// What happens when the audit log cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AuditMode {
    /// It is told, and everything goes on.
    On,
    /// What must be in it is refused.
    Required,
}

impl Value for AuditMode {
    fn read(given: Given) -> Result<Self, String> {
        match given {
            Given::Text(text) if text.trim() == "on" => Ok(Self::On),
            Given::Text(text) if text.trim() == "required" => Ok(Self::Required),
            _ => Err("expected on or required".into()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::On => "on".to_owned(),
            Self::Required => "required".to_owned(),
        }
    }
}

/// How the way to the mail relay is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SmtpTls {
    /// By STARTTLS, which must be there.
    Starttls,
    /// From the first byte.
    On,
    /// Not at all.
    Off,
}

impl Value for SmtpTls {
    fn read(given: Given) -> Result<Self, String> {
        match given {
            Given::Text(text) if text.trim() == "starttls" => Ok(Self::Starttls),
            Given::Text(text) if text.trim() == "on" => Ok(Self::On),
            Given::Text(text) if text.trim() == "off" => Ok(Self::Off),
            _ => Err("expected starttls, on or off".into()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Starttls => "starttls".to_owned(),
            Self::On => "on".to_owned(),
            Self::Off => "off".to_owned(),
        }
    }
}

impl Value for Egress {
    fn read(given: Given) -> Result<Self, String> {
        let Given::Text(text) = given else { return Err("expected a text such as \"full rows=off\"".into()) };
        text.parse().map_err(|error: NotARule| error.to_string())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Confirm {
    fn read(given: Given) -> Result<Self, String> {
        let Given::Text(text) = given else { return Err("expected a text such as \"shell,erase\"".into()) };
        text.parse().map_err(|error: risk::NotARule| error.to_string())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}
