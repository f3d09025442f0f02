//! Probes by gRPC: of a gateway and of an agent, without a token or a key.

use longhaul_tests::{lab, wait};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// What is answered at an address for a service.
async fn asked(url: &str, service: &str) -> Result<ServingStatus, Code> {
    let channel = tonic::transport::Channel::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(request).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

#[tokio::test]
async fn probes_by_grpc_are_told_whether_gateway_and_agents_serve() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    for service in ["", "longhaul.v1.Fleet"] {
        assert_eq!(asked(gateway.api.url(), service).await, Ok(ServingStatus::Serving), "{service}");
    }
    assert_eq!(asked(gateway.api.url(), "longhaul.v1.Nothing").await, Err(Code::NotFound));
    let channel =
        tonic::transport::Channel::from_shared(gateway.api.url().to_owned()).unwrap().connect().await.unwrap();
    let watched = HealthClient::new(channel).watch(HealthCheckRequest { service: String::new() }).await;
    let refused = match watched {
        Ok(stream) => stream.into_inner().message().await.is_err(),
        Err(_) => true,
    };
    assert!(refused, "no stream is held open");

    let _fine = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    // No disk has so much free: this one takes no runs.
    lab.env("LONGHAUL_MIN_FREE", "1000000GiB");
    let _full = lab.agent("stata2", &gateway, &[]);
    gateway.api.wait_host("stata2", "idle").await;
    let hosts = gateway.api.hosts().await.unwrap().hosts;
    for (name, status) in [("stata1", ServingStatus::Serving), ("stata2", ServingStatus::NotServing)] {
        let host = hosts.iter().find(|host| host.name == name).unwrap();
        for service in ["", "longhaul.v1.Agent"] {
            assert_eq!(asked(&host.advertise, service).await, Ok(status), "{name} {service}");
        }
    }
    wait::until(wait::SOON, "the numbers say the same", async || {
        let numbers = super::of_gateway(&gateway.api).await;
        let (up, takes) = (
            numbers.of("longhaul_host_up{host=\"stata2\"}")?,
            numbers.of("longhaul_host_takes_runs{host=\"stata2\"}")?,
        );
        (up == 1.0 && takes == 0.0).then_some(())
    })
    .await;
}
