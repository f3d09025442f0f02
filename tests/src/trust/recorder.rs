//! An eavesdropper on the wire: a relay that keeps every byte, both ways.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use longhaul_proto::tasks::Tasks;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The bytes of one connection, from the dialling side and back.
type Said = (Arc<Mutex<Vec<u8>>>, Arc<Mutex<Vec<u8>>>);

/// See the module.
#[derive(Debug)]
pub struct Recorder {
    /// Where it listens.
    pub addr: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    said: Arc<Mutex<Vec<Said>>>,
    _tasks: Tasks,
}

impl Recorder {
    /// Listens; connections before [`Recorder::to`] are dropped.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (target, said) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(Vec::new())));
        let tasks = Tasks::new();
        let (to, all, inner) = (target.clone(), said.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Some(to) = *to.lock().unwrap() else { continue };
                let said = Said::default();
                all.lock().unwrap().push(said.clone());
                inner.spawn(async move {
                    let Ok(far) = TcpStream::connect(to).await else { return };
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let (near, far) = (near.into_split(), far.into_split());
                    tokio::join!(pump(near.0, far.1, said.0), pump(far.0, near.1, said.1));
                });
            }
        });
        Self { addr, target, said, _tasks: tasks }
    }

    /// Where connections go from now on.
    pub fn to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = Some(target);
    }

    /// `http://host:port` of the near side.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What each connection's dialling side sent.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        self.said.lock().unwrap().iter().map(|(sent, _)| sent.lock().unwrap().clone()).collect()
    }

    /// Bytes that went through.
    pub fn bytes(&self) -> usize {
        let said = self.said.lock().unwrap();
        said.iter().map(|(a, b)| a.lock().unwrap().len() + b.lock().unwrap().len()).sum()
    }

    /// Whether this text went through, either way, in the clear.
    pub fn heard(&self, words: &str) -> bool {
        let holds = |bytes: &Mutex<Vec<u8>>| {
            bytes.lock().unwrap().windows(words.len()).any(|window| window == words.as_bytes())
        };
        self.said.lock().unwrap().iter().any(|(a, b)| holds(a) || holds(b))
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            let _ = to.shutdown().await;
            return;
        }
        kept.lock().unwrap().extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
