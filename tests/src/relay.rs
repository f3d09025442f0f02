//! A TCP relay between two parts that can be cut as a network is: neither side is notified, connections stay half open,
//! and bytes that were on their way arrive when the network is whole again.

use std::{net::SocketAddr, sync::Arc};

use longhaul_proto::tasks::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Its target, and whether it lets bytes through.
#[derive(Clone, Copy, Debug)]
struct Path {
    target: Option<SocketAddr>,
    whole: bool,
}

/// One direction of dialling; data flows both ways.
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    path: Arc<watch::Sender<Path>>,
    _tasks: Tasks,
}

impl Relay {
    /// Listens; connections wait until [`Relay::to`] says where they go.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let path = Arc::new(watch::Sender::new(Path { target: None, whole: true }));
        let tasks = Tasks::new();
        let (told, inner) = (path.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                inner.spawn(connection(near, told.subscribe()));
            }
        });
        Self { addr, path, _tasks: tasks }
    }

    /// Where connections go.
    pub fn to(&self, target: SocketAddr) {
        self.path.send_modify(|path| path.target = Some(target));
    }

    /// `http://host:port` of the near side.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on no byte gets through, either way; connections stay, and new ones get no answer.
    pub fn cut(&self) {
        self.path.send_modify(|path| path.whole = false);
    }

    /// Whole again.
    pub fn heal(&self) {
        self.path.send_modify(|path| path.whole = true);
    }
}

async fn connection(near: TcpStream, mut path: watch::Receiver<Path>) {
    let Ok(target) = path.wait_for(|p| p.whole && p.target.is_some()).await.map(|p| p.target) else { return };
    let Some(target) = target else { return };
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near, far) = (near.into_split(), far.into_split());
    let back = path.clone();
    tokio::join!(pump(near.0, far.1, path), pump(far.0, near.1, back));
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut path: watch::Receiver<Path>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if path.wait_for(|p| p.whole).await.is_err() {
            return;
        }
        if read == 0 {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
