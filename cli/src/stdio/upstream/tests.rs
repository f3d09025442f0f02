//! Against a small gateway of this file that loses its session and then delays the next one.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::*;
use crate::config::{Config, Env, Settings, Url};

/// Answers one request; the second `initialize` reports on `hangs` and then waits for `go`.
async fn answer(mut stream: TcpStream, first: bool, hangs: &Notify, go: &Notify) -> Option<()> {
    let mut asked = vec![];
    while !asked.ends_with(b"}") {
        (stream.read_buf(&mut asked).await.ok()? > 0).then_some(())?;
    }
    let asked = String::from_utf8_lossy(&asked).into_owned();
    let (mut head, mut status, mut body) = ("", "200 OK", json!({"jsonrpc": "2.0", "id": 1, "result": {}}).to_string());
    if asked.contains(r#""method":"initialize""#) {
        if !first {
            hangs.notify_one();
            go.notified().await;
        }
        head = "mcp-session-id: s\r\n";
    } else if asked.contains(r#""method":"ping""#) {
        (status, body) = ("404 Not Found", String::new());
    }
    let len = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n{head}content-length: {len}\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await.ok()
}

fn message(method: &str) -> Message {
    let text = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).to_string();
    Message::read(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_session_that_is_slow_to_open_holds_up_no_other_message() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let settings = Settings { gateway: Some(Url(url)), data: Some("/nowhere".into()), ..Settings::default() };
    let context = Context::new(Config { settings, ..Config::default() }, Env::default()).unwrap();
    let (hangs, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (hanging, going, tasks) = (hangs.clone(), go.clone(), context.tasks.clone());
    context.tasks.spawn_until_stop(async move {
        let mut first = true;
        while let Ok((stream, _)) = listener.accept().await {
            let (hangs, go, first) = (hanging.clone(), going.clone(), std::mem::take(&mut first));
            tasks.spawn_until_stop(async move {
                answer(stream, first, &hangs, &go).await;
            });
        }
    });
    let (out, _messages) = mpsc::channel(8);
    let link = Arc::new(Upstream::new(context.clone(), out));
    let hello = message("initialize");
    let response = link.send(&hello).await.unwrap();
    let session = session_of(&response);
    assert!(session.is_some());
    link.opened(&hello, session, &json!({"result": {"protocolVersion": "2025-11-25"}}));

    let opener = link.clone();
    let reopened = context.tasks.spawn(async move { opener.reopen("again").await.is_ok() });
    hangs.notified().await;
    // Another call of the same session is sent while the new one is being opened.
    let list = message("tools/list");
    let sent = tokio::time::timeout(Duration::from_secs(60), link.send(&list)).await;
    assert!(sent.expect("no lock is held over the network").is_ok());
    assert!(!reopened.is_finished());
    go.notify_one();
    assert!(reopened.await.unwrap());
}
