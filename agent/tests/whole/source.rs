//! Bad and hostile input: a clear word, and nothing left running.

use longhaul_proto::state::{Cause, RunState};

use crate::{
    Test,
    kit::{Place, block_on, path, text},
};

pub(crate) const TESTS: &[Test] = &[
    ("what_is_wrong_with_the_source_is_told", bad_sources),
    ("hostile_paths_run_and_hostile_arguments_are_refused", hostile),
    ("changed_bytes_are_not_run", changed),
    ("a_runs_environment_holds_no_secret", environment),
    ("a_full_spool_takes_no_run", full),
    ("nobody_gets_in_without_the_secret", uninvited),
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
            assert_eq!(gateway.inspect(name).await.problem, outcome.message, "said alike before and after");
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
        let (_agent, gateway) = place.agent().await;
        assert_eq!(gateway.uninvited().await.code(), tonic::Code::Unauthenticated);
    });
}
