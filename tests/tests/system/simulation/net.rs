//! The network: connections that delay, stall, break, and deliver what was on its way when they broke; and a relay that
//! delivers some calls twice. Both ends are the real clients and the real services.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use longhaul_gateway::simulation::{ConnectError, Dialer, Spent};
use longhaul_proto::{
    grpc_transport::GrpcTransport,
    transport::{Channel, DialError, Dialled, Ends, Fingerprint, Session, Shown},
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body, codegen::Service};

use super::{calls, sim::Sim};

/// Stalled for so long, keep-alive gives a connection up.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

type StdError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Net {
    pub(crate) sim: Sim,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Who listens where, and the token that is cancelled when that process crashes.
    sides: BTreeMap<String, (GrpcTransport, CancellationToken)>,
    conns: Vec<Arc<Conn>>,
    /// Pairs between which nothing passes now.
    cut: Vec<(String, String)>,
    /// How many connections there were.
    dialled: u64,
    /// The host that is parted when it tells the next end; empty = none, or it was.
    at_end: String,
}

pub(crate) struct Conn {
    from: String,
    to: String,
    broken: CancellationToken,
    stalled: AtomicBool,
    /// What the accepting side knows of it.
    session: Session,
}

/// The key of a side: it is always the same, as a file is.
pub(crate) fn key(name: &str) -> Fingerprint {
    Fingerprint(digest(name.as_bytes()))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    let hex = longhaul_proto::sha256_hex(bytes);
    hex.parse::<Fingerprint>().unwrap().0
}

impl Net {
    pub(crate) fn new(sim: Sim) -> Self {
        Self { sim, state: Arc::default() }
    }

    pub(crate) fn listen(&self, name: &str, transport: GrpcTransport, crashed: CancellationToken) {
        self.state.lock().unwrap().sides.insert(name.to_owned(), (transport, crashed));
    }

    /// A process is gone, and its connections with it.
    pub(crate) fn gone(&self, name: &str) {
        let mut state = self.state.lock().unwrap();
        state.sides.remove(name);
        state.conns.retain(|conn| {
            let its = conn.from == name || conn.to == name;
            if its {
                conn.broken.cancel();
            }
            !its
        });
    }

    /// Nothing passes between two for a while; connections live on, or not.
    pub(crate) fn part(&self, a: &str, b: &str) {
        let mut state = self.state.lock().unwrap();
        state.cut.push((a.to_owned(), b.to_owned()));
        for conn in state.conns.iter().filter(|c| c.between(a, b)) {
            conn.stalled.store(true, Ordering::Relaxed);
        }
    }

    /// The next run of this host whose end is told is the last thing that passes.
    pub(crate) fn part_at_end(&self, host: &str) {
        host.clone_into(&mut self.state.lock().unwrap().at_end);
    }

    /// Whether that has happened.
    pub(crate) fn parted_at_end(&self, host: &str) -> bool {
        self.state.lock().unwrap().at_end != host
    }

    fn is_at_end(&self, host: &str) -> bool {
        let mut state = self.state.lock().unwrap();
        let its = state.at_end == host;
        if its {
            state.at_end.clear();
        }
        its
    }

    /// Nothing passes between the gateway and a host for so long at most, ms.
    pub(crate) fn part_for(&self, host: &str, most: u64) {
        let (net, host, time) = (self.clone(), host.to_owned(), self.sim.ms(50, most));
        self.sim.note(format_args!("part {host} for {} ms", time.as_millis()));
        net.part("gateway", &host);
        self.sim.tasks().spawn(async move {
            tokio::time::sleep(time).await;
            net.heal("gateway", &host);
        });
    }

    pub(crate) fn heal(&self, a: &str, b: &str) {
        let mut state = self.state.lock().unwrap();
        state.cut.retain(|(x, y)| (x.as_str(), y.as_str()) != (a, b));
        for conn in state.conns.iter().filter(|c| c.between(a, b)) {
            conn.stalled.store(false, Ordering::Relaxed);
        }
    }

    /// Breaks one connection of those there are.
    pub(crate) fn break_one(&self) {
        let mut state = self.state.lock().unwrap();
        state.conns.retain(|c| !c.broken.is_cancelled());
        if !state.conns.is_empty() {
            let at = usize::try_from(self.sim.below(state.conns.len() as u64)).unwrap();
            let conn = state.conns.remove(at);
            self.sim.note(format_args!("break {}>{}", conn.from, conn.to));
            conn.broken.cancel();
        }
    }

    /// Connections of the gateway to agents.
    pub(crate) fn dialer(&self) -> Dialer {
        let net = self.clone();
        Arc::new(move |address| {
            let net = net.clone();
            Box::pin(async move {
                let to = address.trim_start_matches("http://").split(':').next().unwrap_or_default().to_owned();
                let dialled = net.dial("gateway", &to).await;
                dialled.map_err(|e| ConnectError::Dial { address, source: DialError::Connect(e) })
            })
        })
    }

    pub(crate) async fn dial(&self, from: &str, to: &str) -> io::Result<Dialled> {
        self.sim.pause(1, 4).await;
        let conn = {
            let mut state = self.state.lock().unwrap();
            if state.cut.iter().any(|(a, b)| (a == from && b == to) || (a == to && b == from)) {
                None
            } else if !state.sides.contains_key(to) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            } else {
                state.dialled += 1;
                let broken = CancellationToken::new();
                let exporter = digest(&state.dialled.to_be_bytes());
                let far = Channel { own: key(to), peer: key(from), exporter, shown: Shown::default() };
                let ends = Ends { closed: broken.clone(), cut: broken.clone() };
                let conn = Arc::new(Conn {
                    from: from.to_owned(),
                    to: to.to_owned(),
                    broken,
                    stalled: AtomicBool::new(false),
                    session: Session::new(far, ends),
                });
                state.conns.push(conn.clone());
                Some(conn)
            }
        };
        let Some(conn) = conn else {
            // Nobody answers, not even to refuse.
            tokio::time::sleep(Duration::from_secs(5)).await;
            return Err(io::ErrorKind::TimedOut.into());
        };
        let (net, broken) = (self.clone(), conn.broken.clone());
        let channel = Channel {
            own: key(from),
            peer: key(to),
            exporter: conn.session.channel().exporter,
            shown: Shown::default(),
        };
        let transport = GrpcTransport::from_fn(move |request| {
            let (net, conn) = (net.clone(), conn.clone());
            Box::pin(async move { net.call(conn, request).await })
        });
        Ok(Dialled { transport, channel, ends: Ends { closed: broken.clone(), cut: broken }, local: None })
    }

    async fn call(&self, conn: Arc<Conn>, request: Request<Body>) -> Result<Response<Body>, StdError> {
        if conn.broken.is_cancelled() {
            return Err(Spent.into());
        }
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let method = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        let (answer, answered) = oneshot::channel();
        let session = conn.session.clone();
        let copy = move || {
            let mut request = Request::new(Body::new(Full::new(bytes.clone())));
            request.extensions_mut().insert(session.clone());
            *request.method_mut() = parts.method.clone();
            *request.uri_mut() = parts.uri.clone();
            *request.version_mut() = parts.version;
            *request.headers_mut() = parts.headers.clone();
            (request, bytes.clone())
        };
        if matches!(method.as_str(), "Run" | "Forget") && self.sim.strikes(200) {
            // The connection goes down with the calls that matter most.
            self.sim.count();
            conn.broken.cancel();
        }
        let again = matches!(method.as_str(), "Run" | "Cancel" | "Revoke" | "Forget") && self.sim.strikes(60);
        if again {
            let (net, conn, method, request) = (self.clone(), conn.clone(), method.clone(), copy());
            self.sim.tasks().spawn(async move {
                net.sim.pause(1, 4000).await;
                net.sim.count();
                // Its answer interests nobody.
                let _ = net.deliver(&conn, &method, request, true).await;
            });
        }
        let (net, to) = (self.clone(), conn.clone());
        self.sim.tasks().spawn(async move {
            let arrived = net.travel(&to).await;
            // What was on its way when the connection broke may arrive all the same, and late.
            if !arrived && net.sim.below(2) == 0 {
                return;
            }
            if !arrived {
                net.sim.pause(1, 3000).await;
            }
            let mut call = copy();
            if method == "PutBlobs" && net.sim.strikes(300) {
                // The connection breaks while they come.
                net.sim.count();
                call.0 = net.cut(call.0, &call.1);
                to.broken.cancel();
                // What had come may be taken when the next call has come already.
                if net.sim.below(2) == 0 {
                    net.sim.pause(1, 3000).await;
                }
            }
            let _ = answer.send(net.deliver(&to, &method, call, !arrived).await);
        });
        tokio::select! {
            biased;
            () = conn.broken.cancelled() => Err(Box::new(Status::unavailable("the connection broke"))),
            answer = answered => match answer {
                Ok(answer) => answer,
                Err(_) => Err(Box::new(Status::unavailable("the connection broke"))),
            },
        }
    }

    /// A request of which only the beginning comes.
    fn cut(&self, request: Request<Body>, bytes: &Bytes) -> Request<Body> {
        let some = bytes.slice(..usize::try_from(self.sim.below(bytes.len() as u64 + 1)).unwrap());
        let broken = Err(Status::unavailable("the connection broke"));
        request.map(|_| Body::new(StreamBody::new(tokio_stream::iter([Ok(Frame::data(some)), broken]))))
    }

    /// One message on its way. `false`: the connection broke meanwhile.
    async fn travel(&self, conn: &Conn) -> bool {
        if self.sim.strikes(10) {
            self.sim.count();
            self.sim.pause(50, 1500).await;
        } else {
            self.sim.pause(1, 3).await;
        }
        let mut stalled = Duration::ZERO;
        while conn.stalled.load(Ordering::Relaxed) && !conn.broken.is_cancelled() {
            let step = Duration::from_millis(50);
            tokio::time::sleep(step).await;
            stalled += step;
            if stalled >= KEEP_ALIVE {
                conn.broken.cancel();
            }
        }
        if self.sim.strikes(4) {
            self.sim.count();
            conn.broken.cancel();
        }
        !conn.broken.is_cancelled()
    }

    async fn deliver(
        &self,
        conn: &Arc<Conn>,
        method: &str,
        (request, bytes): (Request<Body>, Bytes),
        alone: bool,
    ) -> Result<Response<Body>, StdError> {
        let side = self.state.lock().unwrap().sides.get(&conn.to).cloned();
        let Some((mut transport, crashed)) = side else { return Err(Box::new(Status::unavailable("nobody is there"))) };
        if method != "Heartbeat" {
            let late = if alone { " (late or twice)" } else { "" };
            self.sim.note(format_args!("{method} {}>{}{late} {}", conn.from, conn.to, calls::about(method, &bytes)));
        }
        if !alone {
            calls::look_at_follow(&self.sim, method, &bytes);
        }
        calls::look_at_forget(&self.sim, method, &bytes);
        let called = crashed.run_until_cancelled(transport.call(request)).await;
        let called = called.unwrap_or_else(|| Err(Box::new(Status::unavailable("the process died"))));
        let response = match called {
            Ok(response) => response,
            Err(error) => return Err(error),
        };
        if alone {
            return Ok(response.map(|_| Body::empty()));
        }
        if !self.travel(conn).await {
            return Err(Box::new(Status::unavailable("the connection broke")));
        }
        let (parts, body) = response.into_parts();
        let run = calls::followed(method, &bytes).filter(|_| conn.from == "gateway");
        let less = parts.headers.get("grpc-status").is_some_and(|code| code.as_bytes() == b"11");
        if let Some(run) = run.as_ref().filter(|_| less) {
            self.sim.story(run, |story| story.beyond = true);
        }
        let (sender, frames) = mpsc::channel(2);
        let (net, conn) = (self.clone(), conn.clone());
        self.sim.tasks().spawn(async move { net.pump(conn, body, run, sender).await });
        Ok(Response::from_parts(parts, Body::new(StreamBody::new(ReceiverStream::new(frames)))))
    }

    /// Carries what a service streams.
    async fn pump(
        &self,
        conn: Arc<Conn>,
        mut body: Body,
        run: Option<String>,
        sender: mpsc::Sender<Result<Frame<Bytes>, Status>>,
    ) {
        loop {
            let frame = tokio::select! {
                biased;
                () = conn.broken.cancelled() => break,
                () = sender.closed() => return,
                frame = body.frame() => frame,
            };
            let Some(frame) = frame else { return };
            let ends = run.as_ref().zip(frame.as_ref().ok().and_then(calls::ended_attempt));
            if !self.travel(&conn).await || sender.send(frame).await.is_err() {
                break;
            }
            if let Some((run, attempt)) = ends {
                let now = self.sim.clock().monotonic();
                self.sim.story(run, |story| {
                    if story.attempt == attempt {
                        story.end_told = story.end_told.or(Some(now));
                    }
                });
                if self.is_at_end(&conn.to) || self.sim.strikes(150) {
                    // What it printed last does not come for a while.
                    self.part_for(&conn.to, 15_000);
                    conn.broken.cancel();
                }
            }
        }
        let _ = sender.send(Err(Status::unavailable("the connection broke"))).await;
    }
}

impl Conn {
    fn between(&self, a: &str, b: &str) -> bool {
        (self.from == a && self.to == b) || (self.from == b && self.to == a)
    }
}
