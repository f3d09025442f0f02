//! Where an agent's numbers are read: nowhere unless asked for, on loopback without more ado, and never more than a bound.

use longhaul_tests::{daemon::Daemon, lab, wait};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{of_agent, port};

#[tokio::test]
async fn an_agent_tells_its_numbers_where_it_is_told_to_and_nothing_else_there() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let at = port();
    let agent = lab.agent("stata1", &gateway, &["--metrics-listen", &format!("127.0.0.1:{at}")]);
    gateway.api.wait_host("stata1", "up").await;
    let numbers = of_agent(at).await.unwrap();
    assert_eq!(numbers.of("longhaul_agent_connected"), Some(1.0));
    for secret in [gateway.api.token(), &lab.work().display().to_string(), &agent.data.display().to_string()] {
        assert!(!numbers.0.contains(secret), "{secret}");
    }
    let other = reqwest::get(format!("http://127.0.0.1:{at}/")).await.unwrap();
    assert_eq!(other.status(), 404);
    let posted = reqwest::Client::new().post(format!("http://127.0.0.1:{at}/metrics")).send().await.unwrap();
    assert_eq!(posted.status(), 405);

    // Those who come and say nothing do not take more than a few places.
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(("127.0.0.1", at)).await.unwrap());
    }
    let is_open = |stream: &&TcpStream| matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    let open = || silent.iter().filter(is_open).count();
    wait::until_now(wait::SOON, "16 of 40 silent connections are kept", || (open() <= 16).then_some(())).await;
    assert!(open() > 0, "some are kept");
    drop(silent);
    wait::until(wait::SOON, "it answers again", async || of_agent(at).await).await;
}

#[tokio::test]
async fn numbers_cross_no_network_in_the_clear_unasked() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let everywhere = format!("0.0.0.0:{}", port());
    let mut refused = lab.agent("stata1", &gateway, &["--metrics-listen", &everywhere]);
    assert_eq!(refused.ended().await.code(), Some(2), "{}", refused.printed());
    let said = refused.printed();
    assert!(said.contains(&everywhere) && said.contains("insecure_network = true"), "{said}");
    lab.env("LONGHAUL_INSECURE_NETWORK", "true");
    let at = port();
    let spec = lab.agent_spec("stata2", &gateway, &["--metrics-listen", &format!("0.0.0.0:{at}")]);
    let _asked = Daemon::start("stata2", &lab.path().join("stata2"), spec);
    gateway.api.wait_host("stata2", "up").await;
    assert!(of_agent(at).await.is_some());
    // And a place that is taken is told with the setting's name.
    let mut taken = lab.agent("stata3", &gateway, &["--metrics-listen", &format!("127.0.0.1:{at}")]);
    taken.ended().await;
    assert!(taken.printed().contains("metrics_listen: "), "{}", taken.printed());
    let mut stream = TcpStream::connect(("127.0.0.1", at)).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("longhaul_build_info{part=\"agent\",version="), "{answer}");
}
