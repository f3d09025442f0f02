//! The gateway's own secrets and keys.

use std::io;

use longhaul_proto::{
    join::JoinSecret,
    transport::{Key, KeyError},
};

use super::{GATEWAY_KEY, StartError};
use crate::{
    Options, auth,
    key_store::{KeyStore, KeyStoreError},
    notify::secret::SigningKey,
    runs::seal::SealKey,
};

/// What the first start makes.
pub(super) struct Secrets {
    /// What a new agent proves.
    pub(super) join: JoinSecret,
    pub(super) task_key: auth::handles::TaskKey,
    pub(super) seal: SealKey,
    pub(super) signing: SigningKey,
    /// What agents know this gateway by. It is not in the ledger's folder: a lost ledger is rebuilt from the agents.
    pub(super) key: Key,
}

impl Secrets {
    pub(super) fn ensure(keys: &dyn KeyStore, options: &Options) -> Result<Self, StartError> {
        let join = match &options.join_secret {
            Some(text) => JoinSecret::new(text)?,
            None => auth::credentials::join_secret(keys).map_err(|e| StartError::Credentials(e.into()))?,
        };
        let task_key = auth::handles::TaskKey::ensure(keys)?;
        let seal = SealKey::ensure(keys)?;
        let signing = SigningKey::ensure(keys)?;
        // Unlike the others, a new one is a stranger's to the agents: its error says so.
        let no_key = || StartError::Key(KeyError::Content { path: keys.place(GATEWAY_KEY) });
        let pem = match keys.ensure(GATEWAY_KEY, &|| Key::new_pem().map_err(io::Error::other)) {
            Err(KeyStoreError::Content { .. }) => return Err(no_key()),
            kept => kept?,
        };
        let key = Key::from_pem(&pem).map_err(|_| no_key())?;
        Ok(Self { join, task_key, seal, signing, key })
    }
}
