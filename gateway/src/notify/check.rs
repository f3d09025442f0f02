//! To whom something may be sent: the one place that decides it, at the submission and again before each try.
//!
//! A name is looked up once, all its addresses must be allowed, and the connection goes to one of exactly these: a name that
//! leads elsewhere a moment later gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures_util::future::BoxFuture;
use longhaul_proto::faults;
use reqwest::Url;

use super::{
    NotifyError,
    receiver::{Receiver, Target},
};
use crate::options::notify::NotifyOptions;

/// How names become addresses; tests have their own.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host.
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
    }
}

/// The addresses to which a connection may be made for this URL.
///
/// # Errors
/// Which rule is missing, or that its host is not known.
pub(super) async fn webhook(
    options: &NotifyOptions,
    resolver: &dyn Resolve,
    url: &Url,
) -> Result<Vec<SocketAddr>, NotifyError> {
    if options.allow.is_empty() {
        return Err(NotifyError::NoWebhooks);
    }
    let refused =
        |why: String| NotifyError::NotAllowed { receiver: Receiver::Webhook(Box::new(url.clone())).to_string(), why };
    let target = Target::of(url).ok_or_else(|| refused("it names no host".to_owned()))?;
    let named = |name: &String| options.allow.iter().any(|rule| rule.host(name, target.port, target.plain));
    let by_name = target.name.as_ref().is_some_and(named);
    let addresses = match (&target.name, target.literal) {
        (_, Some(address)) => vec![SocketAddr::new(address, target.port)],
        (Some(name), None) => {
            // A name that no rule could let through is not asked for: who serves it would learn of it.
            if !by_name && !options.allow.iter().any(|rule| rule.any_address(target.port, target.plain)) {
                return Err(refused(no_rule(&target)));
            }
            let looked_up = tokio::time::timeout(options.timeout, resolver.resolve(name, target.port)).await;
            match looked_up {
                Ok(Ok(found)) if !found.is_empty() => found,
                Ok(Ok(_)) => {
                    return Err(NotifyError::Unknown { name: name.clone(), why: "it has no address".to_owned() });
                }
                Ok(Err(error)) => return Err(NotifyError::Unknown { name: name.clone(), why: error.to_string() }),
                Err(_) => {
                    let why = "its look-up takes too long".to_owned();
                    return Err(NotifyError::Unknown { name: name.clone(), why });
                }
            }
        }
        (None, None) => return Err(refused("it names no host".to_owned())),
    };
    if faults::bug("receivers_unchecked") {
        return Ok(addresses);
    }
    for address in &addresses {
        let ip = address.ip();
        let listed = options.allow.iter().any(|rule| rule.address(ip, target.port, target.plain));
        if !listed && !by_name {
            return Err(refused(no_rule(&target)));
        }
        if !listed && !is_public(ip) {
            let name = target.name.as_deref().unwrap_or_default();
            return Err(refused(format!(
                "{name} leads to {ip}, which is no public address, and no network in `notify_allow` has it with port {}",
                target.port
            )));
        }
    }
    Ok(addresses)
}

fn no_rule(target: &Target) -> String {
    let without = if target.plain { " without TLS" } else { "" };
    let whom = target.name.clone().or_else(|| target.literal.map(|ip| ip.to_string())).unwrap_or_default();
    format!("`notify_allow` of the gateway's configuration does not allow {whom} at port {}{without}", target.port)
}

/// The domain of mail must be listed.
///
/// # Errors
/// What is missing.
pub(super) fn mail(options: &NotifyOptions, address: &lettre::Address) -> Result<(), NotifyError> {
    let Some(mail) = &options.mail else { return Err(NotifyError::NoMail) };
    let domain = address.domain().to_ascii_lowercase();
    if mail.domains.contains(&domain) || faults::bug("receivers_unchecked") {
        return Ok(());
    }
    Err(NotifyError::NotAllowed {
        receiver: format!("mailto:{address}"),
        why: format!("`mail_domains` of the gateway's configuration does not have {domain}"),
    })
}

/// Whether an address is one of the public network. What is not known to be public is not: it has to be listed.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// By the IANA IPv4 Special-Purpose Address Registry (RFC 6890 and what updates it).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240)
}

/// Global unicast (2000::/3), without what has an address of version 4 in it and without what is set apart there
/// (IANA IPv6 Special-Purpose Address Registry).
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let global = (0x2000..0x4000).contains(&a);
    // 2001::/23 (Teredo among it), 2001:db8::/32, 2002::/16 (6to4), 3fff::/20 (documentation).
    let apart = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    global && !apart
}
