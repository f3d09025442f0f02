//! Every method of both gRPC services by every kind of caller: no credential, a client's token, an agent's key, the gateway's.
//!
//! `tests/golden/grpc.txt` is made from the generated services (`LONGHAUL_REGENERATE=1` writes it anew): a method that is added
//! changes it, and that change is to be read.

use std::{collections::BTreeSet, fs, path::Path};

use bytes::Buf;
use longhaul_proto::transport::Role;
use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    trust::Side,
};
use regex::Regex;
use reqwest::Method;
use tonic::{
    Code, Request, Status,
    body::Body,
    client::{Grpc, GrpcService},
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{Bytes, StdError},
    metadata::MetadataValue,
};

const GOLDEN: &str = "golden/grpc.txt";

/// The generated code: its clients name every method.
const GENERATED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/src/wire/longhaul.v1.rs"));

/// The callers, in the order of the columns.
const CALLERS: [&str; 4] = ["none", "client token", "agent", "gateway"];

/// The paths of a service's methods.
fn methods(service: &str) -> Vec<String> {
    let path = Regex::new(r#""(/longhaul\.v1\.[A-Za-z]+/[A-Za-z]+)""#).unwrap();
    let all: BTreeSet<String> = path.captures_iter(GENERATED).map(|found| found[1].to_owned()).collect();
    let prefix = format!("/longhaul.v1.{service}/");
    all.into_iter().filter(|path| path.starts_with(&prefix)).collect()
}

/// Messages without fields, whose answers are not read.
#[derive(Clone, Copy, Default)]
struct Empty;

impl Codec for Empty {
    type Encode = ();
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Empty {
    type Item = ();
    type Error = Status;
    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for Empty {
    type Item = ();
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        from.advance(from.remaining());
        Ok(Some(()))
    }
}

/// Calls a method with an empty message.
async fn call<T>(transport: T, path: &str, token: Option<&str>) -> Result<(), Status>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<StdError> + Send,
{
    let mut grpc = Grpc::new(transport);
    grpc.ready().await.map_err(|error| Status::unavailable(error.into().to_string()))?;
    let mut request = Request::new(());
    if let Some(token) = token {
        let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    grpc.unary(request, path.parse().unwrap(), Empty).await.map(drop)
}

/// `-` = refused for who asks, `yes` = anything else, such as a message that makes no sense.
fn cell(answer: &Result<(), Status>) -> &'static str {
    match answer.as_ref().map_err(Status::code) {
        Err(Code::Unauthenticated | Code::PermissionDenied | Code::Unavailable) => "-",
        // Without TLS nothing is answered.
        Err(Code::FailedPrecondition) if answer.as_ref().is_err_and(|status| status.message().contains("TLS")) => "-",
        _ => "yes",
    }
}

/// One call by such a caller, over a connection of its own.
async fn tried(side: Option<&Side>, greets: bool, url: &str, path: &str, token: &str) -> &'static str {
    let Some(side) = side else {
        // In the clear, as clients speak.
        let channel = tonic::transport::Endpoint::new(url.to_owned()).unwrap().connect().await;
        let Ok(channel) = channel else { return "-" };
        return cell(&call(channel, path, Some(token)).await);
    };
    let Ok(dialled) = side.dial(url).await else { return "-" };
    let transport = dialled.transport;
    if greets {
        // On this very connection: a call before it is refused.
        let request = side.greeter.request(&dialled.channel, "", longhaul_proto::transport::Proof::Include);
        let said = match path.contains(".Agent/") {
            true => {
                longhaul_proto::wire::agent_client::AgentClient::new(transport.clone()).hello(request).await.map(drop)
            }
            false => {
                longhaul_proto::wire::fleet_client::FleetClient::new(transport.clone()).hello(request).await.map(drop)
            }
        };
        if path.ends_with("/Hello") {
            return cell(&said);
        }
        if said.is_err() {
            return "-";
        }
    }
    cell(&call(transport, path, None).await)
}

struct World {
    _lab: Lab,
    gateway: Gateway,
    agent: Daemon,
}

async fn world(faults: &str) -> World {
    let mut lab = lab!();
    if !faults.is_empty() {
        lab.env("LONGHAUL_FAULTS", faults);
    }
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    World { _lab: lab, gateway, agent }
}

async fn matrix(world: &World) -> String {
    let made = world.gateway.api.request(Method::POST, "/api/v1/tokens").json(&serde_json::json!({"name": "ana"}));
    let made: serde_json::Value = made.send().await.unwrap().json().await.unwrap();
    let token = made["token"].as_str().unwrap();
    let agent_at = world.gateway.api.hosts().await.unwrap().hosts[0].advertise.clone();
    let gateway_at = world.gateway.api.url().to_owned();
    let agent = Side::agent(&world.agent.data, &world.gateway.daemon.data);
    let gateway = Side::gateway(&world.gateway.daemon.data);
    // An agent and a gateway by their keys alone: once these are pinned, the secret opens nothing.
    let mut table = format!("{:<45} {}\n", "", CALLERS.map(|caller| format!("{caller:<13}")).join("").trim_end());
    for (service, url, other) in [("Fleet", &gateway_at, Role::Agent), ("Agent", &agent_at, Role::Gateway)] {
        for path in methods(service) {
            let stranger = Side::stranger(other);
            let cells = [
                tried(Some(&stranger), false, url, &path, token).await,
                tried(None, false, url, &path, token).await,
                tried(Some(&agent), true, url, &path, token).await,
                tried(Some(&gateway), true, url, &path, token).await,
            ];
            let line = cells.map(|cell| format!("{cell:<13}")).join("");
            table.push_str(&format!("{path:<45} {}\n", line.trim_end()));
        }
    }
    table
}

#[tokio::test]
async fn every_method_by_every_caller() {
    assert!(methods("Fleet").len() >= 3 && methods("Agent").len() >= 15, "the generated code is read as it is not");
    let table = matrix(&world("").await).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("LONGHAUL_REGENERATE").is_some() {
        fs::write(&path, &table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(&path).unwrap_or_default(), "read the change, then regenerate it");
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split_whitespace().skip(1).collect();
        let hello = line.contains("/Hello");
        assert!(cells[1] == "-", "a client's token opens no method: {line}");
        assert!(cells[0] == "-" || hello, "without a credential only Hello is answered: {line}");
        // Of the two sides exactly the other one is served.
        let want = if line.contains(".Fleet/") { ["yes", "-"] } else { ["-", "yes"] };
        assert_eq!(cells[2..], want, "{line}");
    }

    let table = matrix(&world("bug=calls_before_hello").await).await;
    let open = table.lines().skip(1).filter(|line| line.split_whitespace().nth(1) == Some("yes")).count();
    assert!(open > 10, "the control: nothing is guarded\n{table}");
}
