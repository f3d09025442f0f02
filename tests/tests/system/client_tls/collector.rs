//! Traces go to collectors that speak TLS, by both protocols of OTLP, and only where their certificate is trusted.

use std::{fs, path::Path, time::Duration};

use longhaul_gateway::{
    ca::authority::{Authority, Leaf, new_key},
    key_store::Folder,
};
use longhaul_proto::{
    clock::Clock,
    tasks::Tasks,
    transport::{Certified, Https, Key, accept_all},
};
use longhaul_tests::{lab, wait};
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use super::text;

/// A certificate for this machine, of an authority whose root is `ca.pem` in the folder.
fn certified(folder: &Path) -> Https {
    let now_s = Clock::system().unix_ms() / 1000;
    let authority = Authority::ensure(&Folder::new(folder), now_s).unwrap();
    let leaf = Leaf {
        names: vec![SanType::IpAddress([127, 0, 0, 1].into())],
        subject: "collector".to_owned(),
        uses: vec![ExtendedKeyUsagePurpose::ServerAuth],
        lifetime: Duration::from_secs(24 * 3600),
    };
    let key = new_key().unwrap();
    let certificate = authority.issue(leaf, &key, now_s).unwrap();
    Https::new(Certified::from_pem(&certificate, &key.serialize_pem()).unwrap()).unwrap()
}

/// The first bytes of each connection that came about; each is answered as an HTTP/1.1 collector does.
fn listen(listener: TcpListener, https: Https, tasks: &Tasks) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel(64);
    let key = Key::generate().unwrap();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut accepted) = accept_all(stream, &key, Some(&https)).await else { continue };
            let mut head = vec![0; 256];
            let read = accepted.stream.read(&mut head).await.unwrap_or(0);
            let _ = accepted.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            assert!(accepted.encrypted);
            if tell.send(String::from_utf8_lossy(&head[..read]).into_owned()).await.is_err() {
                return;
            }
        }
    });
    told
}

#[tokio::test]
async fn spans_are_sent_over_tls_to_a_collector_that_is_trusted() {
    for (protocol, first, trusted) in
        [("http/protobuf", "POST /v1/traces", true), ("grpc", "PRI * HTTP/2.0", true), ("http/protobuf", "", false)]
    {
        let mut lab = lab!();
        let pki = lab.path().join("pki");
        fs::create_dir(&pki).unwrap();
        let https = certified(&pki);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        lab.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("https://{}", listener.local_addr().unwrap()));
        lab.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol).env("OTEL_BSP_SCHEDULE_DELAY", "100");
        if trusted {
            lab.env("SSL_CERT_FILE", pki.join("ca.pem"));
        }
        let tasks = Tasks::new();
        let mut told = listen(listener, https, &tasks);
        let gateway = lab.serving("gateway", &["gateway"]).await;
        gateway.api.submit(&text("display 1")).await.unwrap();
        if trusted {
            let came = tokio::time::timeout(wait::SOON, told.recv()).await.expect("spans come").unwrap();
            assert!(came.starts_with(first), "{protocol}: {came}");
        } else {
            // The control: the gateway says that it cannot send them, and nothing came.
            let said = || gateway.daemon.printed().contains("spans cannot be sent").then_some(());
            wait::until_now(wait::SOON, "the log says that spans are not sent", said).await;
            assert!(told.try_recv().is_err());
        }
        tasks.shutdown(Duration::from_secs(1)).await;
    }
}
