//! Which gateways this agent takes calls from: the fingerprints of their keys, one a line, in its data folder.
//!
//! An agent that is configured with its gateway pins the key that answers there when it has proved the join secret, and
//! takes calls from no other: a process that merely holds the secret (another agent does) cannot pose as its gateway.
//! An agent without a configured gateway is dialled by one; it pins the first that proves the secret.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::{durable, faults, transport::Fingerprint};

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pins(Arc<PinFile>);

#[derive(Debug)]
struct PinFile {
    file: PathBuf,
    keys: Mutex<Vec<Fingerprint>>,
    contact: Contact,
}

/// Who makes the first contact between this agent and its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contact {
    /// The agent: it is configured with its gateway, and dials it.
    Agent,
    /// A gateway, which dials the agent.
    Gateway,
}

/// What a key is to this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The gateway's key.
    Pinned,
    /// No key is pinned yet: this may be the first, if it proves the secret.
    First,
    /// Another key.
    Other,
}

impl Pins {
    /// Reads the pins of a data folder.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a list of pins.
    pub(crate) fn open(folder: &Path, contact: Contact) -> io::Result<Self> {
        let file = folder.join("gateway-keys");
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = lines.map(str::parse).collect::<Result<_, _>>().map_err(|_| {
            let words =
                format!("{} holds a line that is no fingerprint: put it back, or remove the file", file.display());
            io::Error::new(io::ErrorKind::InvalidData, words)
        })?;
        Ok(Self(Arc::new(PinFile { file, keys: Mutex::new(keys), contact })))
    }

    fn find(&self, key: &Fingerprint) -> Option<Known> {
        let keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.contains(key) {
            return Some(Known::Pinned);
        }
        (!keys.is_empty()).then_some(Known::Other)
    }

    /// Whether there is a gateway already.
    pub(crate) fn any(&self) -> bool {
        !self.0.keys.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Checks the key that answers where this agent dials.
    pub(crate) fn dialled(&self, key: &Fingerprint) -> Known {
        self.find(key).unwrap_or(Known::First)
    }

    /// Checks the key of a caller.
    pub(crate) fn calls(&self, key: &Fingerprint) -> Known {
        match self.find(key) {
            // The deliberate bug: every caller that proves the secret is a gateway.
            Some(Known::Other) | None if faults::bug("any_gateway") => Known::First,
            Some(known) => known,
            None if self.0.contact == Contact::Agent => Known::Other,
            None => Known::First,
        }
    }

    /// Pins a key, durably.
    ///
    /// # Errors
    /// Any failure of the file system; the key is not pinned then.
    pub(crate) fn pin(&self, key: Fingerprint) -> io::Result<()> {
        let mut keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.contains(&key) {
            let mut all = keys.clone();
            all.push(key);
            let text = all.iter().map(|key| format!("{key}\n")).collect::<String>();
            durable::replace(&self.0.file, text.as_bytes())?;
            *keys = all;
        }
        Ok(())
    }

    /// The refusal of another key, in words for this agent's operator.
    pub(crate) fn words(&self, key: &Fingerprint) -> String {
        format!(
            "its key ({}) is not that of this agent's gateway. If the gateway's key was lost, or this is another gateway on \
             purpose: stop the agent, remove {} and start it again. Otherwise it is not your gateway",
            key.short(),
            self.0.file.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Fingerprint {
        Fingerprint([n; 32])
    }

    #[test]
    fn the_first_gateway_stays_the_one() {
        let folder = tempfile::tempdir().unwrap();
        for contact in [Contact::Agent, Contact::Gateway] {
            let pins = Pins::open(folder.path(), contact).unwrap();
            assert_eq!(pins.dialled(&key(1)), Known::First);
            assert_eq!(pins.calls(&key(1)), if contact == Contact::Agent { Known::Other } else { Known::First });
        }
        Pins::open(folder.path(), Contact::Agent).unwrap().pin(key(1)).unwrap();
        let pins = Pins::open(folder.path(), Contact::Agent).unwrap();
        pins.pin(key(1)).unwrap();
        for (which, known) in [(1, Known::Pinned), (2, Known::Other)] {
            assert_eq!((pins.dialled(&key(which)), pins.calls(&key(which))), (known, known));
        }
        assert!(pins.words(&key(2)).contains("gateway-keys"));
        let file = folder.path().join("gateway-keys");
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", key(1)));
        fs::write(&file, "# by hand\n\nnonsense\n").unwrap();
        assert!(Pins::open(folder.path(), Contact::Agent).unwrap_err().to_string().contains("remove the file"));
    }
}
