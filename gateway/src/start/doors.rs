//! Where a gateway is reached, and what it shows there.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use crate::{Deps, Options, auth, ca, http, key_store::KeyStore};

/// The URL that clients and agents use. Of an advertised one the scheme is what the port speaks.
pub(super) fn url(options: &Options, addr: SocketAddr, encrypted: bool) -> String {
    let scheme = if encrypted { "https" } else { "http" };
    let url = options.advertise.clone().unwrap_or_else(|| format!("{scheme}://{}", dialable(addr)));
    let url = url.trim_end_matches('/').to_owned();
    match url.strip_prefix("http://") {
        Some(place) if encrypted => {
            tracing::warn!(
                "the port speaks TLS to clients of other machines: {url} is told to them as https://{place}"
            );
            format!("https://{place}")
        }
        _ => url,
    }
}

/// The socket of this user; without it commands use the port.
pub(super) fn local(path: Option<&Path>) -> Option<(http::Local, PathBuf)> {
    let path = path?;
    match http::Local::open(path) {
        Ok(local) => Some((local, path.to_owned())),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "no socket for commands of this user");
            None
        }
    }
}

/// What clients are shown that speak TLS, for the names under which the gateway answers.
pub(super) fn certificates(
    options: &Options,
    keys: &dyn KeyStore,
    addr: SocketAddr,
    deps: &Deps,
) -> Result<Option<ca::Certificates>, ca::TlsError> {
    let f = &options.frontend;
    let advertised = options.advertise.as_deref().unwrap_or_default();
    let names = auth::origin::Allowed::new(addr, advertised, &f.allowed_hosts, &f.allowed_origins);
    ca::open(options, keys, addr, names.hosts(), &deps.clock)
}

/// An address that this machine can dial: a wildcard becomes loopback.
fn dialable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    addr
}
