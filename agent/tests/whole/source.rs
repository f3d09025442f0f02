//! Bad and hostile input: a clear error, and no process left running.

use longhaul_proto::{
    state::{Cause, RunState},
    transport::{self, Key, Proof},
    wire::{self, agent_client::AgentClient},
};
use tonic::Code;

use crate::{
    Test,
    kit::{Gateway, PINGS, Place, block_on, gateway_key, greeter, path, text},
};

pub(crate) const TESTS: &[Test] = &[
    ("what_is_wrong_with_the_source_is_told", bad_sources),
    ("hostile_paths_run_and_hostile_arguments_are_refused", hostile),
    ("changed_bytes_are_not_run", changed),
    ("a_runs_environment_holds_no_secret", environment),
    ("a_full_spool_takes_no_run", full),
    ("only_the_gateways_key_opens_an_agent", uninvited),
];

fn bad_sources() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        place.write("empty.do", "");
        std::fs::write(place.project().join("binary.do"), b"\x00\x01").unwrap();
        let outside = place.folder.path().join("outside.do");
        std::fs::write(&outside, "display 1\n").unwrap();
        for (name, words) in [
            (place.project().join("missing.do"), ["does not exist", "bundle"]),
            (place.project().join("empty.do"), ["empty", "saved"]),
            (place.project().join("binary.do"), ["not text", "binary.do"]),
            (outside, ["outside", "--root"]),
        ] {
            let name = name.to_str().unwrap();
            let followed = gateway.complete(path(name)).await;
            let outcome = followed.outcome();
            assert_eq!(RunState::from_wire(outcome.state), Some(RunState::Errored));
            assert!(words.iter().all(|w| outcome.message.contains(w)), "{}", outcome.message);
            assert!(outcome.message.contains("stata1"), "{}", outcome.message);
            // Before the run, the gateway adds what else there is.
            let before = gateway.inspect(name).await.problem;
            assert!(outcome.message.starts_with(&before) && !before.is_empty(), "{before}: {}", outcome.message);
        }
        let good = place.write("good.do", "display 1\n");
        let seen = gateway.inspect(&good).await;
        assert!(seen.found && seen.problem.is_empty() && seen.bytes == 10, "{seen:?}");
    });
}

fn hostile() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        for folder in ["with blank", "dollar $HOME `x'", "quote \"' and ; cd", "ünïcödé", "new\nline"] {
            let file = place.write(
                &format!("{folder}/main \" $x.do"),
                "file open h using \"here.txt\", write text\nfile close h\n",
            );
            let followed = gateway.complete(path(&file)).await;
            followed.expect(RunState::Succeeded, Cause::Completed);
            assert!(place.project().join(folder).join("here.txt").exists(), "it ran in its own folder: {folder:?}");
        }
        for argument in ["`x'", "$x", "a\"'b", "two\nlines"] {
            let mut request = text("display 1\n");
            request.args = vec!["fine".into(), argument.into()];
            let outcome = gateway.complete(request).await.expect(RunState::Errored, Cause::SpawnFailed);
            assert!(outcome.message.contains("argument 2"), "{}", outcome.message);
        }
    });
}

fn changed() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let file = place.write("main.do", "display 1\n");
        let mut request = path(&file);
        request.code_sha256 = longhaul_proto::sha256_hex(b"display 2\n");
        let outcome = gateway.complete(request).await.expect(RunState::Errored, Cause::SourceUnreadable);
        assert!(outcome.message.contains("not what was submitted"), "{}", outcome.message);
    });
}

fn environment() {
    block_on(async {
        let place = Place::new()
            .with("LONGHAUL_JOIN_SECRET", "must not be seen")
            .with("LONGHAUL_TOKEN", "must not be seen")
            .with("AWS_SECRET_ACCESS_KEY", "must not be seen")
            .with("LC_NUMERIC", "may be seen");
        let (_agent, gateway) = place.agent().await;
        let request = text("display \"up\"\nsleep 600000\n");
        let run = request.run_id.clone();
        let mut followed = gateway.run(request, 1).await.unwrap();
        followed.until_log("up").await;
        let spool = place.spool(&run);
        crate::kit::until("the record of the start", || spool.started().exists()).await;
        let started: longhaul_agent::spool::Started = spool.read(&spool.started()).unwrap().unwrap();
        let environ = std::fs::read(format!("/proc/{}/environ", started.pid)).unwrap();
        let environ = String::from_utf8_lossy(&environ);
        assert!(environ.contains("may be seen") && environ.contains("STATATMP="), "{environ}");
        assert!(!environ.contains("must not be seen"), "{environ}");
        gateway.cancel(&run, longhaul_proto::wire::CancelMode::Kill).await;
        followed.rest().await;
    });
}

fn full() {
    block_on(async {
        let place = Place::new().changed(|options| options.min_free.bytes = 1 << 62);
        let (agent, gateway) = place.agent().await;
        assert!(agent.problem.contains("free"), "{}", agent.problem);
        assert!(gateway.describe().await.agent.unwrap().problem.contains("make room"));
        let request = text("display 1\n");
        let run = request.run_id.clone();
        let status = gateway.run(request, 1).await.err().unwrap();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        assert!(gateway.revoke(&run, 1).await, "nothing was left behind, and that can be proved");
    });
}

fn uninvited() {
    block_on(async {
        let place = Place::new();
        let (agent, gateway) = place.agent().await;
        let url = format!("http://{}", agent.addr);
        // Another key with the right secret, now that the gateway is pinned; the control is the gateway's own key.
        let other = Key::generate().unwrap();
        let refused = Gateway::try_connect(&url, &other).await.err().expect("a refusal");
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
        assert!(Gateway::try_connect(&url, &gateway_key()).await.is_ok());
        // Only `Hello` is served before `Hello`, and no call without TLS.
        let dialled = transport::dial(&url.parse().unwrap(), &gateway_key(), PINGS).await.unwrap();
        let early = AgentClient::new(dialled.transport).describe(wire::DescribeRequest {}).await.unwrap_err();
        assert_eq!(early.code(), Code::Unauthenticated, "{early:?}");
        let mut plain = AgentClient::connect(url.clone()).await.unwrap();
        for refused in [
            plain.hello(wire::HelloRequest::default()).await.unwrap_err(),
            plain.describe(wire::DescribeRequest {}).await.unwrap_err(),
        ] {
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
            assert!(refused.message().contains("upgrade the gateway"), "{refused:?}");
        }
        // Hello is short.
        let dialled = transport::dial(&url.parse().unwrap(), &gateway_key(), PINGS).await.unwrap();
        let long =
            wire::HelloRequest { version: "x".repeat(5000), ..greeter().request(&dialled.channel, "", Proof::Include) };
        let refused = AgentClient::new(dialled.transport).hello(long).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
        drop(gateway);
        // An agent that has no gateway yet accepts none without the secret.
        let place = Place::new();
        let agent = place.agent_alone(None).await;
        let dialled = transport::dial(&format!("http://{}", agent.addr).parse().unwrap(), &other, PINGS).await.unwrap();
        let mut client = AgentClient::new(dialled.transport);
        let mut hello = greeter().request(&dialled.channel, "", Proof::Include);
        hello.channel_proof[0] ^= 1;
        assert_eq!(client.hello(hello).await.unwrap_err().code(), Code::Unauthenticated);
        let unproved = greeter().request(&dialled.channel, "", Proof::Omit);
        assert_eq!(client.hello(unproved).await.unwrap_err().code(), Code::Unauthenticated);
        assert!(client.hello(greeter().request(&dialled.channel, "", Proof::Include)).await.is_ok(), "the control");
    });
}
