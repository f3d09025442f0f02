//! What a daemon tells its service manager (sd_notify(3)): that it serves, that it is alive, that it stops.
//!
//! The manager names a datagram socket in `NOTIFY_SOCKET`. With `WATCHDOG_USEC` it expects a sign of life within that time
//! and starts the daemon anew without one. The sign is given only while those answer that own the daemon's state: a
//! process whose tasks hang is not alive. Nothing that fails here is a reason not to serve.

use std::{ffi::OsStr, io, os::unix::net::UnixDatagram, time::Duration};

use longhaul_proto::faults;

use crate::config::Env;

/// Shares of the manager's time in which a sign of life is given: one may be late.
const SIGNS: u32 = 3;

/// The socket of the manager, if there is one.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// From the variables of this process.
    pub(crate) fn of_process(env: &Env) -> Self {
        let named = env.get("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = named.and_then(|name| {
            let connected = connect(name);
            connected.inspect_err(|error| tracing::warn!(%error, ?name, "the service manager cannot be told")).ok()
        });
        let number = |name: &str| env.get(name).and_then(OsStr::to_str).and_then(|text| text.parse::<u64>().ok());
        // It names the process that is meant, where it is not any.
        let mine = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|us| mine && *us > 0).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// It serves.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// It stops.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Gives signs of life while `answers` comes back, for ever.
    pub(crate) async fn watched<F: Future, T>(&self, answers: impl Fn() -> F) -> T {
        let Some(limit) = self.watchdog.filter(|_| self.socket.is_some()) else { return std::future::pending().await };
        let every = limit / SIGNS;
        loop {
            if faults::bug("watchdog_asks_none") || tokio::time::timeout(limit, answers()).await.is_ok() {
                self.tell("WATCHDOG=1");
            }
            tokio::time::sleep(every).await;
        }
    }

    fn tell(&self, what: &str) {
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(what.as_bytes())) {
            tracing::warn!(%error, what, "the service manager was not told");
        }
    }
}

/// A socket by its path, or by a name without one (`@` stands for the zero byte that it begins with; Linux).
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // A manager that reads nothing must not stop what it manages.
    socket.set_nonblocking(true)?;
    #[cfg(target_os = "linux")]
    if let Some(name) = name.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
        socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
        return Ok(socket);
    }
    socket.connect(name)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(pairs: &[(&str, &str)]) -> ServiceManager {
        ServiceManager::of_process(&Env::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn the_manager_is_told_by_path_and_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        manager(&[("NOTIFY_SOCKET", path.to_str().unwrap())]).ready();
        let said = |heard: &UnixDatagram| {
            let mut buffer = [0; 64];
            let n = heard.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..n].to_vec()).unwrap()
        };
        assert_eq!(said(&heard), "READY=1");
        #[cfg(target_os = "linux")]
        {
            use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
            let name = format!("longhaul-test-{}", std::process::id());
            let heard = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
            manager(&[("NOTIFY_SOCKET", &format!("@{name}"))]).stopping();
            assert_eq!(said(&heard), "STOPPING=1");
        }
    }

    #[test]
    fn without_a_manager_or_for_another_process_there_is_no_watchdog() {
        let none = manager(&[]);
        assert!(none.socket.is_none() && none.watchdog.is_none());
        none.ready();
        assert_eq!(manager(&[("WATCHDOG_USEC", "3000000")]).watchdog, Some(Duration::from_secs(3)));
        let other = [("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "1")];
        assert_eq!(manager(&other).watchdog, None);
        assert!(manager(&[("NOTIFY_SOCKET", "/nowhere/notify")]).socket.is_none());
    }
}
