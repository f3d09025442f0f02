//! What every executor must do, as one suite; the local one passes it with shell scripts instead of Stata.

use std::{collections::BTreeMap, sync::Arc};

use longhaul_agent::{
    executor::{Executor, Local},
    spool::{CancelMode, CancelRecord, Exit, FORMAT, Plan, Spool, SpoolRoot, Timing},
};

use crate::{
    Test,
    kit::{block_on, new_run, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("executor_starts_once_and_tells_the_end", starts_once),
    ("executor_tells_who_is_alive", alive),
    ("executor_obeys_a_request_and_keeps_the_stronger", requests),
    ("executor_does_not_start_what_was_cancelled", cancelled_before),
    ("executor_takes_all_descendants_down", descendants),
    ("executor_says_that_the_disk_is_full", full_disk),
];

struct Bench {
    executor: Arc<dyn Executor>,
    spool: Spool,
    _folder: tempfile::TempDir,
}

/// A plan whose Stata is `sh -c script` in the spool; `$LOG` is the log's name.
fn bench(script: &str) -> Bench {
    let folder = tempfile::Builder::new().prefix("lh-exec-").tempdir().unwrap();
    let path = folder.path().join("runs");
    bench_in(script, &path, folder)
}

fn bench_in(script: &str, runs: &std::path::Path, folder: tempfile::TempDir) -> Bench {
    let spool = SpoolRoot::open(runs.to_owned()).unwrap().of(new_run());
    spool.create().unwrap();
    let env = BTreeMap::from([
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
        ("LOG".to_owned(), format!("{}.log", spool.stem())),
    ]);
    let plan = Plan {
        format: FORMAT,
        attempt: 1,
        program: "/bin/sh".into(),
        arg0: None,
        argv: vec!["-c".into(), script.into()],
        env,
        engine: "stata".into(),
        engine_note: String::new(),
        working_dir: spool.path().to_owned(),
        source: String::new(),
        code_sha256: String::new(),
        profile: None,
        timing: Timing { timeout: None, start: 60_000, after_break: 60_000, after_terminate: 60_000 },
        output_limit: 1 << 30,
        max_spool: 0,
    };
    spool.write(&spool.plan(), &plan).unwrap();
    Bench { executor: Arc::new(Local::new(std::env::current_exe().unwrap())), spool, _folder: folder }
}

impl Bench {
    async fn start(&self) {
        self.executor.start(&self.spool).unwrap().await;
    }

    fn exit(&self) -> Exit {
        self.spool.read(&self.spool.exit()).unwrap().expect("an exit record")
    }

    fn request(&self, mode: CancelMode) {
        self.executor.cancel(&self.spool, &CancelRecord { mode, by: "ada".into(), at_ms: 1 }).unwrap();
    }
}

fn starts_once() {
    block_on(async {
        let bench = bench("echo x >> count; echo hello > $LOG; echo words; echo more >&2; exit 3");
        // Two at once, and one more afterwards.
        tokio::join!(bench.start(), bench.start());
        bench.start().await;
        until("the exit record", || bench.spool.exit().exists()).await;
        let exit = bench.exit();
        assert_eq!((exit.spawned, exit.code, exit.signal), (true, Some(3), None));
        assert_eq!(exit.log.sha256, longhaul_proto::sha256_hex(b"hello\n"));
        assert_eq!(exit.console.len, 11);
        assert_eq!(std::fs::read(bench.spool.path().join("count")).unwrap(), b"x\n", "begun once");
    });
}

fn alive() {
    block_on(async {
        let bench = bench("echo hello > $LOG; until [ -e go ]; do sleep 0.01; done");
        assert!(!bench.executor.alive(&bench.spool).unwrap());
        let gone = bench.executor.start(&bench.spool).unwrap();
        until("the first byte", || bench.spool.running().exists()).await;
        assert!(bench.executor.alive(&bench.spool).unwrap());
        assert!(!bench.spool.exit().exists());
        std::fs::write(bench.spool.path().join("go"), "").unwrap();
        gone.await;
        assert!(!bench.executor.alive(&bench.spool).unwrap());
        assert_eq!(bench.exit().code, Some(0));
    });
}

fn requests() {
    block_on(async {
        let bench = bench("trap '' INT TERM; echo hello > $LOG; while :; do sleep 0.01; done");
        let gone = bench.executor.start(&bench.spool).unwrap();
        until("the first byte", || bench.spool.running().exists()).await;
        bench.request(CancelMode::Break);
        until("the reason is on disk", || bench.spool.ending().exists()).await;
        bench.request(CancelMode::Kill);
        bench.request(CancelMode::Break);
        gone.await;
        let exit = bench.exit();
        assert_eq!(exit.signal, Some(9));
        assert_eq!(exit.ending.unwrap().by, "ada");
    });
}

fn cancelled_before() {
    block_on(async {
        let bench = bench("echo x > count");
        bench.request(CancelMode::Break);
        bench.start().await;
        assert!(!bench.exit().spawned);
        assert!(!bench.spool.path().join("count").exists());
    });
}

fn descendants() {
    block_on(async {
        // One process in the group, one orphaned in a session of its own that ignores SIGTERM.
        let bench = bench(
            "sleep 600 & (setsid sh -c 'trap \"\" TERM; echo x > deaf; while :; do sleep 0.05; done' &) ; echo hello > $LOG; \
             until [ -e deaf ]; do sleep 0.01; done",
        );
        bench.start().await;
        let exit = bench.exit();
        assert_eq!(exit.code, Some(0));
        assert!(exit.leftovers.len() >= 2, "{:?}", exit.leftovers);
        let mark = format!("{}={}", longhaul_agent::os::MARK, bench.spool.run());
        assert!(longhaul_agent::os::marked(&mark, 0).is_empty());
    });
}

/// Needs the right to mount; without it the test is skipped.
fn full_disk() {
    block_on(async {
        let folder = tempfile::Builder::new().prefix("lh-full-").tempdir().unwrap();
        let disk = folder.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        let mount = |words: &[&str]| {
            std::process::Command::new(words[0]).args(&words[1..]).arg(&disk).status().is_ok_and(|s| s.success())
        };
        if !mount(&["mount", "-t", "tmpfs", "-o", "size=2m", "none"]) {
            println!("no right to mount a small file system: not tried");
            return;
        }
        let bench = bench_in(
            "echo hello > $LOG; while echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >> $LOG; do :; done; exit 0",
            &disk.join("runs"),
            folder,
        );
        bench.spool.keep_reserve();
        bench.start().await;
        let exit = bench.exit();
        let outcome = (exit.disk_full, exit.code);
        let len = std::fs::metadata(bench.spool.log()).unwrap().len();
        assert!(mount(&["umount"]));
        assert_eq!(outcome, (true, Some(0)));
        assert_eq!(exit.log.len, len, "every byte that found room is in the record");
    });
}
