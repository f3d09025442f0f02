//! `/metrics` of an agent, on an address of its own: plain HTTP for this machine, without a token, since nothing in it is
//! anybody's. A few connections at a time, each with a limit on silence; what is too much is closed at once.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use longhaul_proto::{
    tasks::{self, Tasks},
    telemetry::Meters,
};
use tokio::{net::TcpListener, sync::Semaphore};

/// Connections at a time: a monitor has one, and a person's browser a few.
const MOST: usize = 16;
/// From the acceptance, or from an answer, to the next whole request head: more than the usual minute between two
/// questions of a monitor.
const SILENCE: Duration = Duration::from_secs(90);
/// How long a connection may last in all: one that is never read from goes too.
const LIFE: Duration = Duration::from_secs(3600);
/// Pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers until the tasks stop.
pub(crate) fn start(listener: TcpListener, meters: Meters, tasks: &Tasks) {
    let spawner = tasks.clone();
    tasks.spawn_until_stop(async move {
        let room = Arc::new(Semaphore::new(MOST));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let Ok(place) = room.clone().try_acquire_owned() else { continue };
            let meters = meters.clone();
            spawner.spawn_until_stop(async move {
                let answer = service_fn(move |request| {
                    let meters = meters.clone();
                    async move { Ok::<_, Infallible>(answer(&request, meters).await) }
                });
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(SILENCE).max_buf_size(16 * 1024);
                let served = builder.serve_connection(TokioIo::new(stream), answer);
                // A client that leaves early is no news.
                let _ = tokio::time::timeout(LIFE, served).await;
                drop(place);
            });
        }
    });
}

async fn answer(request: &Request<Incoming>, meters: Meters) -> Response<String> {
    let plain = "text/plain; charset=utf-8";
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            // Some numbers are asked of the disk.
            let text = tasks::blocking(move || meters.text()).await.unwrap_or_default();
            (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
        }
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, plain, "use GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, plain, "this agent's numbers are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt,
        net::TcpStream,
        time::{Instant, timeout},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_closed_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let tasks = Tasks::new();
        let from = Instant::now();
        start(listener, Meters::default(), &tasks);
        let closed = timeout(2 * SILENCE, silent.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok() && from.elapsed() >= SILENCE, "{:?}", from.elapsed());
        tasks.shutdown(Duration::from_secs(1)).await;
    }
}
