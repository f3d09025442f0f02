//! The result of a run that no fault disturbs.

use std::time::Duration;

use longhaul_proto::state::{Cause, RunState};

use crate::{
    Test,
    kit::{Place, block_on, path, submission, text},
};

pub(crate) const TESTS: &[Test] = &[
    ("success_comes_back_with_all_bytes", success),
    ("failure_has_code_message_command_and_place", failure),
    ("nested_failure_names_file_line_and_callers", nested),
    ("a_run_without_limit_is_not_limited", no_limit),
    ("a_reached_limit_ends_the_run", limit),
    ("no_log_in_time_is_a_start_timeout", start_timeout),
    ("no_licence_is_told", licence),
    ("a_crash_is_told", crash),
    ("a_program_that_cannot_start_is_told", no_program),
    ("output_beyond_the_limit_stays_on_the_host", output_limit),
    ("a_bundle_runs_among_its_files", bundle),
    ("a_project_profile_runs_only_when_asked_for", profile),
    ("a_deleted_log_comes_back", deleted_log),
];

fn success() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let file = place.write("main.do", "display 6*7\ndisplay \"`1' and `2'\"\n");
        let mut request = path(&file);
        request.args = vec!["north".into(), "south west".into()];
        let run = request.run_id.clone();
        let followed = gateway.complete(request).await;
        let outcome = followed.expect(RunState::Succeeded, Cause::Completed);
        assert!(outcome.started_at_ms > 0 && outcome.running_at_ms >= outcome.started_at_ms);
        assert!(outcome.note.contains("stand-in"), "{}", outcome.note);
        let snapshot = followed.last.clone().unwrap();
        assert_eq!(snapshot.working_dir, place.project().to_str().unwrap());
        assert_eq!(snapshot.engine, "standin");
        assert_eq!(snapshot.code_sha256, longhaul_proto::sha256_hex(&std::fs::read(&file).unwrap()));
        let log = followed.log_text();
        assert!(log.contains("\n42\n") && log.contains("north and south west"), "{log}");
        let view = snapshot.view.unwrap();
        let shown = &log[view.start as usize..view.end.unwrap() as usize];
        assert_eq!(view.safe_end, view.end);
        assert!(shown.contains("42") && !shown.contains("sentinel") && !shown.contains("code.do"), "{shown}");

        // The same again from the middle, and the request with it.
        let half = followed.log.len() as u64 / 2;
        let mut again = gateway.follow(&run, half, 0).await.unwrap().from(half, 0);
        again.rest().await;
        assert_eq!(again.log, followed.log[half as usize..]);
        assert_eq!(again.first.unwrap().submission.unwrap().principal, "ada");
        let past = gateway.follow(&run, followed.log.len() as u64 + 1, 0).await.err().unwrap();
        assert_eq!(past.code(), tonic::Code::OutOfRange);
        // Only the files that are meant to stay are left.
        assert!(!place.spool(&run).tmp().exists());
        assert!(!place.project().join("main.log").exists(), "nothing of ours in the user's folder");
    });
}

fn failure() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let file = place.write("bad.do", "display 1\ngenerate y = nothing + 1\ndisplay 2\n");
        let followed = gateway.complete(path(&file)).await;
        let outcome = followed.expect(RunState::Failed, Cause::StataError);
        assert_eq!(outcome.rc, Some(111));
        assert!(outcome.message.contains("not found"), "{outcome:?}");
        assert!(outcome.command.contains("generate y"), "{outcome:?}");
        let location = outcome.location.unwrap();
        assert_eq!((location.file, location.line), (file, 2));
    });
}

fn nested() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let inner = place.write("lib/inner.do", "display 1\n\nerror 459\n");
        place.write("lib/middle.do", "do lib/inner.do\n");
        let outer = place.write("outer.do", "* first\ndo lib/middle.do\n");
        let outcome = gateway.complete(path(&outer)).await.expect(RunState::Failed, Cause::StataError);
        assert_eq!(outcome.rc, Some(459));
        let location = outcome.location.unwrap();
        assert_eq!((location.file.as_str(), location.line), (inner.as_str(), 3));
        assert_eq!(location.callers.len(), 2, "{:?}", location.callers);
        assert_eq!(location.callers[0], format!("{outer}:2"));
    });
}

fn no_limit() {
    block_on(async {
        // Scaled by the stand-in's clock: twenty minutes of sleep.
        let place = Place::new().with("LONGHAUL_STANDIN_TIME_SCALE", "0.0005");
        let (_agent, gateway) = place.agent().await;
        let followed = gateway.complete(text("sleep 1200000\ndisplay \"done\"\n")).await;
        followed.expect(RunState::Succeeded, Cause::Completed);
    });
}

fn limit() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let mut request = text("display \"before\"\nsleep 600000\n");
        request.timeout_ms = 300;
        let followed = gateway.complete(request).await;
        let outcome = followed.expect(RunState::TimedOut, Cause::RunTimeout);
        assert!(followed.log_text().contains("before"), "the output so far is kept");
        assert!(outcome.duration_ms >= 300);
        assert_eq!(outcome.ended_by, "");
    });
}

fn start_timeout() {
    block_on(async {
        let place = Place::new()
            .with("LONGHAUL_STANDIN_LICENCE", "hang")
            .changed(|options| options.start_timeout = Duration::from_millis(300));
        let (_agent, gateway) = place.agent().await;
        let outcome = gateway.complete(text("display 1\n")).await.expect(RunState::Errored, Cause::StartTimeout);
        assert_eq!(outcome.running_at_ms, 0);
        assert_eq!(outcome.diagnosis.map(|found| found.kind).as_deref(), Some("start_failed"));
    });
}

fn licence() {
    block_on(async {
        for word in ["invalid", "missing"] {
            let place = Place::new().with("LONGHAUL_STANDIN_LICENCE", word);
            let (_agent, gateway) = place.agent().await;
            let followed = gateway.complete(text("display 1\n")).await;
            let outcome = followed.expect(RunState::Errored, Cause::Licence);
            assert_eq!(outcome.diagnosis.map(|found| found.kind).as_deref(), Some("licence"));
            assert!(!followed.console.is_empty(), "the words on the console come too");
        }
    });
}

fn crash() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let followed = gateway.complete(text("display \"here\"\n*! standin: crash abort\n")).await;
        let outcome = followed.expect(RunState::Errored, Cause::Crashed);
        assert_eq!(outcome.signal, Some(6));
        assert!(followed.log_text().contains("here"));
    });
}

fn no_program() {
    block_on(async {
        let place = Place::new().changed(|options| {
            let fake = options.data.join("stata-mp");
            std::fs::create_dir_all(&options.data).unwrap();
            std::fs::write(&fake, "#!/nonexistent/shell\n").unwrap();
            std::os::unix::fs::PermissionsExt::set_mode(&mut std::fs::metadata(&fake).unwrap().permissions(), 0o755);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&fake, mode).unwrap();
            options.engine = longhaul_agent::Choice::Stata;
            options.stata = Some(fake);
        });
        let (_agent, gateway) = place.agent().await;
        let followed = gateway.complete(text("display 1\n")).await;
        let outcome = followed.expect(RunState::Errored, Cause::SpawnFailed);
        assert!(outcome.message.contains("could not be started"), "{outcome:?}");
    });
}

fn output_limit() {
    block_on(async {
        let place = Place::new().changed(|options| options.output_limit = 10_000);
        let (_agent, gateway) = place.agent().await;
        let followed = gateway.complete(text("*! standin: burst 2000\ndisplay \"the end\"\n")).await;
        let outcome = followed.expect(RunState::Succeeded, Cause::Completed);
        assert_eq!(followed.log.len(), 10_000);
        assert!(outcome.note.contains("output limit"), "{}", outcome.note);
    });
}

fn bundle() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let file = |path: &str, content: &str| longhaul_proto::wire::BundleFile {
            path: path.into(),
            content: content.as_bytes().to_vec(),
            mode: 0,
        };
        let request = submission(longhaul_proto::wire::submission::Source::Bundle(longhaul_proto::wire::Bundle {
            files: vec![file("main.do", "do sub/part.do\n"), file("sub/part.do", "display \"from the part\"\n")],
            entry: "main.do".into(),
        }));
        let followed = gateway.complete(request).await;
        followed.expect(RunState::Succeeded, Cause::Completed);
        assert!(followed.log_text().contains("from the part"));
    });
}

fn profile() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        place.write("profile.do", "global greeting \"hello from the profile\"\n");
        let file = place.write("main.do", "display \"[$greeting]\"\n");
        for wanted in [false, true] {
            let mut request = path(&file);
            request.project_profile = wanted;
            let followed = gateway.complete(request).await;
            followed.expect(RunState::Succeeded, Cause::Completed);
            assert_eq!(followed.log_text().contains("[hello from the profile]"), wanted, "{}", followed.log_text());
            assert_eq!(followed.last.unwrap().profile_ran, wanted);
        }
    });
}

fn deleted_log() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let request = text("display \"one\"\nsleep 3000\ndisplay \"two\"\n");
        let run = request.run_id.clone();
        let mut followed = gateway.run(request, 1).await.unwrap();
        followed.until_log("one").await;
        let spool = place.spool(&run);
        crate::kit::until("the supervisor has seen it", || spool.running().exists()).await;
        std::fs::remove_file(spool.log()).unwrap();
        followed.rest().await;
        let outcome = followed.expect(RunState::Succeeded, Cause::Completed);
        assert!(outcome.note.contains("deleted"), "{}", outcome.note);
        assert!(followed.log_text().contains("two"));
    });
}
