//! What the first start makes: a token for the user who started the gateway, and the secret that agents join with.
//!
//! Both are files in the data folder that only their owner can read. The same user's command line finds
//! `credentials.json` there; other people get tokens of their own.

use std::{fs, io, path::Path};

use longhaul_proto::{clock::Clock, durable, faults, join::JoinSecret};
use serde::{Deserialize, Serialize};

use super::token;
use crate::{
    audit::{Audit, Event, Kind, NotAudited},
    key_store::{self, KeyStore, KeyStoreError},
    ledger::{LedgerError, TokenRecord, TokenStore},
    model::{Principal, Scopes, TokenLimits},
};

/// Name of the file with the local user's token.
pub const CREDENTIALS: &str = "credentials.json";
/// Name of the file with the secret that agents join with.
pub const JOIN_SECRET: &str = "join-secret";

/// Content of `credentials.json`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The gateway's URL.
    pub url: String,
    /// The bearer token.
    pub token: String,
    /// The principal it stands for.
    pub principal: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("url", &self.url)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

/// Why the credentials could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file of the data folder is no use.
    #[error(transparent)]
    File(#[from] KeyStoreError),
    /// The token could not be recorded.
    #[error("cannot record the first token")]
    Ledger(#[from] LedgerError),
    /// What would be made has no line in the audit log.
    #[error("cannot make the operator's token")]
    Audit(#[from] NotAudited),
}

/// The local user's credentials: those in the file while the ledger knows their token, else new ones. The URL in the
/// file is updated to the gateway's. The second value is whether the token is new.
///
/// # Errors
/// When a file or the ledger cannot be read or written.
pub async fn ensure(
    data: &Path,
    url: &str,
    ledger: &dyn TokenStore,
    clock: &Clock,
    audit: &Audit,
) -> Result<(Credentials, bool), CredentialsError> {
    let path = data.join(CREDENTIALS);
    let failed = |source| KeyStoreError::File { path: path.clone(), source };
    let kept = match fs::read(&path) {
        Ok(bytes) => Some(
            serde_json::from_slice::<Credentials>(&bytes).map_err(|_| KeyStoreError::Content { path: path.clone() })?,
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error).into()),
    };
    if let Some(mut kept) = kept
        && let sha256 = token::digest(&kept.token)
        && let Some(record) = ledger.token_find(&sha256).await?
        && record.revoked_ms.is_none()
        && record.ends_ms(&sha256).is_none_or(|at| at > clock.unix_ms())
    {
        if kept.url != url {
            url.clone_into(&mut kept.url);
            write(&path, &kept).map_err(failed)?;
        }
        return Ok((kept, false));
    }
    let made = Credentials {
        url: url.to_owned(),
        token: token::generate().map_err(KeyStoreError::Random)?,
        principal: os_user(),
    };
    let record = record(clock, &made);
    if !faults::bug("made_without_a_line") {
        let event = Event::own(Kind::TokenMade).with("token", record.name.clone());
        let event = event.with("principal", record.principal.to_string()).with("scope", record.scopes.to_string());
        audit.must(event.with("at", "the gateway's start")).await?;
    }
    // The file first: a token in the ledger without its file is useless, and the next start makes another.
    write(&path, &made).map_err(failed)?;
    ledger.token_add(record).await?;
    Ok((made, true))
}

fn record(clock: &Clock, made: &Credentials) -> TokenRecord {
    let sha256 = token::digest(&made.token);
    // Names are unique, so the start of the digest distinguishes the local tokens of several first starts.
    let name = format!("local-{}", &sha256[..8]);
    let (principal, now) = (Principal::local(&*made.principal), clock.unix_ms());
    TokenRecord {
        name,
        principal,
        sha256,
        scopes: Scopes::OPERATE,
        limits: TokenLimits::default(),
        created_ms: now,
        expires_ms: None,
        revoked_ms: None,
        rotated_ms: None,
        before: None,
    }
}

fn write(path: &Path, credentials: &Credentials) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(credentials)?;
    text.push(b'\n');
    durable::replace(path, &text)
}

/// The join secret, named [`JOIN_SECRET`], made when missing.
///
/// # Errors
/// When it cannot be read or stored, or is no secret.
pub fn join_secret(keys: &dyn KeyStore) -> Result<JoinSecret, KeyStoreError> {
    let text = keys.ensure(JOIN_SECRET, &key_store::random)?;
    JoinSecret::new(&text).map_err(|_| KeyStoreError::Content { path: keys.place(JOIN_SECRET) })
}

/// The name of the user who runs this process, according to the system.
pub fn os_user() -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    // Directory services are not in that file; the name from the log-in is then the best there is.
    named.or_else(|| std::env::var("USER").ok().filter(|u| !u.is_empty())).unwrap_or_else(|| format!("uid-{uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_join_secret_is_made_once() {
        let data = tempfile::tempdir().unwrap();
        let keys = key_store::Folder::new(data.path());
        join_secret(&keys).unwrap();
        let first = fs::read(keys.place(JOIN_SECRET)).unwrap();
        join_secret(&keys).unwrap();
        assert_eq!(fs::read(keys.place(JOIN_SECRET)).unwrap(), first);
        fs::write(keys.place(JOIN_SECRET), "short").unwrap();
        assert!(matches!(join_secret(&keys), Err(KeyStoreError::Content { .. })));
    }

    #[test]
    fn somebody_runs_this() {
        assert!(!os_user().is_empty());
    }
}
