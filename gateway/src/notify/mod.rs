//! What is told when a run ends: every end that was recorded is told to each of its receivers at least once, or given up with
//! a reason that is kept; and nothing is ever sent to an address that the operator did not allow.
//!
//! ```text
//! runs --(one transaction)--> ledger: the end, and a row of the outbox for each receiver
//!                                |
//!        deliver: what is due --> check (rules, addresses) --> webhook | mail --> told, later, or given up
//! ```
//!
//! - [`message`] is what is told: metadata alone; it is made when the end is recorded, and stays as it is;
//! - [`receiver`] is the address of a receiver, and [`check`] decides whether something may be sent there: when it is named,
//!   and again at each try;
//! - [`deliver`] is the one task that sends; what fails is tried again, later each time, for days;
//! - [`webhook`] and [`mail`] are the two ways, and [`secret`] signs the first;
//! - [`own`] is what a person does with receivers of their own.
//!
//! The name of a message is made of the run, the step and the receiver, so that it is the same at each try and after each
//! restart; a receiver that got it twice (its answer was lost, the gateway died before it was noted) knows it by that.

mod check;
mod deliver;
mod mail;
pub mod message;
mod own;
pub mod receiver;
pub mod secret;
#[cfg(test)]
mod tests;
mod webhook;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use longhaul_proto::{sha256_hex, tasks};
use rustls::ClientConfig;
use tokio::sync::{Notify as Wake, OnceCell};

pub use check::{Resolve, System};
pub use own::MAX_RECEIVERS;

use self::{
    mail::Relay,
    message::Message,
    receiver::Receiver,
    secret::{Secret, SigningKey},
    webhook::Post,
};
use crate::{
    Deps, Options,
    audit::Audit,
    ledger::{Ledger, LedgerError, NotificationKey, SigningChange},
    metrics::Metrics,
    model::Principal,
    options::notify::NotifyOptions,
};

/// Most receivers that one request may name.
pub const MAX_NAMED: usize = 8;

/// Why a receiver is not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotifyError {
    /// It makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// No webhook is allowed anywhere.
    #[error(
        "this gateway sends no webhooks: its operator allows receivers with `notify_allow`, such as \
         notify_allow = [\"hooks.lab.org\"]"
    )]
    NoWebhooks,
    /// There is no relay.
    #[error("this gateway sends no mail: its operator sets `smtp_relay`, `mail_from` and `mail_domains`")]
    NoMail,
    /// The rules do not allow it.
    #[error("nothing is sent to {receiver}: {why}; ask the operator of this gateway")]
    NotAllowed {
        /// Whom, without what may be secret.
        receiver: String,
        /// Which rule is missing.
        why: String,
    },
    /// Its name leads nowhere.
    #[error("the receiver's host {name} is not known here: {why}")]
    Unknown {
        /// The name.
        name: String,
        /// The resolver's words.
        why: String,
    },
    /// The person has too many.
    #[error("you have {MAX_RECEIVERS} receivers, the most for one person: remove one first (`longhaul notify remove`)")]
    TooMany,
    /// There is no such receiver of this person.
    #[error("you have no such receiver: `longhaul notify list` shows yours")]
    NotThere,
    /// The secret was shown before.
    #[error("the secret was shown on {0} and is not shown again: `longhaul notify secret --rotate` makes another")]
    Shown(String),
    /// It must be in the audit log, and cannot be.
    #[error("{0}")]
    Unaudited(Arc<crate::audit::NotAudited>),
    /// The ledger could not be read or written.
    #[error("the gateway could not use its ledger: try again, and look at the disk of its data folder and its log")]
    Ledger(#[from] LedgerError),
}

/// Why a try failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// In words, without a URL.
    words: String,
    /// No other try will do.
    last: bool,
    /// The receiver was not reached at all, so that it is left alone for a while.
    silent: bool,
    /// It was not allowed, so that nothing was sent.
    refused: bool,
}

impl Failed {
    fn later(words: impl Into<String>) -> Self {
        Self { words: words.into(), last: false, silent: false, refused: false }
    }

    fn last(words: impl Into<String>) -> Self {
        Self { last: true, ..Self::later(words) }
    }

    fn silent(words: impl Into<String>) -> Self {
        Self { silent: true, ..Self::later(words) }
    }
}

impl From<NotifyError> for Failed {
    fn from(error: NotifyError) -> Self {
        Self { refused: !matches!(error, NotifyError::Unknown { .. }), ..Self::later(error.to_string()) }
    }
}

/// Tells of the ends of runs. Cheap to clone.
#[derive(Clone)]
pub struct Notify(Arc<Inner>);

struct Inner {
    options: Arc<Options>,
    ledger: Arc<dyn Ledger>,
    audit: Audit,
    metrics: Arc<Metrics>,
    deps: Deps,
    key: SigningKey,
    resolver: Arc<dyn Resolve>,
    /// Something may be due.
    wake: Wake,
    /// Made when it is first needed: reading the system's root certificates takes a while.
    tls: OnceCell<ClientConfig>,
    relay: OnceCell<Relay>,
    /// Receivers that were not reached, until when they are left alone, by the monotonic clock.
    silent: Mutex<BTreeMap<String, Duration>>,
    /// How much waits, and since when, as last looked at.
    waiting: Mutex<(u64, i64)>,
}

impl Notify {
    /// Nothing is sent before [`Notify::deliver`] is spawned.
    pub fn new(
        options: Arc<Options>,
        ledger: Arc<dyn Ledger>,
        audit: Audit,
        metrics: Arc<Metrics>,
        deps: Deps,
        key: SigningKey,
    ) -> Self {
        Self::resolving(options, ledger, audit, metrics, deps, key, Arc::new(System))
    }

    fn resolving(
        options: Arc<Options>,
        ledger: Arc<dyn Ledger>,
        audit: Audit,
        metrics: Arc<Metrics>,
        deps: Deps,
        key: SigningKey,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        let notify = Self(Arc::new(Inner {
            options,
            ledger,
            audit,
            metrics,
            deps,
            key,
            resolver,
            wake: Wake::new(),
            tls: OnceCell::new(),
            relay: OnceCell::new(),
            silent: Mutex::default(),
            waiting: Mutex::default(),
        }));
        notify.show();
        notify
    }

    fn options(&self) -> &NotifyOptions {
        &self.0.options.notify
    }

    /// Whether anything may be told anywhere, as this gateway is configured.
    pub fn is_on(&self) -> bool {
        self.options().is_on()
    }

    /// Something may be due now.
    pub fn soon(&self) {
        self.0.wake.notify_one();
    }

    /// The addresses of the receivers that a request names, as they are kept.
    ///
    /// # Errors
    /// The first that makes no sense or is not allowed.
    pub async fn named(&self, texts: &[String]) -> Result<Vec<String>, NotifyError> {
        if texts.len() > MAX_NAMED {
            return Err(NotifyError::Malformed(format!(
                "{} receivers: at most {MAX_NAMED} are told of one run",
                texts.len()
            )));
        }
        let mut addresses = BTreeSet::new();
        for text in texts {
            let receiver = Receiver::parse(text).map_err(NotifyError::Malformed)?;
            self.allowed(&receiver).await?;
            addresses.insert(receiver.address());
        }
        Ok(addresses.into_iter().collect())
    }

    /// Whether something may be sent there now.
    async fn allowed(&self, receiver: &Receiver) -> Result<(), NotifyError> {
        match receiver {
            Receiver::Webhook(url) => check::webhook(self.options(), &*self.0.resolver, url).await.map(drop),
            Receiver::Mail(address) => check::mail(self.options(), address),
        }
    }

    /// Sends a message, if that is allowed now.
    async fn send(&self, principal: &Principal, receiver: &Receiver, id: &str, body: &str) -> Result<(), Failed> {
        let options = self.options();
        match receiver {
            Receiver::Webhook(url) => {
                let addresses = check::webhook(options, &*self.0.resolver, url).await?;
                let tls = self.tls().await.map_err(Failed::later)?;
                let secrets = self.secrets(principal).await.map_err(Failed::from)?;
                let timestamp = self.0.deps.clock.unix_ms() / 1000;
                webhook::post(options, tls, url, &addresses, Post { id, timestamp, body, secrets: &secrets }).await
            }
            Receiver::Mail(address) => {
                check::mail(options, address)?;
                let relay = self.relay().await.map_err(Failed::later)?;
                let message: Message = serde_json::from_str(body)
                    .map_err(|error| Failed::last(format!("what is told cannot be read: {error}")))?;
                relay.send(options, address, id, &message.letter()).await
            }
        }
    }

    /// By what webhooks of a principal are signed now.
    async fn secrets(&self, principal: &Principal) -> Result<Vec<Secret>, NotifyError> {
        let now_ms = self.0.deps.clock.unix_ms();
        let keep = SigningChange::Keep { salt: self.0.deps.ids.name(), at_ms: now_ms };
        let signing = self.0.ledger.signing(principal.clone(), keep).await?;
        let before = Some(&signing.before).filter(|before| !before.is_empty() && signing.before_until_ms > now_ms);
        Ok([&signing.salt].into_iter().chain(before).map(|salt| self.0.key.secret(principal, salt)).collect())
    }

    async fn tls(&self) -> Result<ClientConfig, String> {
        let inner = self.0.clone();
        let make = || async move {
            let made = tasks::blocking(move || webhook::tls(&inner.options.notify)).await;
            made.map_err(|error| error.to_string())?
        };
        self.0.tls.get_or_try_init(make).await.cloned()
    }

    async fn relay(&self) -> Result<Relay, String> {
        let inner = self.0.clone();
        let make = || async move {
            let Some(mail) = inner.options.notify.mail.clone() else { return Err(NotifyError::NoMail.to_string()) };
            let made = tasks::blocking(move || Relay::new(&inner.options.notify, &mail)).await;
            made.map_err(|error| error.to_string())?
        };
        self.0.relay.get_or_try_init(make).await.cloned()
    }

    /// Shows how much waits.
    fn show(&self) {
        use crate::metrics::declared;
        let meters = &self.0.metrics.meters;
        let inner = Arc::downgrade(&self.0);
        meters.observe(&declared::NOTIFY_WAITING, move |told| {
            let Some(inner) = inner.upgrade() else { return };
            told(inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).0 as f64, &[]);
        });
        let inner = Arc::downgrade(&self.0);
        meters.observe(&declared::NOTIFY_OLDEST, move |told| {
            let Some(inner) = inner.upgrade() else { return };
            let (_, since_ms) = *inner.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let age_ms = if since_ms == 0 { 0 } else { (inner.deps.clock.unix_ms() - since_ms).max(0) };
            told(age_ms as f64 / 1000.0, &[]);
        });
    }
}

/// The name of a message, which stays the same. It has no full stop, as the standard asks for.
fn id(of: &NotificationKey) -> String {
    let digest = sha256_hex(format!("{} {} {}", of.run, of.n, of.address).as_bytes());
    format!("end_{}", &digest[..32])
}
