//! The data folder, as a client of the same user sees it: the gateway that serves it, its address, and the token.
//!
//! ```text
//! gateway/lock       held by the gateway that serves this folder; a lock dies with its holder, a pid file does not
//! endpoint.json      {url, pid} of that gateway
//! credentials.json   {url, token, principal} of the folder's owner
//! ca.pem             the root of its certificate, where it has an authority of its own
//! logins.json        {URL: {token, root}} of gateways elsewhere (access.rs)
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use longhaul_proto::durable;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Env};

/// Where the gateway that serves this folder can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// Its URL.
    pub(crate) url: String,
    /// Its process id, for people.
    pub(crate) pid: u32,
    /// It runs inside a command and ends with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) embedded: bool,
    /// The socket by which commands of this user reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) socket: Option<PathBuf>,
    /// Its certificate was issued by the authority in this folder.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) issued: bool,
    /// What its operator should know of it, in words; `None` = not all of it serves yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notices: Option<Vec<String>>,
}

/// The fields of `credentials.json` that a client needs.
#[derive(Clone, Deserialize)]
pub(crate) struct Credentials {
    /// The URL of the gateway they are for.
    pub(crate) url: String,
    /// The bearer token.
    pub(crate) token: String,
}

/// A data folder.
#[derive(Clone, Debug)]
pub(crate) struct Data(PathBuf);

/// There is no place for a data folder.
#[derive(Debug, thiserror::Error)]
#[error("neither XDG_STATE_HOME nor HOME is set, so there is no default data folder: give one with --data")]
pub(crate) struct NoDefault;

impl Data {
    /// The configured folder, else `$XDG_STATE_HOME/longhaul`, else `~/.local/state/longhaul`.
    ///
    /// # Errors
    /// When neither variable is set.
    pub(crate) fn of(config: &Config, env: &Env) -> Result<Self, NoDefault> {
        if let Some(folder) = &config.settings.data {
            // Absolute, because supervisors and spools are named by it and start in another folder.
            return Ok(Self(std::path::absolute(folder).unwrap_or_else(|_| folder.clone())));
        }
        let state = env.path("XDG_STATE_HOME").or_else(|| Some(env.path("HOME")?.join(".local/state")));
        state.map(|s| Self(s.join("longhaul"))).ok_or(NoDefault)
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether a gateway serves this folder now.
    ///
    /// # Errors
    /// When its lock cannot be checked, such as in another user's folder.
    pub(crate) fn gateway_serves(&self) -> io::Result<bool> {
        longhaul_agent::os::is_locked(&self.0.join("gateway/lock"))
    }

    /// Whether a gateway has ever kept its record here.
    pub(crate) fn has_record(&self) -> bool {
        self.0.join("gateway/ledger.sqlite").exists()
    }

    /// Whether an agent has ever worked here, so that its runs may be among the records.
    pub(crate) fn has_agent(&self) -> bool {
        self.0.join("agent/agent-id").exists()
    }

    /// Whether an agent works in this folder now.
    ///
    /// # Errors
    /// As [`Data::gateway_serves`].
    pub(crate) fn agent_works(&self) -> io::Result<bool> {
        longhaul_agent::os::is_locked(&self.0.join("agent/lock"))
    }

    /// The address that the gateway wrote down; `None` if there is none yet.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        read(&self.0.join("endpoint.json"))
    }

    /// Writes down where this process can be reached.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write_endpoint(&self, endpoint: &Endpoint) -> io::Result<()> {
        durable::replace(&self.0.join("endpoint.json"), &serde_json::to_vec(endpoint)?)
    }

    /// Removes that file, if it is still ours.
    pub(crate) fn remove_endpoint(&self, endpoint: &Endpoint) {
        if self.endpoint().is_some_and(|there| (&there.url, there.pid) == (&endpoint.url, endpoint.pid)) {
            // A stale file misleads no client: the lock says whether a gateway serves.
            let _ = fs::remove_file(self.0.join("endpoint.json"));
        }
    }

    /// The gateway of the agent that worked here last.
    pub(crate) fn agents_gateway(&self) -> Option<String> {
        let url = fs::read_to_string(self.0.join("agent/gateway")).ok()?;
        Some(url.trim().to_owned()).filter(|url| !url.is_empty())
    }

    /// Writes down the gateway of the agent that works here, for `doctor`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write_agents_gateway(&self, url: &str) -> io::Result<()> {
        if self.agents_gateway().as_deref() == Some(url) {
            return Ok(());
        }
        durable::replace(&self.0.join("agent/gateway"), format!("{url}\n").as_bytes())
    }

    /// The owner's token.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        read(&self.0.join("credentials.json"))
    }

    /// The line in `join-secret`.
    pub(crate) fn join_secret(&self) -> Option<String> {
        fs::read_to_string(self.0.join("join-secret")).ok().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty())
    }
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn the_folder_is_found() {
        fn check(data: Option<&str>, env: &[(&str, &str)], want: Option<&str>) {
            let settings = Settings { data: data.map(PathBuf::from), ..Settings::default() };
            let config = Config { settings, ..Config::default() };
            let got = Data::of(&config, &Env::from_pairs(env.iter().copied())).ok();
            assert_eq!(got.map(|d| d.0), want.map(PathBuf::from), "{data:?} {env:?}");
        }
        check(Some("/d"), &[("HOME", "/h")], Some("/d"));
        check(None, &[("HOME", "/h"), ("XDG_STATE_HOME", "/s")], Some("/s/longhaul"));
        check(None, &[("HOME", "/h"), ("XDG_STATE_HOME", "relative")], Some("/h/.local/state/longhaul"));
        check(None, &[("HOME", "/h")], Some("/h/.local/state/longhaul"));
        check(None, &[], None);
    }

    #[test]
    fn an_endpoint_is_removed_by_its_writer_only() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data(folder.path().to_path_buf());
        let ours = Endpoint {
            url: "http://127.0.0.1:1".into(),
            pid: 1,
            embedded: false,
            socket: None,
            issued: false,
            notices: None,
        };
        let theirs = Endpoint {
            url: "http://127.0.0.1:2".into(),
            pid: 2,
            embedded: true,
            notices: Some(vec![]),
            ..ours.clone()
        };
        data.write_endpoint(&theirs).unwrap();
        data.remove_endpoint(&ours);
        assert_eq!(data.endpoint(), Some(theirs.clone()));
        data.remove_endpoint(&theirs);
        assert_eq!(data.endpoint(), None);
        assert!(!data.gateway_serves().unwrap());
    }
}
