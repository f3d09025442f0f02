//! A TCP relay between two programs, which does to their connections what networks do.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use longhaul_proto::tasks::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Bytes that wait on the way, each direction.
const ROOM: usize = 1 << 20;
/// Bytes of one read.
const STEP: usize = 16 * 1024;
/// Bytes of one write when slow, and the pause after it.
const SLOW: (usize, Duration) = (4096, Duration::from_millis(4));
/// How long a late connection stays open after its bytes were delivered.
const LATE: Duration = Duration::from_millis(300);

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They go on at once.
    Pass,
    /// They are read and held back; neither side is notified.
    Hold,
    /// They go on drop by drop.
    Slow,
    /// New connections are refused.
    Refuse,
}

/// What happened to all connections so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Orders {
    /// Connections with a lower number are cut.
    cut: u64,
    /// Those with a lower number are cut towards the dialling side; the bytes they hold wait.
    late: u64,
    /// What waits in those with a lower number is delivered.
    delivered: u64,
}

/// A relay on a port of its own. It stops with its tasks.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub addr: SocketAddr,
    mode: watch::Sender<Mode>,
    orders: watch::Sender<Orders>,
    next: Arc<AtomicU64>,
}

/// Where the other side is now; `None` = away.
pub type Target = Arc<dyn Fn() -> Option<String> + Send + Sync>;

impl Relay {
    /// A relay to wherever `target` says at each connection.
    pub async fn start(tasks: &Tasks, target: Target) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (mode, mode_seen) = watch::channel(Mode::Pass);
        let (orders, orders_seen) = watch::channel(Orders::default());
        let next = Arc::new(AtomicU64::new(0));
        let (numbers, spawner) = (next.clone(), tasks.clone());
        tasks.spawn_until_stop(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *mode_seen.borrow() == Mode::Refuse {
                    continue;
                }
                let number = numbers.fetch_add(1, Ordering::SeqCst);
                let (target, mode, orders) = (target.clone(), mode_seen.clone(), orders_seen.clone());
                spawner.spawn_until_stop(async move {
                    let Some(address) = target() else { return };
                    let Ok(server) = TcpStream::connect(address).await else { return };
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    Connection { number, mode, orders }.carry(client, server).await;
                });
            }
        });
        Self { addr, mode, orders, next }
    }

    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on, for connections that are there too.
    pub fn mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        let all = self.next.load(Ordering::SeqCst);
        self.orders.send_modify(|o| o.cut = all);
    }

    /// Cuts every connection towards the dialling side, and keeps the bytes it holds for [`Relay::deliver`].
    pub fn make_late(&self) {
        let all = self.next.load(Ordering::SeqCst);
        self.orders.send_modify(|o| o.late = all);
    }

    /// Delivers what late connections hold.
    pub fn deliver(&self) {
        self.orders.send_modify(|o| o.delivered = o.late);
    }
}

struct Connection {
    number: u64,
    mode: watch::Receiver<Mode>,
    orders: watch::Receiver<Orders>,
}

impl Connection {
    async fn carry(mut self, client: TcpStream, server: TcpStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let (mut up, mut down) = (Vec::with_capacity(STEP), Vec::with_capacity(STEP));
        let (mut in_up, mut in_down) = (vec![0; STEP], vec![0; STEP]);
        loop {
            let mode = *self.mode.borrow_and_update();
            let orders = *self.orders.borrow_and_update();
            if orders.cut > self.number && orders.late <= self.number {
                return;
            }
            if orders.late > self.number {
                drop((from_client, to_client));
                let number = self.number;
                let _ = self.orders.wait_for(|o| o.delivered > number).await;
                let _ = to_server.write_all(&up).await;
                // The answer is dropped; the other side has to cope with that.
                let _ = tokio::time::timeout(LATE, tokio::io::copy(&mut from_server, &mut tokio::io::sink())).await;
                return;
            }
            let flows = mode != Mode::Hold;
            let step = if mode == Mode::Slow { SLOW.0 } else { ROOM };
            let moved = tokio::select! {
                read = from_client.read(&mut in_up), if up.len() < ROOM => Moved::Up(read),
                read = from_server.read(&mut in_down), if down.len() < ROOM => Moved::Down(read),
                wrote = to_server.write(&up[..up.len().min(step)]), if flows && !up.is_empty() => Moved::UpOut(wrote),
                wrote = to_client.write(&down[..down.len().min(step)]), if flows && !down.is_empty() => Moved::DownOut(wrote),
                changed = self.mode.changed() => Moved::Told(changed.is_ok()),
                changed = self.orders.changed() => Moved::Told(changed.is_ok()),
            };
            let done = match moved {
                Moved::Up(read) => came(&mut up, &in_up, read),
                Moved::Down(read) => came(&mut down, &in_down, read),
                Moved::UpOut(wrote) => went(&mut up, wrote),
                Moved::DownOut(wrote) => went(&mut down, wrote),
                Moved::Told(goes_on) => !goes_on,
            };
            if done && flows {
                let _ = (to_server.write_all(&up).await, to_client.write_all(&down).await);
            }
            if done {
                return;
            }
            if mode == Mode::Slow && (!up.is_empty() || !down.is_empty()) {
                tokio::time::sleep(SLOW.1).await;
            }
        }
    }
}

enum Moved {
    Up(io::Result<usize>),
    Down(io::Result<usize>),
    UpOut(io::Result<usize>),
    DownOut(io::Result<usize>),
    Told(bool),
}

/// Keeps what was read; whether the connection is over.
fn came(buffer: &mut Vec<u8>, read: &[u8], n: io::Result<usize>) -> bool {
    match n {
        Ok(n) => {
            buffer.extend_from_slice(&read[..n]);
            n == 0
        }
        Err(_) => true,
    }
}

/// The same after a write.
fn went(buffer: &mut Vec<u8>, n: io::Result<usize>) -> bool {
    match n {
        Ok(n) => {
            buffer.drain(..n);
            n == 0
        }
        Err(_) => true,
    }
}
