//! What this user has for each gateway: a token, and the root that its certificate is trusted by.
//!
//! For the gateway of the data folder both are in that folder, and commands reach it by a socket (`endpoint.json` says
//! where) that no other user can take the place of. For others `longhaul login` keeps them in `logins.json`
//! there, by URL; settings are stronger than either.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use longhaul_gateway::ca::authority::CERTIFICATE;
use longhaul_proto::{durable, faults, private, sha256_hex};
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    context::{Context, Failure},
};

/// Longest path of a socket, bytes, with the zero at its end: Linux has room for 108, macOS for 104.
const SOCKET_PATH: usize = 104;

/// Most sockets at which an agent looks for its gateway.
const SOCKETS: usize = 64;

/// What a client shows and what it believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// The bearer token.
    pub(crate) token: Option<String>,
    /// The socket by which this user's own gateway is reached, in place of its port.
    pub(crate) socket: Option<PathBuf>,
    /// The only root that may have issued the gateway's certificate; `None` = those of the system.
    pub(crate) root: Option<Root>,
}

/// The certificate of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    /// PEM.
    pub(crate) pem: String,
    /// The file that holds it, for other programs.
    pub(crate) file: PathBuf,
    /// `login` pinned it.
    pub(crate) pinned: bool,
}

/// What `login` keeps for one gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Login {
    /// The pinned root, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<String>,
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

/// What this user has for the gateway at `url`.
///
/// # Errors
/// When a configured file cannot be read.
pub(crate) fn of(context: &Context, url: &str) -> Result<Access, Failure> {
    let socket = socket(context, url);
    let token = token(context, url)?.filter(|token| socket.is_some() || may_send(context, url, token));
    if token.is_some() && socket.is_none() && in_the_clear(context, url) {
        return Err(Failure::usage(format!(
            "{url} is spoken to in the clear, and the token would go with it: every machine on the way could read and use it. \
             Nothing was sent. Give its https address, or, where something else protects the connection, set \
             LONGHAUL_INSECURE_NETWORK=true (`insecure_network` in the configuration)"
        )));
    }
    Ok(Access { token, root: root(context, url)?, socket })
}

/// Whether a token may be sent to a port. The data folder's own goes out in the clear only while a gateway holds the
/// folder, and with it the port: any process may take a port that is free.
pub(crate) fn may_send(context: &Context, url: &str, token: &str) -> bool {
    let own = context.data.credentials().is_some_and(|c| c.token == token);
    let encrypted = url.starts_with("https:");
    !own || encrypted || context.data.gateway_serves().unwrap_or(false) || faults::bug("token_to_any_port")
}

/// Whether what is sent there can be read on the way, and no setting allows it.
fn in_the_clear(context: &Context, url: &str) -> bool {
    let allowed = context.config.settings.insecure_network == Some(true) || faults::bug("token_in_the_clear");
    let uri = url.parse::<http::Uri>().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    !url.starts_with("https:") && !here && !allowed && !is_served(context, url)
}

/// The socket of the gateway at `url`, where that is this user's own and it is there: in a folder that no other user
/// enters, and with a process of this user at its other end, as the kernel says.
fn socket(context: &Context, url: &str) -> Option<PathBuf> {
    let endpoint = context.data.endpoint()?;
    let ours = same(&endpoint.url, url) || context.data.credentials().is_some_and(|c| same(&c.url, url));
    let socket = endpoint.socket.filter(|_| ours && !faults::bug("no_socket"))?;
    private::check_closed(socket.parent()?).ok()?;
    let stream = UnixStream::connect(&socket).ok()?;
    stream.set_nonblocking(true).ok()?;
    // Its reactor is asked for nothing, but without one it cannot be made.
    tokio::runtime::Handle::try_current().ok()?;
    let peer = tokio::net::UnixStream::from_std(stream).ok()?.peer_cred().ok()?;
    (peer.uid() == rustix::process::geteuid().as_raw()).then_some(socket)
}

/// Where the gateway of this data folder has its socket: in the state folder of its user, wherever the data is, since a
/// socket's path must be short and of this machine. `None` = no place is short enough.
pub(crate) fn socket_of(context: &Context) -> Option<PathBuf> {
    let data = context.data.path();
    let state = context.env.path("XDG_STATE_HOME").or_else(|| Some(context.env.path("HOME")?.join(".local/state")));
    let name = format!("{}.sock", &sha256_hex(data.as_os_str().as_encoded_bytes())[..16]);
    let below = |folder: &Path| folder.join("sockets").join(&name);
    let places = [state.map(|state| below(&state.join("longhaul"))), Some(below(data))];
    places.into_iter().flatten().find(|place| place.as_os_str().len() < SOCKET_PATH)
}

/// The sockets of gateways of this user on this machine: that of this data folder first, then those of others.
pub(crate) fn sockets(context: &Context) -> Vec<PathBuf> {
    let Some(own) = socket_of(context) else { return vec![] };
    let folder = own.parent().and_then(|folder| fs::read_dir(folder).ok());
    let is_socket = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "sock");
    let mut others: Vec<PathBuf> =
        folder.into_iter().flatten().flatten().map(|entry| entry.path()).filter(is_socket).collect();
    others.retain(|path| *path != own);
    others.sort();
    own.exists().then_some(own).into_iter().chain(others).take(SOCKETS).collect()
}

/// A client of that gateway with all that this user has for it.
///
/// # Errors
/// When a configured file cannot be read, or HTTP cannot be set up.
pub(crate) fn client(context: &Context, url: &str) -> Result<Client, Failure> {
    Ok(Client::new(url, of(context, url)?)?)
}

/// The token for a gateway: configured, else the data folder's own if it is for that gateway, else what `login` kept.
///
/// # Errors
/// When the configured token file cannot be read.
pub(crate) fn token(context: &Context, url: &str) -> Result<Option<String>, Failure> {
    if let Some(token) = configured_token(context)? {
        return Ok(Some(token));
    }
    let own = context.data.credentials().filter(|c| is_served(context, url) || same(&c.url, url)).map(|c| c.token);
    Ok(own.or_else(|| login(context, url)?.token))
}

/// The token that the settings hold or name.
///
/// # Errors
/// When the token file cannot be read.
pub(crate) fn configured_token(context: &Context) -> Result<Option<String>, Failure> {
    let settings = &context.config.settings;
    if let Some(token) = &settings.token {
        return Ok(Some(token.0.clone()));
    }
    let Some(path) = &settings.token_file else { return Ok(None) };
    let text = fs::read_to_string(path)
        .map_err(|e| Failure::usage(format!("cannot read the token file {}: {e}", path.display())))?;
    Ok(Some(text.trim().to_owned()))
}

/// The root by which a gateway is trusted; `None` = by those of the system, or it speaks no TLS.
fn root(context: &Context, url: &str) -> Result<Option<Root>, Failure> {
    if !url.starts_with("https:") {
        return Ok(None);
    }
    if let Some(file) = &context.config.settings.gateway_ca {
        let pem = fs::read_to_string(file).map_err(|e| {
            Failure::usage(format!("cannot read the root's certificate {} (`gateway_ca`): {e}", file.display()))
        })?;
        return Ok(Some(Root { pem, file: file.clone(), pinned: false }));
    }
    let kept = |file: PathBuf| fs::read_to_string(&file).ok().map(|pem| Root { pem, file, pinned: false });
    let data = context.data.path();
    // A daemon that is not running left only its credentials.
    let stopped = || context.data.endpoint().is_none() && context.data.credentials().is_some_and(|c| same(&c.url, url));
    let issued = context.data.endpoint().is_some_and(|e| e.issued);
    let advertised = || context.data.credentials().is_some_and(|c| same(&c.url, url));
    if (issued && (is_served(context, url) || advertised())) || stopped() {
        return Ok(kept(data.join(CERTIFICATE)));
    }
    Ok(login(context, url).and_then(|login| Some(Root { pem: login.root?, file: root_file(data, url), pinned: true })))
}

/// Whether the daemon of the data folder serves this URL: the one that it listens on.
fn is_served(context: &Context, url: &str) -> bool {
    context.data.endpoint().is_some_and(|e| same(&e.url, url))
}

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

fn login(context: &Context, url: &str) -> Option<Login> {
    read(context.data.path()).remove(&place(url))
}

fn read(data: &Path) -> BTreeMap<String, Login> {
    fs::read(data.join("logins.json")).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Keeps what was learnt of a gateway, and its root for other programs too.
///
/// # Errors
/// When the data folder cannot be written to.
pub(crate) fn keep(data: &Path, url: &str, login: Login) -> io::Result<()> {
    durable::make_folder(data)?;
    let mut all = read(data);
    if let Some(root) = &login.root {
        durable::replace(&root_file(data, url), root.as_bytes())?;
    }
    all.insert(place(url), login);
    durable::replace(&data.join("logins.json"), &serde_json::to_vec_pretty(&all)?)
}

/// Puts another secret of a token where this one is kept; which files have it now.
///
/// # Errors
/// When the data folder cannot be written to.
pub(crate) fn replace_token(data: &Path, before: &str, token: &str) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    if faults::bug("rotated_token_is_not_kept") {
        return Ok(files);
    }
    let own = data.join("credentials.json");
    let read_own = fs::read(&own).ok().and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    if let Some(mut own_token) = read_own.filter(|own| own["token"] == before) {
        own_token["token"] = token.into();
        let mut text = serde_json::to_vec_pretty(&own_token)?;
        text.push(b'\n');
        durable::replace(&own, &text)?;
        files.push(own.display().to_string());
    }
    let mut logins = read(data);
    let mut found = false;
    for login in logins.values_mut().filter(|login| login.token.as_deref() == Some(before)) {
        login.token = Some(token.to_owned());
        found = true;
    }
    if found {
        let file = data.join("logins.json");
        durable::replace(&file, &serde_json::to_vec_pretty(&logins)?)?;
        files.push(file.display().to_string());
    }
    Ok(files)
}

/// Forgets what was kept of a gateway; `false` = nothing was.
///
/// # Errors
/// When the data folder cannot be written to.
pub(crate) fn forget(data: &Path, url: &str) -> io::Result<bool> {
    let mut all = read(data);
    if all.remove(&place(url)).is_none() {
        return Ok(false);
    }
    durable::replace(&data.join("logins.json"), &serde_json::to_vec_pretty(&all)?)?;
    match fs::remove_file(root_file(data, url)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(true),
    }
}

/// Where the root of a gateway is kept for other programs.
fn root_file(data: &Path, url: &str) -> PathBuf {
    let place = place(url);
    let name: String =
        place.trim_start_matches("https://").replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    data.join(format!("ca-{name}.pem"))
}

/// Scheme, host and port of a URL, the port always named.
fn place(url: &str) -> String {
    let uri = url.parse::<http::Uri>().ok();
    let of = |uri: http::Uri| {
        let host = uri.host()?.to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        Some(format!("{}://{host}:{port}", uri.scheme_str()?))
    };
    uri.and_then(of).unwrap_or_else(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_found_again_however_its_url_is_written() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("longhaul");
        let login = Login { root: Some("PEM".into()), token: Some("lh_x".into()) };
        keep(&data, "https://GW.lab/", login.clone()).unwrap();
        keep(&data, "https://gw.lab:7447", Login::default()).unwrap();
        assert_eq!(read(&data).get(&place("https://gw.lab:443")), Some(&login));
        assert_eq!(read(&data).len(), 2);
        let mode = |name: &str| fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("logins.json"), 0o600);
        assert_eq!(fs::read_to_string(root_file(&data, "https://gw.lab")).unwrap(), "PEM");
        assert!(forget(&data, "https://gw.lab").unwrap() && !forget(&data, "https://gw.lab").unwrap());
        assert!(!root_file(&data, "https://gw.lab").exists() && read(&data).len() == 1);
        assert_eq!(root_file(&data, "https://[fd00::2]:7447"), data.join("ca--fd00--2--7447.pem"));
    }
}
