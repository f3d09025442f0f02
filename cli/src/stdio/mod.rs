//! `stdio`: an MCP server on stdin and stdout for clients that cannot speak HTTP.
//!
//! ```text
//! client --lines--> reader --one task per request--> call --POST /mcp--> gateway
//!        <--lines-- writer <-------messages---------- call <--JSON, SSE--
//! ```
//!
//! Messages pass through as they are, in both protocol eras; the bridge adds what HTTP needs (headers, the older era's
//! session) and keeps calls alive over broken connections. A call whose connection breaks is made again: the bridge
//! gives each tool call a name of its own, by which the gateway recognises the same call and joins its run, so that it
//! runs only once. That needs no state here and survives restarts of the gateway. A caller that withdraws a request,
//! leaves or is killed ends no run. Messages of the older era that arrive before `initialize` is answered wait for
//! that.
//!
//! [`message`] reads the client's messages, [`upstream`] speaks HTTP, [`call`] carries one request to its answer.
//! stdout carries the protocol alone; messages for people go to stderr.

mod call;
mod message;
mod sse;
mod upstream;

use std::{
    collections::HashMap,
    io::{self, BufRead, Read, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{Semaphore, mpsc},
    task::AbortHandle,
};

use crate::{
    args::Stdio,
    context::{Context, Failure},
};
use call::Call;
use message::{Kind, Message};
use upstream::Upstream;

/// Longest line accepted from the client, bytes: the largest message that the gateway accepts.
const MAX_LINE: u64 = longhaul_gateway::mcp::MAX_BODY as u64;
/// Requests under way at once. Clients make a few.
const MAX_CALLS: u32 = 256;
/// Messages in transit between a thread and the runtime.
const QUEUE: usize = 64;
/// How long requests under way may take once the client has closed stdin. Their answers are unlikely to be read; runs
/// go on without them.
const LEAVING: Duration = Duration::from_secs(1);

/// What all calls share. Cheap to clone.
#[derive(Clone)]
struct Bridge {
    context: Context,
    link: Arc<Upstream>,
    out: mpsc::Sender<Value>,
    calls: Arc<Mutex<HashMap<String, AbortHandle>>>,
    room: Arc<Semaphore>,
    patience: Duration,
}

/// `stdio`.
///
/// # Errors
/// When stdin cannot be read.
pub(crate) async fn stdio(context: &Context, args: &Stdio) -> Result<u8, Failure> {
    let (lines, mut read) = mpsc::channel(QUEUE);
    let (out, write) = mpsc::channel(QUEUE);
    // Separate threads: a read of stdin cannot be cancelled, and must not delay the end.
    std::thread::spawn(move || reader(&lines));
    let writer = std::thread::spawn(move || writer(write));
    let bridge = Bridge {
        context: context.clone(),
        link: Arc::new(Upstream::new(context.clone(), out.clone())),
        out,
        calls: Arc::default(),
        room: Arc::new(Semaphore::new(MAX_CALLS as usize)),
        patience: args.patience.map_or(call::PATIENCE, |t| t.0),
    };
    let done = loop {
        let line = tokio::select! {
            line = read.recv() => line,
            // The client does not read the answers any more.
            () = bridge.out.closed() => None,
        };
        match line {
            None => break Ok(0),
            Some(Err(error)) => break Err(Failure::system(format!("cannot read stdin: {error}"))),
            Some(Ok(line)) => bridge.take(line).await,
        }
    };
    // All permits are back when all calls have ended.
    let _ = tokio::time::timeout(LEAVING, bridge.room.acquire_many(MAX_CALLS)).await;
    bridge.abort_all();
    bridge.link.close().await;
    drop(bridge);
    let _ = tokio::time::timeout(LEAVING, longhaul_proto::tasks::blocking(move || writer.join())).await;
    done
}

impl Bridge {
    /// Handles one line of the client.
    async fn take(&self, line: Line) {
        let message = match line {
            Line::TooLong => {
                let words = "the message is longer than 4 MiB: put the code on the Stata host and pass its path";
                Err((message::INVALID, words))
            }
            Line::Text(text) if text.trim_ascii().is_empty() => return,
            Line::Text(text) => Message::read(&text),
        };
        match message {
            Err((code, words)) => self.say(message::error(Value::Null, code, words)).await,
            Ok(message) => match message.kind() {
                Kind::Withdrawn(id) => {
                    if let Some(call) = self.book(|calls| calls.remove(&id)) {
                        // The connection of the call closes, and the gateway detaches it from its run.
                        call.abort();
                    }
                }
                Kind::Request => self.start(message).await,
                // In order, because the next request may depend on them.
                Kind::Other => self.link.tell(&message).await,
            },
        }
    }

    async fn start(&self, message: Message) {
        let Ok(room) = self.room.clone().try_acquire_owned() else {
            let words = "too many requests at once: wait until some are answered. Runs go on; stata_runs lists them";
            return self.say(message::error(message.id().clone(), message::INTERNAL, words)).await;
        };
        let name = message.id().to_string();
        // Before the task starts: the next message may need the session that this one opens.
        let opening = (message.method() == "initialize").then(|| self.link.opening());
        let (bridge, key) = (self.clone(), name.clone());
        self.book(|calls| {
            let task = self.context.tasks.spawn_until_stop(async move {
                Call::new(&bridge, message).run().await;
                drop(opening);
                bridge.book(|calls| calls.remove(&key));
                drop(room);
            });
            calls.insert(name, task.abort_handle());
        });
    }

    async fn say(&self, message: Value) {
        // A client that closed stdout reads nothing more.
        let _ = self.out.send(message).await;
    }

    fn abort_all(&self) {
        for (_, call) in self.book(std::mem::take) {
            call.abort();
        }
    }

    fn book<T>(&self, change: impl FnOnce(&mut HashMap<String, AbortHandle>) -> T) -> T {
        change(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What arrived from the client.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Text(Vec<u8>),
    TooLong,
}

fn reader(lines: &mpsc::Sender<io::Result<Line>>) {
    let mut stdin = io::stdin().lock();
    loop {
        let line = match next_line(&mut stdin, MAX_LINE) {
            Ok(None) => return,
            Ok(Some(line)) => Ok(line),
            Err(error) => Err(error),
        };
        let failed = line.is_err();
        if lines.blocking_send(line).is_err() || failed {
            return;
        }
    }
}

/// Reads the next line within `limit` bytes of memory; `None` at the end.
fn next_line(from: &mut impl BufRead, limit: u64) -> io::Result<Option<Line>> {
    let mut text = vec![];
    if from.by_ref().take(limit).read_until(b'\n', &mut text)? == 0 {
        return Ok(None);
    }
    if text.ends_with(b"\n") || (text.len() as u64) < limit {
        return Ok(Some(Line::Text(text)));
    }
    loop {
        text.clear();
        if from.by_ref().take(limit).read_until(b'\n', &mut text)? == 0 || text.ends_with(b"\n") {
            return Ok(Some(Line::TooLong));
        }
    }
}

fn writer(mut messages: mpsc::Receiver<Value>) {
    let mut stdout = io::stdout().lock();
    while let Some(message) = messages.blocking_recv() {
        let mut line = message.to_string();
        line.push('\n');
        if stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        let text = b"one\n\n0123456789abcdef\ntwo\nlast";
        let mut from = io::BufReader::with_capacity(3, &text[..]);
        let mut got = vec![];
        while let Some(line) = next_line(&mut from, 8).unwrap() {
            got.push(line);
        }
        let text = |t: &str| Line::Text(t.into());
        assert_eq!(got, [text("one\n"), text("\n"), Line::TooLong, text("two\n"), text("last")]);
    }
}
