//! What can go wrong between this program and the gateway, in words that say what to do.

use std::{path::PathBuf, time::Duration};

use longhaul_proto::{
    api::Problem,
    faults,
    transport::https::{self, Distrust},
};
use reqwest::StatusCode;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The HTTP library could not be set up.
    #[error("cannot set up HTTP")]
    Setup {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// No server answers there, or the connection broke before an answer.
    #[error(
        "cannot reach the gateway at {url} ({}). Runs go on without it. Check that it is up (`longhaul up` or \
         `longhaul gateway` there) and the address (--gateway, LONGHAUL_GATEWAY, `gateway` in the configuration)",
        innermost(source)
    )]
    Unreachable {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Its certificate is not one that this user trusts.
    #[error("the gateway at {url} is not trusted: {}", distrust(*why))]
    Untrusted {
        /// Its address.
        url: String,
        /// What is wrong with it.
        why: Distrust,
    },
    /// Its certificate is of another root than the one that `login` pinned.
    #[error(
        "what answers at {url} is not the gateway that was pinned: another root issued its certificate than the one in {}. Nothing \
         was sent to it. Either the gateway was made anew, or another machine answers in its place: ask its operator for the \
         fingerprint. If it has changed, `longhaul logout {url}` forgets the old root, and `longhaul login {url} --ca-fingerprint \
         SHA256` pins the new one",
        root.display()
    )]
    OtherRoot {
        /// Its address.
        url: String,
        /// The file with the pinned root.
        root: PathBuf,
    },
    /// No answer in time.
    #[error(
        "the gateway at {url} took the call and has not answered within {} s. Runs go on; look with `longhaul runs`",
        limit.as_secs()
    )]
    Silent {
        /// Its address.
        url: String,
        /// How long the client waited.
        limit: Duration,
    },
    /// The answer broke off.
    #[error("the connection broke during the answer; runs go on, so ask again ({})", innermost(source))]
    Broken {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer had fewer bytes than announced.
    #[error("the output broke off before its end; runs go on, so ask again")]
    Short,
    /// A call without a token where one is needed.
    #[error(
        "the gateway at {url} wants a token. On its own machine its user needs none; elsewhere ask its operator for \
         one (`longhaul token add NAME`) and set LONGHAUL_TOKEN, or `token` in the configuration"
    )]
    NoToken {
        /// Its address.
        url: String,
    },
    /// The gateway does not accept the token.
    #[error(
        "the gateway at {url} does not take this token: it is wrong, expired or revoked. Ask its operator for a new \
         one (`longhaul token add NAME`), and see with `longhaul doctor` where this one came from"
    )]
    WrongToken {
        /// Its address.
        url: String,
    },
    /// The gateway refuses, in its own words.
    #[error("{}", if problem.detail.is_empty() { &problem.title } else { &problem.detail })]
    Refused {
        /// What it said.
        problem: Problem,
    },
    /// A file that is to be uploaded cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another server answers there.
    #[error("what answers at {url} is not a Longhaul gateway: check the address (--gateway, LONGHAUL_GATEWAY)")]
    NotAGateway {
        /// The address.
        url: String,
    },
    /// The answer is no object of the API.
    #[error(
        "the gateway at {url} answered with something this version cannot read; is it a gateway, and as new as this program?"
    )]
    Strange {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// What is wrong with a certificate, and what to do.
fn distrust(why: Distrust) -> &'static str {
    match why {
        Distrust::Issuer => {
            "no root that is trusted here has issued its certificate. If it has an authority of its own, `longhaul login \
             URL --ca-fingerprint SHA256` pins that (its operator tells the fingerprint). If another authority has issued it, \
             such as a lab's, name the file with that root: `gateway_ca` in the configuration, or SSL_CERT_FILE for all programs"
        }
        Distrust::Expired => {
            "its certificate has expired. Its operator sees why with `longhaul doctor` there; or is the clock of this \
             machine wrong?"
        }
        Distrust::NotYet => "its certificate is not valid yet: the clock of this machine or of the gateway's is wrong",
        Distrust::Name => {
            "its certificate is for other names. Use a name or address that the gateway knows as its own; its operator adds \
             others with --advertise or `allowed_hosts`"
        }
        Distrust::Other => "its certificate cannot be used",
        Distrust::NoTls => "it speaks no TLS to clients. Write its address with http:// if that is meant",
    }
}

impl ClientError {
    /// The error where no answer came.
    pub(crate) fn no_answer(url: &str, source: reqwest::Error) -> Self {
        let url = url.to_owned();
        match https::distrust(&source) {
            Some(why) => Self::Untrusted { url, why },
            None => Self::Unreachable { url, source },
        }
    }

    /// The same where `login` pinned a root: then one that is not trusted is another one.
    pub(crate) fn of_pinned(self, root: Option<&PathBuf>) -> Self {
        match (self, root) {
            (Self::Untrusted { url, why: Distrust::Issuer }, Some(root)) => Self::OtherRoot { url, root: root.clone() },
            (error, _) => error,
        }
    }

    /// The error that an unsuccessful answer stands for.
    pub(super) fn refused(url: &str, token: Option<&str>, status: StatusCode, body: &[u8]) -> Self {
        let url = url.to_owned();
        match serde_json::from_slice::<Problem>(body) {
            _ if status == StatusCode::UNAUTHORIZED && token.is_some() => Self::WrongToken { url },
            _ if status == StatusCode::UNAUTHORIZED => Self::NoToken { url },
            Ok(problem) => Self::Refused { problem },
            Err(_) => Self::NotAGateway { url },
        }
    }

    /// Whether the gateway may be back soon, so that a follower should try again.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Broken { .. } | Self::Short => true,
            Self::Refused { problem } => problem.status == 503,
            _ => false,
        }
    }

    /// Whether the gateway could not make sense of what it was asked.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Refused { problem } if problem.kind == "bad-request") && !faults::bug("usage_is_a_failure")
    }

    /// The digests of the files that are to be uploaded before the submission is made again.
    pub(crate) fn missing(&self) -> Option<&[String]> {
        match self {
            Self::Refused { problem } if problem.kind == "missing-blobs" => Some(&problem.missing),
            _ => None,
        }
    }

    /// Whether a gateway of an earlier version does not know this field.
    pub(crate) fn knows_no(&self, field: &str) -> bool {
        matches!(self, Self::Refused { problem } if problem.detail.contains(&format!("unknown field `{field}`")))
    }

    /// Whether no server answered.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// The system's own words: reqwest's error says only that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}
