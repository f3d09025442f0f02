//! Against a small gateway of this file that goes away again and again.

use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    config::{Config, Env, Settings, Url},
    gateway_handle::Need,
    output::{Out, ShownOn},
};

const HEAD: &str = "banner\n. do x\n\n";
const TAIL: &str = "\n. file open lh7f3a9c21_1 using x\n\n. file close lh7f3a9c21_1\n\nend of do-file\n";

/// A run whose log grows with every request, and a gateway that breaks every third answer in the middle and closes
/// every fifth connection without an answer.
struct FakeGateway {
    user: String,
    questions: AtomicUsize,
    breaks: AtomicUsize,
}

impl FakeGateway {
    fn log(&self) -> String {
        format!("{HEAD}{}{TAIL}", self.user)
    }

    /// How much of the log there is after so many requests, and whether that is the end.
    fn so_far(&self) -> (usize, bool) {
        let all = self.log().len();
        let there = (HEAD.len() + self.questions.load(Ordering::Relaxed) * 40).min(all);
        (there, there == all)
    }

    fn view(&self) -> String {
        let (there, ended) = self.so_far();
        let end = ended.then_some(HEAD.len() + self.user.len());
        serde_json::json!({
            "run_id": "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21", "state": if ended { "failed" } else { "running" },
            "cause": if ended { "stata_error" } else { "first_output" }, "rc": ended.then_some(9), "message": null,
            "host": "stata1", "attempt": 1, "created_at": null, "started_at": "2026-11-22T15:00:00.000Z",
            "finished_at": null, "output_bytes": there, "trace_id": null, "principal": "ana", "source": "x.do",
            "view": {"start": HEAD.len(), "end": end}, "output_complete": ended,
        })
        .to_string()
    }

    async fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut asked = vec![];
        while !asked.windows(4).any(|w| w == b"\r\n\r\n") {
            (stream.read_buf(&mut asked).await.ok()? > 0).then_some(())?;
        }
        let question = self.questions.fetch_add(1, Ordering::Relaxed);
        if question % 5 == 4 {
            self.breaks.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let asked = String::from_utf8_lossy(&asked).into_owned();
        let path = asked.split(' ').nth(1)?;
        let (head, body) = match path.split_once("offset=") {
            None => (String::new(), self.view().into_bytes()),
            Some((_, rest)) => {
                let offset: usize = rest.split('&').next()?.parse().ok()?;
                let (there, ended) = self.so_far();
                // The user's part, as far as it is there.
                let user = HEAD.len()..HEAD.len() + self.user.len();
                let stop = there.clamp(user.start, user.end);
                let first = offset.clamp(user.start, stop);
                let head = format!(
                    "longhaul-first-offset: {first}\r\nlonghaul-next-offset: {stop}\r\nlonghaul-complete: {ended}\r\n"
                );
                (head, self.log().as_bytes()[first..stop].to_vec())
            }
        };
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n{head}\r\n", body.len());
        let whole = [head.as_bytes(), &body].concat();
        let send = if question % 3 == 2 { whole.len() - body.len() / 2 } else { whole.len() };
        self.breaks.fetch_add(usize::from(send < whole.len()), Ordering::Relaxed);
        stream.write_all(&whole[..send]).await.ok()
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn serve(user: &str) -> (Arc<FakeGateway>, Context) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway =
        Arc::new(FakeGateway { user: user.into(), questions: AtomicUsize::new(0), breaks: AtomicUsize::new(0) });
    let settings = Settings { gateway: Some(Url(url)), data: Some("/nowhere".into()), ..Settings::default() };
    let config = Config { settings, ..Config::default() };
    let context = Context::new(config, Env::default()).unwrap();
    let serving = gateway.clone();
    context.tasks.spawn_until_stop(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serving.answer(stream).await;
        }
    });
    (gateway, context)
}

fn run() -> RunId {
    "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21".parse().unwrap()
}

#[tokio::test]
async fn every_byte_comes_once_over_a_gateway_that_goes_away() {
    let lines: String = (0..20).map(|i| format!(". display {i}\n{i}\n\nend of do-file\n\n")).collect();
    let user = format!("{lines}. error 9\nr(9);\n\nend of do-file\nr(9);\n");
    let (gateway, context) = serve(&user).await;
    let mut handle = GatewayHandle::open(&context, Need::default()).await.unwrap();
    let buffer = Buffer::default();
    let show = Printer::bytes_to(Out::new(buffer.clone()));
    let mut follower = Follower::new(&context, run(), Some(show), Status::new(ShownOn::Terminals));
    let mut signals = Signals::listen().unwrap();
    let follow = follower.follow(&mut handle, &mut signals, None);
    let end = tokio::time::timeout(Duration::from_secs(60), follow).await.unwrap().unwrap();
    let End::Ended(view) = end else { panic!("{end:?}") };
    assert_eq!(view.rc, Some(9));
    assert_eq!(String::from_utf8_lossy(&buffer.0.lock().unwrap()), user);
    assert!(gateway.breaks.load(Ordering::Relaxed) >= 3, "the gateway did go away");
}

#[tokio::test]
async fn a_limit_ends_the_waiting_and_not_the_run() {
    let (gateway, context) = serve(&"x\n".repeat(100_000)).await;
    let mut handle = GatewayHandle::open(&context, Need::default()).await.unwrap();
    let mut signals = Signals::listen().unwrap();
    let mut follower = Follower::new(&context, run(), None, Status::new(ShownOn::Terminals));
    let end = follower.follow(&mut handle, &mut signals, Some(Duration::from_millis(300))).await.unwrap();
    assert!(matches!(end, End::Limit), "{end:?}");
    assert!(follower.view().is_some_and(|v| !v.state.is_end()) && gateway.questions.load(Ordering::Relaxed) > 0);
}
