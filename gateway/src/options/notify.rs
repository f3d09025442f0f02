//! Settings of what is told when runs end: whom it may be told, and by which relay mail goes.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use super::proxies::Network;

/// Settings of notifications. None are sent by default.
#[derive(Clone, Debug)]
pub struct NotifyOptions {
    /// To whom webhooks may be sent.
    pub allow: Vec<Allowed>,
    /// Root certificates by which receivers and the relay are trusted besides the system's, PEM; empty = none.
    pub ca: String,
    /// By what mail goes; `None` = there is no mail.
    pub mail: Option<MailOptions>,
    /// The wait after the first try that failed, and the longest; it doubles.
    pub retry: (Duration, Duration),
    /// What could not be told for so long is given up.
    pub give_up: Duration,
    /// Limit of one try, from looking up a name to the answer.
    pub timeout: Duration,
    /// What was told or given up is remembered for so long.
    pub keep: Duration,
}

impl Default for NotifyOptions {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            allow: Vec::new(),
            ca: String::new(),
            mail: None,
            retry: (s(10), s(3600)),
            give_up: s(3 * 24 * 3600),
            timeout: s(15),
            keep: s(30 * 24 * 3600),
        }
    }
}

impl NotifyOptions {
    /// Whether anything may be told anywhere.
    pub fn is_on(&self) -> bool {
        !self.allow.is_empty() || self.mail.is_some()
    }
}

/// The relay for mail.
#[derive(Clone)]
pub struct MailOptions {
    /// Its host, a name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is encrypted.
    pub tls: MailTls,
    /// User and password, where it asks for them.
    pub user: Option<(String, String)>,
    /// The sender of all mail.
    pub from: String,
    /// The domains to which mail may go, in small letters.
    pub domains: Vec<String>,
}

impl MailOptions {
    /// The sender must be an address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        self.from.parse::<lettre::Address>().map(drop).map_err(|error| error.to_string())
    }
}

impl fmt::Debug for MailOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|(user, _)| user);
        write!(
            f,
            "MailOptions({}:{}, {:?}, {user:?}, {}, {:?})",
            self.host, self.port, self.tls, self.from, self.domains
        )
    }
}

/// How the way to the relay is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// By STARTTLS, which must be there.
    StartTls,
    /// From the first byte.
    Tls,
    /// Not at all.
    Off,
}

/// To whom webhooks may be sent: a host by its name, or all addresses of a network, at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Who.
    pub who: Who,
    /// The port.
    pub port: u16,
    /// Without TLS too.
    pub plain: bool,
}

/// A host or a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A host of this name, in small letters, as long as its addresses are public or in a network that is allowed too.
    Host(String),
    /// Whatever has an address in it.
    Network(Network),
}

/// The text allows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}`: expected a host or a network with a port, such as hooks.lab.org, hooks.lab.org:8443, 10.0.0.0/8:443 or \
     [fd00::/8]:443 (without one 443 is meant); with http:// before it where TLS is not needed, such as http://10.0.0.7:8080"
)]
pub struct NotAllowing(String);

impl FromStr for Allowed {
    type Err = NotAllowing;

    fn from_str(text: &str) -> Result<Self, NotAllowing> {
        let wrong = || NotAllowing(text.to_owned());
        let whole = text.trim();
        let (rest, plain) = match (whole.strip_prefix("http://"), whole.strip_prefix("https://")) {
            (Some(rest), _) => (rest, true),
            (None, Some(rest)) => (rest, false),
            (None, None) => (whole, false),
        };
        let (name, port) = match rest.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
            Some((name, "")) => (name, None),
            Some((name, port)) => (name, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            // An address of version 6 without brackets has no port.
            None if rest.matches(':').count() > 1 => (rest, None),
            None => rest.rsplit_once(':').map_or((rest, None), |(name, port)| (name, Some(port))),
        };
        let default = if plain { 80 } else { 443 };
        let port = port.map_or(Ok(default), |port| port.parse().map_err(|_| wrong()))?;
        let who = match name.parse::<Network>() {
            Ok(network) => Who::Network(network),
            Err(_) if name.contains('/') || !is_name(name) => return Err(wrong()),
            Err(_) => Who::Host(name.trim_end_matches('.').to_ascii_lowercase()),
        };
        if port == 0 { Err(wrong()) } else { Ok(Self { who, port, plain }) }
    }
}

/// Whether it is the name of a host, and no address in another notation, such as 2130706433 or 127.1.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let labels = text.trim_end_matches('.').split('.');
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    labels.into_iter().all(|label| !label.is_empty() && label.chars().all(plain))
        && last.chars().any(|c| c.is_ascii_alphabetic())
        && !last.starts_with("0x")
}

impl Allowed {
    /// Whether it allows this name of a host.
    pub fn host(&self, name: &str, port: u16, plain: bool) -> bool {
        let same = matches!(&self.who, Who::Host(host) if host == name.trim_end_matches('.'));
        same && self.port == port && (self.plain || !plain)
    }

    /// Whether it allows addresses at this port at all.
    pub fn any_address(&self, port: u16, plain: bool) -> bool {
        matches!(self.who, Who::Network(_)) && self.port == port && (self.plain || !plain)
    }

    /// Whether it allows this address, whatever name led to it.
    pub fn address(&self, address: IpAddr, port: u16, plain: bool) -> bool {
        let within = matches!(&self.who, Who::Network(network) if network.contains(address));
        within && self.port == port && (self.plain || !plain)
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.plain { "http://" } else { "" };
        match &self.who {
            Who::Host(name) => write!(f, "{scheme}{name}:{}", self.port),
            Who::Network(network) => write!(f, "{scheme}[{network}]:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        #[track_caller]
        fn check(text: &str, want: Option<&str>) {
            let found = text.parse::<Allowed>().map(|allowed| allowed.to_string());
            assert_eq!(found.as_deref().ok(), want, "{text}: {found:?}");
        }
        check("hooks.lab.org", Some("hooks.lab.org:443"));
        check("https://Hooks.lab.org:8443", Some("hooks.lab.org:8443"));
        check("http://hooks.lab", Some("http://hooks.lab:80"));
        check("10.0.0.0/8:8080", Some("[10.0.0.0/8]:8080"));
        check("http://127.0.0.1:9000", Some("http://[127.0.0.1/32]:9000"));
        check("[fd00::/8]:443", Some("[fd00::/8]:443"));
        check("fd00::1", Some("[fd00::1/128]:443"));
        for wrong in
            ["", "*", "hooks.lab:", "hooks.lab:x", "hooks.lab:0", "hooks lab", "10.0.0.0/40", "ftp://hooks.lab"]
        {
            check(wrong, None);
        }
        for number in ["2130706433", "127.1", "0x7f.1", "hooks.lab/path", "a@hooks.lab"] {
            check(number, None);
        }
    }
}
