//! The address of a receiver: a URL that gets a request, or an address of mail.

use std::{fmt, net::IpAddr};

use lettre::Address;
use reqwest::Url;

/// Longest address of a receiver, characters.
const MAX_ADDRESS: usize = 2000;

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// A URL, to which what is told is posted.
    Webhook(Box<Url>),
    /// An address of mail.
    Mail(Address),
}

impl Receiver {
    /// The receiver of a text: `https://HOST/PATH`, `http://HOST/PATH` or `mailto:ADDRESS`.
    ///
    /// # Errors
    /// What is wrong with it and what a right one looks like. The text is not repeated: there may be a secret in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_ADDRESS || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(format!(
                "the address of a receiver has blanks, control characters, or more than {MAX_ADDRESS} characters"
            ));
        }
        if let Some(address) = text.strip_prefix("mailto:") {
            // A header of mail, or a second address, would come after one of these.
            let plain = !address.contains(['?', '%', ',', ';', '<', '>', '"']) && address.is_ascii();
            let address = plain.then(|| address.parse::<Address>().ok()).flatten();
            return address.map(Self::Mail).ok_or_else(|| {
                "a receiver by mail is one address, such as mailto:ana@lab.org, without anything after it".to_owned()
            });
        }
        let example = "expected https://HOST/PATH, or mailto:ADDRESS";
        let url =
            Url::parse(text).map_err(|error| format!("the address of a receiver is no URL ({error}): {example}"))?;
        let problem = match url.scheme() {
            "https" | "http" if url.host_str().is_none_or(str::is_empty) => "it names no host",
            "https" | "http" if !url.username().is_empty() || url.password().is_some() => {
                "it has a user or a password before the host; put a secret into its path, or check the signature instead"
            }
            "https" | "http" if url.fragment().is_some() => "it has a part after #, which is never sent",
            "https" | "http" => return Ok(Self::Webhook(Box::new(url))),
            _ => "it has another scheme than https, http and mailto",
        };
        Err(format!("the address of a receiver cannot be used: {problem} ({example})"))
    }

    /// The whole address, as it is kept: with its path and query, which may be secret.
    pub fn address(&self) -> String {
        match self {
            Self::Webhook(url) => url.to_string(),
            Self::Mail(address) => format!("mailto:{address}"),
        }
    }

    /// `webhook` or `mail`, as metrics have it.
    pub fn way(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Mail(_) => "mail",
        }
    }
}

/// For logs and for words: without path and query.
impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(url) => f.write_str(&url.origin().ascii_serialization()),
            Self::Mail(address) => write!(f, "mailto:{address}"),
        }
    }
}

/// Where a URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The name of its host, or `None` where it has an address.
    pub(super) name: Option<String>,
    /// That address.
    pub(super) literal: Option<IpAddr>,
    pub(super) port: u16,
    /// Without TLS.
    pub(super) plain: bool,
}

impl Target {
    /// Where this URL leads, by the same reading of it that the connection is made by: what looks like a name and is a
    /// number (`2130706433`, `0x7f.1`) is an address here.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let host = url.host_str()?;
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        Some(Self {
            name: literal.is_none().then(|| host.trim_end_matches('.').to_ascii_lowercase()),
            literal,
            port: url.port_or_known_default()?,
            plain: url.scheme() == "http",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_receiver() {
        #[track_caller]
        fn check(text: &str, want: &str) {
            match Receiver::parse(text) {
                Ok(receiver) => assert_eq!(receiver.to_string(), want, "{text}"),
                Err(words) => assert!(words.contains(want), "{text}: {words}"),
            }
        }
        check("https://hooks.lab.org/in?key=s3cret", "https://hooks.lab.org");
        check("http://hooks.lab:8080", "http://hooks.lab:8080");
        check("mailto:ana@lab.org", "mailto:ana@lab.org");
        check("https://user:s3cret@hooks.lab/", "user or a password");
        check("https://hooks.lab@evil.org/", "user or a password");
        check("https://hooks.lab/#x", "after #");
        check("ftp://hooks.lab/", "another scheme");
        check("file:///etc/passwd", "another scheme");
        check("hooks.lab", "no URL");
        check("https://", "no URL");
        check("https://a b/", "blanks");
        check("mailto:ana@lab.org\r\nBcc: eve@evil.org", "blanks");
        check("mailto:ana@lab.org?bcc=eve@evil.org", "one address");
        check("mailto:ana@lab.org,eve@evil.org", "one address");
        check("mailto:ana@lab.org%0d%0aBcc:eve@evil.org", "one address");
        check("mailto:ana", "one address");
        assert!(!Receiver::parse("https://user:s3cret@h/").unwrap_err().contains("s3cret"));
    }

    #[test]
    fn a_number_is_an_address() {
        #[track_caller]
        fn check(url: &str, literal: Option<&str>) {
            let target = Target::of(&Url::parse(url).unwrap()).unwrap();
            assert_eq!(target.literal.map(|address| address.to_string()).as_deref(), literal, "{url}");
            assert_eq!(target.name.is_some(), literal.is_none());
        }
        check("http://2130706433/", Some("127.0.0.1"));
        check("http://0x7f000001/", Some("127.0.0.1"));
        check("http://127.1/", Some("127.0.0.1"));
        check("http://0177.0.0.1/", Some("127.0.0.1"));
        check("http://[::ffff:127.0.0.1]/", Some("::ffff:127.0.0.1"));
        check("http://[::1]:8080/", Some("::1"));
        check("http://hooks.lab/", None);
        check("http://%6c%6f%63alhost/", None);
    }
}
