//! This agent's certificate, and the root by which it knows its gateway's.
//!
//! Both are files in the data folder, `certificate.pem` and `ca.pem`. Without the root the gateway is known by its pinned
//! key alone; from the first certificate on, a gateway must show one too, of that root and with the gateway's role.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use longhaul_proto::{
    certificate,
    clock::Clock,
    durable, faults, tasks,
    transport::{Channel, Key, Name, Root, Shown},
    words,
};

/// The root's file.
const ROOT: &str = "ca.pem";
/// The certificate's file: it and its root.
const OWN: &str = "certificate.pem";

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Certificates(Arc<State>);

#[derive(Debug)]
struct State {
    folder: PathBuf,
    /// What is shown; `None` = there is no network (a simulation), and no certificate.
    key: Option<Key>,
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    root: Option<Root>,
    /// Of the certificate that is shown, Unix seconds.
    shown: Option<Times>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    renew_s: i64,
    until_s: i64,
}

impl Certificates {
    /// Reads what is in the agent's folder, and shows the certificate there if it still holds.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn open(folder: &Path, key: Option<Key>, clock: Clock) -> io::Result<Self> {
        let root = read(&folder.join(ROOT))?.into_iter().next().map(Root::new);
        let own = read(&folder.join(OWN))?;
        let state = State { folder: folder.to_owned(), key, clock, kept: Mutex::new(Kept { root, shown: None }) };
        let this = Self(Arc::new(state));
        if let (Some(root), Some(key)) = (this.root(), &this.0.key) {
            let now_s = this.now_s();
            if let Ok((_, validity)) = root.verify(&Shown::from_der(&own), now_s)
                && key.show(&own).is_ok()
            {
                // It is renewed at the first connection: it costs nothing, and the time it was issued at is not kept.
                this.kept().shown = Some(Times { renew_s: now_s, until_s: validity.until_s });
            }
        }
        Ok(this)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_s(&self) -> i64 {
        self.0.clock.unix_ms() / 1000
    }

    fn root(&self) -> Option<Root> {
        self.kept().root.clone()
    }

    /// Whether there is a certificate to show; one that has ended is not shown any more, so that its holder can ask for
    /// another by its key.
    pub(crate) fn shows_one(&self) -> bool {
        let now_s = self.now_s();
        let ended = self.kept().shown.is_some_and(|times| times.until_s <= now_s);
        if ended {
            tracing::warn!("this agent's certificate has ended and was not renewed: it asks for another one");
            self.show_none();
        }
        self.kept().shown.is_some()
    }

    /// Shows the key alone from the next handshake on.
    pub(crate) fn show_none(&self) {
        self.kept().shown = None;
        if let Some(Err(error)) = self.0.key.as_ref().map(Key::show_alone) {
            tracing::error!(error = &error as &dyn std::error::Error, "this agent's key cannot be shown alone");
        }
    }

    /// Whether it is time for another certificate.
    pub(crate) fn is_due(&self) -> bool {
        let now_s = self.now_s();
        self.0.key.is_some() && self.kept().shown.is_none_or(|times| now_s >= times.renew_s)
    }

    /// Checks that a side has shown the certificate of this agent's gateway, where there is a root to check that by. Which
    /// ledger that gateway has is checked by what it says, with words of its own: it may have lost the one before.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub(crate) fn check_gateway(&self, channel: &Channel) -> Result<(), String> {
        match self.root() {
            Some(root) => check(&root, &channel.shown, self.now_s()).map_err(|why| {
                format!(
                    "{why}. If this agent is to work for another gateway, or its gateway's file ca-key was lost: stop it, remove \
                     {} and the file gateway-keys beside it, and join again with an invitation",
                    self.0.folder.join(ROOT).display()
                )
            }),
            None => Ok(()),
        }
    }

    /// Checks that a side is the gateway whose authority has this root, before it is told anything.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub(crate) fn check_inviting(&self, channel: &Channel, fingerprint: &str) -> Result<(), String> {
        let another = |shown: &str| {
            format!(
                "it is not the gateway that made this invitation (whose authority has the root {}…, and not {shown}): check \
                 --gateway, or have an invitation made there with `longhaul agents invite NAME`",
                &fingerprint[..12.min(fingerprint.len())]
            )
        };
        let root = channel.shown.root().ok_or_else(|| another("none"))?;
        if root.fingerprint != fingerprint && !faults::bug("any_inviting_root") {
            return Err(another(&root.fingerprint[..12]));
        }
        check(&root, &channel.shown, self.now_s())
    }

    /// Takes a certificate that the gateway at the other end of this channel has issued, and shows it from the next
    /// handshake on.
    ///
    /// # Errors
    /// When it is not this agent's, or not of the authority by which the gateway is known, or cannot be stored.
    pub(crate) async fn take(&self, chain: Vec<Vec<u8>>, channel: &Channel, agent_id: &str) -> Result<(), String> {
        let Some(key) = &self.0.key else { return Ok(()) };
        let (shown, now_s) = (Shown::from_der(&chain), self.now_s());
        let named = shown.root().ok_or("it came without its root")?;
        let known = self.root();
        let root = known.clone().unwrap_or(named);
        if known.is_none() {
            // The first root is believed of a gateway that has proved itself on this channel, and shows its role by it. Later
            // that was checked when the channel was made; what was shown then may have ended since.
            check(&root, &channel.shown, now_s)?;
        }
        let (name, validity) = root.verify(&shown, now_s).map_err(|why| why.to_string())?;
        if !matches!(&name, Name::Agent { id, .. } if id == agent_id) {
            return Err(format!("it is for {name}, and this is the agent {agent_id}"));
        }
        key.show(&chain).map_err(|error| words::chain(&error))?;
        let renew_s = now_s + certificate::renewal_s(validity.until_s - now_s);
        {
            let mut kept = self.kept();
            kept.shown = Some(Times { renew_s, until_s: validity.until_s });
            kept.root = Some(root.clone());
        }
        let folder = self.0.folder.clone();
        let written = tasks::blocking(move || {
            if known.is_none() {
                durable::replace(&folder.join(ROOT), pem(&[root.der().to_vec()]).as_bytes())?;
            }
            durable::replace(&folder.join(OWN), pem(&chain).as_bytes())
        });
        // Without the file it is asked for again after a restart.
        written.await.flatten().map_err(|error| format!("it could not be stored: {error}"))
    }
}

/// Checks that what was shown names the gateway of this authority.
fn check(root: &Root, shown: &Shown, now_s: i64) -> Result<(), String> {
    match root.verify(shown, now_s).map_err(|why| why.to_string())?.0 {
        Name::Gateway { .. } => Ok(()),
        Name::Agent { .. } if faults::bug("roles_unchecked") => Ok(()),
        Name::Agent { id, .. } => {
            Err(format!("it shows the certificate of an agent ({id}), and only the gateway may call agents"))
        }
    }
}

fn pem(chain: &[Vec<u8>]) -> String {
    let block = |der: &Vec<u8>| {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    chain.iter().map(block).collect()
}

/// The certificates in a file; none where it is missing.
fn read(file: &Path) -> io::Result<Vec<Vec<u8>>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    longhaul_proto::certificate::all_in_pem(&text).ok_or_else(|| {
        let words = format!(
            "{} is no certificate: put it back, or remove it and join again with an invitation",
            file.display()
        );
        io::Error::new(io::ErrorKind::InvalidData, words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nonsense_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(ROOT);
        assert_eq!(read(&file).unwrap(), Vec::<Vec<u8>>::new());
        let chain = vec![vec![7; 300], vec![9; 48]];
        fs::write(&file, pem(&chain)).unwrap();
        assert_eq!(read(&file).unwrap(), chain);
        fs::write(&file, "nothing of the kind").unwrap();
        let error = Certificates::open(folder.path(), None, Clock::system()).unwrap_err();
        assert!(error.to_string().contains("ca.pem") && error.to_string().contains("join again"), "{error}");
    }

    #[test]
    fn without_a_key_there_is_nothing_to_show_or_to_ask_for() {
        let folder = tempfile::tempdir().unwrap();
        let none = Certificates::open(folder.path(), None, Clock::system()).unwrap();
        assert!(!none.shows_one() && !none.is_due());
        let key = Key::generate().unwrap();
        let due = Certificates::open(folder.path(), Some(key), Clock::system()).unwrap();
        assert!(!due.shows_one() && due.is_due());
    }
}
