//! What is written: an event with who caused it and from where.

use std::net::SocketAddr;

use longhaul_proto::{ids::RunId, sha256_hex};
use serde_json::{Map, Value};

use crate::{
    Options,
    model::{Identity, RequestOrigin},
};

/// Longest text of an event, characters; the settings at a start have more.
const TEXT: usize = 300;
const SETTINGS: usize = 12_000;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $word:literal,)+) => {
        /// What happened. The words are for programs and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($(#[doc = $doc])+ $kind,)+ }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The word in the file.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $word,)+ }
            }
        }
    };
}

kinds! {
    /// The gateway started, with these settings.
    Start = "start",
    /// The gateway stopped in order.
    Stop = "stop",
    /// A file begins.
    File = "file",
    /// The oldest file is removed, as there is room for newer ones only.
    Removed = "removed",
    /// Lines could not be written.
    Lost = "lost",
    /// At a start, the log was not as it had been left.
    Broken = "broken",
    /// A run was asked for; `run` is its id, unless `submit_refused` follows, or `joined` where two equal requests came at once.
    Submit = "submit",
    /// An earlier run answered.
    Joined = "joined",
    /// A run was asked for, and there is none.
    SubmitRefused = "submit_refused",
    /// A command changed nothing after its line: `of` is its event, `why` the reason.
    Outcome = "outcome",
    /// The end of a run was asked for.
    Cancel = "cancel",
    /// The agent of a run was declared dead.
    DeclareDead = "declare_dead",
    /// The run of another principal was read.
    Read = "read",
    /// A client of the Model Context Protocol was answered.
    Answer = "answer",
    /// A token was made.
    TokenMade = "token_made",
    /// A token got another secret.
    TokenRotated = "token_rotated",
    /// A token was revoked.
    TokenRevoked = "token_revoked",
    /// A request was refused: its token (401), its rights (403), its host (421).
    Refused = "refused",
    /// Hosts take no new runs.
    Drain = "drain",
    /// Hosts take runs again.
    Resume = "resume",
    /// Hosts are not shown any more.
    HostsForgotten = "hosts_forgotten",
    /// An agent's key was approved.
    AgentApproved = "agent_approved",
    /// An agent's key was revoked.
    AgentRevoked = "agent_revoked",
    /// An agent was invited.
    InvitationMade = "invitation_made",
    /// An invitation was withdrawn.
    InvitationWithdrawn = "invitation_withdrawn",
    /// An agent used an invitation.
    InvitationUsed = "invitation_used",
    /// An agent was refused with its invitation or its certificate.
    AgentRefused = "agent_refused",
    /// An agent's key became known; `joined` says by what.
    AgentJoined = "agent_joined",
    /// An agent that showed none was given a certificate. Renewals have no line: they only let go on what was let in.
    CertificateIssued = "certificate_issued",
    /// A run came from an agent that the ledger did not know.
    Import = "import",
    /// An unverified run was given to its principal.
    Adopt = "adopt",
    /// An operator released the spool of a run.
    Release = "release",
    /// A person is told of the ends of their runs at another address.
    ReceiverAdded = "receiver_added",
    /// No more at this one.
    ReceiverRemoved = "receiver_removed",
    /// A person named a receiver that the gateway does not allow.
    ReceiverRefused = "receiver_refused",
    /// A person read the secret by which their webhooks are signed.
    NotifySecretShown = "notify_secret_shown",
    /// They made another.
    NotifySecretRotated = "notify_secret_rotated",
    /// An operator confirmed the gateway's clock.
    ClockTrusted = "clock_trusted",
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    pub(super) kind: Kind,
    pub(super) principal: Option<String>,
    pub(super) origin: RequestOrigin,
    pub(super) run: Option<RunId>,
    pub(super) trace: Option<String>,
    pub(super) detail: Map<String, Value>,
}

impl Event {
    /// An event of the gateway's own.
    pub fn own(kind: Kind) -> Self {
        let origin = RequestOrigin::default();
        Self { kind, principal: None, origin, run: None, trace: None, detail: Map::new() }
    }

    /// An event that this caller caused.
    pub fn of(kind: Kind, who: &Identity) -> Self {
        Self { principal: Some(who.principal.to_string()), origin: who.origin.clone(), ..Self::own(kind) }
    }

    /// One that a caller caused whose principal is not known.
    pub fn from(kind: Kind, origin: RequestOrigin) -> Self {
        Self { origin, ..Self::own(kind) }
    }

    /// It is about this run.
    pub fn run(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }

    /// With this trace.
    pub fn trace(mut self, trace: Option<&str>) -> Self {
        self.trace = trace.filter(|trace| !trace.is_empty()).map(str::to_owned);
        self
    }

    /// With one more word about it.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let most = if self.kind == Kind::Start { SETTINGS } else { TEXT };
        self.detail.insert(name.to_owned(), cut(value.into(), most));
        self
    }
}

fn cut(value: Value, most: usize) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(most) {
            Some((end, _)) => Value::String(format!("{}…", &text[..end])),
            None => Value::String(text),
        },
        Value::Array(all) => Value::Array(all.into_iter().take(100).map(|one| cut(one, most)).collect()),
        other => other,
    }
}

/// The first event of a gateway: its settings, without secrets, and their digest, by which two starts are compared.
pub fn started(options: &Options, addr: SocketAddr, url: &str, cluster_id: &str) -> Event {
    let mut shown = options.clone();
    shown.join_secret = shown.join_secret.map(|_| "(set, not shown)".to_owned());
    let settings = match options.audit.settings.as_slice() {
        // Made by hand, in a test.
        [] => format!("{shown:?}"),
        told => told.join("; "),
    };
    let event = Event::own(Kind::Start).with("version", env!("CARGO_PKG_VERSION")).with("process", std::process::id());
    let event = event.with("listens", addr.to_string()).with("url", url).with("cluster", cluster_id);
    event.with("settings_sha256", sha256_hex(settings.as_bytes())).with("settings", settings)
}
