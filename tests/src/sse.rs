//! Server-sent events, byte by byte off the wire: comments are counted too, since they are part of the guarantee.

use std::{collections::VecDeque, time::Duration};

use longhaul_proto::{api::OutputEvent, clock::Clock, ids::RunId};

use crate::{api::Api, described::Described, http::Answered, wait};

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its `event:` field.
    pub kind: String,
    /// Its `id:` field.
    pub id: String,
    /// Its `data:` lines.
    pub data: String,
    /// When it was read, since the stream was opened.
    pub at: Duration,
}

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    response: Answered,
    buffer: Vec<u8>,
    ready: VecDeque<Event>,
    clock: Clock,
    /// Comment lines received.
    pub comments: usize,
}

impl Events {
    /// Reads the body of a `text/event-stream` answer.
    pub fn new(response: impl Into<Answered>) -> Self {
        Self {
            response: response.into(),
            buffer: Vec::new(),
            ready: VecDeque::new(),
            clock: Clock::system(),
            comments: 0,
        }
    }

    /// The next event; `None` when the stream ended, in whichever way.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let chunk = self.response.chunk().await.ok()??;
            self.buffer.extend_from_slice(&chunk);
            self.parse();
        }
    }

    fn parse(&mut self) {
        while let Some(end) = find(&self.buffer) {
            let block: Vec<u8> = self.buffer.drain(..end).collect();
            let text = String::from_utf8(block).expect("events are UTF-8");
            let mut event = Event { at: self.clock.monotonic(), ..Event::default() };
            let mut data: Vec<&str> = Vec::new();
            for line in text.lines() {
                match line.split_once(':').map(|(k, v)| (k, v.strip_prefix(' ').unwrap_or(v))) {
                    Some(("", _)) => self.comments += 1,
                    Some(("data", value)) => data.push(value),
                    Some(("event", value)) => value.clone_into(&mut event.kind),
                    Some(("id", value)) => value.clone_into(&mut event.id),
                    _ => {}
                }
            }
            if !data.is_empty() {
                event.data = data.join("\n");
                if let Some(operation) = self.response.operation()
                    && let Some(wrong) = Described::own().wrong_event(operation, &event.kind, &event.data)
                {
                    panic!("not what is described: {wrong}");
                }
                self.ready.push_back(event);
            }
        }
    }
}

fn find(buffer: &[u8]) -> Option<usize> {
    let lf = buffer.windows(2).position(|w| w == b"\n\n").map(|at| at + 2);
    let crlf = buffer.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
    [lf, crlf].into_iter().flatten().min()
}

/// Follows a run's log from its first byte to its end over `…/events`, over any number of cuts: it always asks for the
/// first byte it does not have, and checks every offset it receives.
///
/// # Panics
/// When an event does not start where the one before ended, or the end is not reached in two minutes.
pub async fn follow(api: Api, run: RunId, heard: tokio::sync::watch::Sender<u64>) -> String {
    let clock = Clock::system();
    let mut text = String::new();
    loop {
        assert!(
            clock.monotonic() < Duration::from_secs(120),
            "the follower came to an end; it has {} bytes",
            text.len()
        );
        if let Some(mut events) = api.events(run, text.len() as u64).await {
            while let Some(event) = events.next().await {
                // The last event of a finished run reports its end and carries no bytes.
                let Ok(part) = serde_json::from_str::<OutputEvent>(&event.data) else { continue };
                assert_eq!(part.offset, text.len() as u64, "no byte is left out or sent twice");
                text.push_str(&part.text);
                assert_eq!(part.next, text.len() as u64, "the event says where it ends");
                heard.send_replace(part.next);
            }
            // A stream ends when the run did, or when the connection broke; only the record shows which.
            if let Ok(view) = api.try_get(run).await
                && crate::api::ended(view.state)
                && view.output_complete
                && view.output_bytes == text.len() as u64
            {
                return text;
            }
        }
        tokio::time::sleep(wait::POLL).await;
    }
}
