//! Ports for servers that are started later, or never.

use std::sync::Mutex;

use tokio::net::TcpSocket;

/// What keeps the ports until this process ends.
static KEPT: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());

/// A port of the loopback address on which nothing listens. A server that is told so may, again and again, as servers do that
/// set `SO_REUSEADDR`; nothing else gets it, for a socket that never listens is bound to it.
pub fn free_port() -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    KEPT.lock().unwrap().push(socket);
    port
}
