//! The `Host` and `Origin` headers that a request may carry.
//!
//! A web page in a user's browser can send requests to this machine. It cannot choose their `Host` when it rebinds a
//! name of its own to our address, and it cannot leave out `Origin`: so both are checked on every request, with or
//! without a token.

use http::{HeaderMap, Uri, header, uri::Authority};

/// The hosts and origins that are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    hosts: Vec<String>,
    /// Ports under which clients reach us: the listener's and the advertised one.
    ports: Vec<u16>,
    /// Names that were configured, with the port where one was given: a proxy's port may be any.
    configured: Vec<(String, Option<u16>)>,
    origins: Vec<String>,
    any_address: bool,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// 421.
    #[error(
        "this gateway does not answer for host `{0}`: use its own address and port or the one it was told (--advertise), or add the name, with its port, to `allowed_hosts`"
    )]
    Host(String),
    /// 403.
    #[error(
        "requests from web pages of `{0}` are not accepted: add the origin to `allowed_origins` if you mean to allow it"
    )]
    Origin(String),
}

impl Allowed {
    /// Loopback names, this machine's own name, the listen address, the host of the advertised URL, and what was
    /// configured. Where we listen on all addresses, any address is allowed too: only names can be rebound. A page may
    /// call only the origin it came from, or must be configured in full (`https://notebook.example:8443`).
    pub fn new(listen: std::net::SocketAddr, advertise: &str, hosts: &[String], origins: &[String]) -> Self {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let any_address = listen.ip().is_unspecified();
        if any_address {
            let own = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
            names.extend((!own.is_empty()).then_some(own));
        } else {
            names.push(listen.ip().to_string());
        }
        let advertised = advertise.parse::<Uri>().ok();
        names.extend(advertised.as_ref().and_then(Uri::host).map(bare));
        let configured: Vec<_> = hosts.iter().map(|h| split(h).unwrap_or_else(|| (bare(h), None))).collect();
        names.extend(configured.iter().map(|(name, _)| name.clone()));
        names.sort();
        names.dedup();

        // Of the two, only the one that the port speaks can be the origin of a page of ours.
        let schemes = ["http", "https"];
        let places = names.iter().map(|name| format!("{}:{}", bracketed(name), listen.port()));
        let mut own: Vec<String> =
            places.flat_map(|place| schemes.map(|scheme| format!("{scheme}://{place}"))).collect();
        if let Some((scheme, authority)) = advertised.as_ref().and_then(|u| Some((u.scheme_str()?, u.authority()?))) {
            own.extend(normal_origin(&format!("{scheme}://{authority}")));
        }
        own.extend(origins.iter().filter_map(|o| normal_origin(o)));
        own.sort();
        own.dedup();
        let advertised = advertised.and_then(|uri| uri.port_u16().or_else(|| default_port(uri.scheme_str()?)));
        let ports = [Some(listen.port()), advertised].into_iter().flatten().collect();
        Self { hosts: names, ports, configured, origins: own, any_address }
    }

    /// The allowed hosts, for a second check further in.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Whether any address is allowed as a host.
    pub fn any_address(&self) -> bool {
        self.any_address
    }

    /// The allowed origins with their ports, for a second check further in.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Checks the host a request was sent to: the `Host` header, or `:authority` in HTTP/2.
    ///
    /// # Errors
    /// Says which host was refused.
    pub fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        let named: Vec<_> = headers.get_all(header::HOST).iter().collect();
        let text = match named.as_slice() {
            [] => uri.authority().map(|a| a.as_str().to_owned()).unwrap_or_default(),
            [one] => one.to_str().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        // A request that names two hosts is refused.
        let agrees = named.is_empty() || uri.authority().is_none_or(|a| a.as_str().eq_ignore_ascii_case(&text));
        match split(&text).filter(|_| agrees) {
            Some((host, port)) if self.is_ours(&host, port) => Ok(()),
            _ => Err(Refused::Host(text)),
        }
    }

    fn is_ours(&self, host: &str, port: Option<u16>) -> bool {
        if self.configured.iter().any(|(name, its)| name == host && (its.is_none() || *its == port)) {
            return true;
        }
        let address = self.any_address && host.parse::<std::net::IpAddr>().is_ok();
        // A client that names no port means us all the same: it reached this one.
        (address || self.hosts.iter().any(|h| h == host)) && port.is_none_or(|port| self.ports.contains(&port))
    }

    /// Checks the page that a request came from; a request without `Origin` came from no page.
    ///
    /// # Errors
    /// Says which origin was refused.
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refused> {
        for value in headers.get_all(header::ORIGIN) {
            let text = value.to_str().unwrap_or_default();
            if !normal_origin(text).is_some_and(|o| self.origins.contains(&o)) {
                return Err(Refused::Origin(text.to_owned()));
            }
        }
        Ok(())
    }
}

fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

/// Host and port of an authority; `None` when it is malformed, or names a user.
fn split(text: &str) -> Option<(String, Option<u16>)> {
    let authority = text.parse::<Authority>().ok().filter(|_| !text.contains('@'))?;
    let host = bare(authority.host());
    let port = authority.as_str().strip_prefix(authority.host())?;
    let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?.parse().ok()?) };
    (!host.is_empty()).then_some((host, port))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// `scheme://host:port`, always with the port.
fn normal_origin(text: &str) -> Option<String> {
    let uri = text.trim().trim_end_matches('/').parse::<Uri>().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?);
    // The origin of a page never names a user.
    let port = uri.port_u16().or_else(|| default_port(scheme)).filter(|_| !text.contains('@'))?;
    Some(format!("{scheme}://{}:{port}", bracketed(&bare(host))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Allowed {
        Allowed::new(
            "10.0.0.5:7878".parse().unwrap(),
            "https://gw.example/longhaul",
            &["lab.example".into()],
            &["https://notebook.example".into()],
        )
    }

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn hosts() {
        let uri = "/mcp".parse().unwrap();
        let check = |host: &str, want: bool| {
            assert_eq!(allowed().check_host(&uri, &headers(header::HOST, host)).is_ok(), want, "{host}");
        };
        check("localhost:7878", true);
        check("LOCALHOST", true);
        check("127.0.0.1:1", false);
        check("evil@127.0.0.1:7878", false);
        check("127.0.0.1:7878x", false);
        check("127.0.0.1:", false);
        check("gw.example:443", true);
        check("gw.example:7878", true);
        check("gw.example:80", false);
        check("[::1]:7878", true);
        check("10.0.0.5:7878", true);
        check("gw.example", true);
        check("lab.example:7878", true);
        check("evil.example", false);
        check("localhost.evil.example", false);
        check("", false);
        check("10.0.0.6:7878", false);
        check("lab.example:1", true);
        let absolute =
            |uri: &str, host: &str| allowed().check_host(&uri.parse().unwrap(), &headers(header::HOST, host)).is_ok();
        assert!(absolute("http://LOCALHOST:7878/x", "localhost:7878"));
        assert!(!absolute("http://evil/x", "localhost:7878"));
        assert!(!absolute("http://localhost:1/x", "localhost:7878"));
        let with_port = Allowed::new("10.0.0.5:7878".parse().unwrap(), "", &["localhost:9000".into()], &[]);
        assert!(with_port.check_host(&uri, &headers(header::HOST, "localhost:9000")).is_ok());
        assert!(with_port.check_host(&uri, &headers(header::HOST, "localhost:9001")).is_err());
        let everywhere = Allowed::new("0.0.0.0:7878".parse().unwrap(), "http://127.0.0.1:7878", &[], &[]);
        let check = |host: &str, want: bool| {
            assert_eq!(everywhere.check_host(&uri, &headers(header::HOST, host)).is_ok(), want, "{host}");
        };
        check("10.0.0.6:7878", true);
        check("[fe80::1]:7878", true);
        check("evil.example", false);
        assert!(allowed().check_host(&uri, &HeaderMap::new()).is_err(), "no host at all");
        assert!(allowed().check_host(&"http://localhost:7878/".parse().unwrap(), &HeaderMap::new()).is_ok());
    }

    #[test]
    fn origins() {
        let check = |origin: &str, want: bool| {
            assert_eq!(allowed().check_origin(&headers(header::ORIGIN, origin)).is_ok(), want, "{origin}");
        };
        check("http://localhost:7878", true);
        check("http://[::1]:7878", true);
        check("https://localhost:7878", true);
        check("https://gw.example", true);
        check("https://gw.example:443", true);
        check("https://notebook.example", true);
        check("http://localhost:3000", false);
        check("http://notebook.example", false);
        check("http://evil@localhost:7878", false);
        check("https://evil.example", false);
        check("null", false);
        assert!(allowed().check_origin(&HeaderMap::new()).is_ok(), "not a page");
    }
}
