//! What supervisors of this host do, with shell scripts instead of Stata. What every executor must do is in
//! `tests/tests/system/executors.rs`.

use std::{collections::BTreeMap, sync::Arc};

use longhaul_agent::{
    executor::{Executor, Grounds, Hint, Job, Local, Probe, Supervision},
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
    for folder in [spool.control_folder(), spool.run_folder()] {
        std::fs::create_dir_all(folder).unwrap();
    }
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
        timing: Timing {
            timeout: None,
            start: 60_000,
            after_break: 60_000,
            after_terminate: 60_000,
            gathering: 30_000,
        },
        output_limit: 1 << 30,
        max_spool: 0,
        log_encoding: String::new(),
        gathers: None,
        installs: None,
        cores: None,
        limits: Default::default(),
    };
    spool.write(&spool.plan(), &plan).unwrap();
    Bench { executor: Arc::new(Local::new(std::env::current_exe().unwrap())), spool, _folder: folder }
}

impl Bench {
    fn job(&self) -> Job {
        Job { spool: self.spool.clone(), attempt: 1 }
    }

    async fn begin(&self) -> Hint {
        let accepted = self.executor.start(&[self.job()]).await.pop().unwrap().unwrap();
        accepted.over.expect("a hint of its end")
    }

    async fn start(&self) {
        self.begin().await.await;
    }

    async fn probe(&self) -> Probe {
        self.executor.probe(&self.job(), None).await
    }

    fn exit(&self) -> Exit {
        self.spool.read(&self.spool.exit()).unwrap().expect("an exit record")
    }

    async fn request(&self, mode: CancelMode) {
        self.spool.request_end(&CancelRecord { mode, by: "ada".into(), at_ms: 1 }).unwrap();
        self.executor.end(&self.job(), None, mode).await.unwrap();
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
        assert_eq!(std::fs::read(bench.spool.run_folder().join("count")).unwrap(), b"x\n", "begun once");
    });
}

fn alive() {
    block_on(async {
        let bench = bench("echo hello > $LOG; until [ -e go ]; do sleep 0.01; done");
        assert!(matches!(bench.probe().await, Probe::Gone(proof) if proof.grounds() == Grounds::NeverBegan));
        let gone = bench.begin().await;
        until("the first byte", || bench.spool.running().exists()).await;
        assert!(matches!(bench.probe().await, Probe::Alive(Supervision::Attended)));
        assert!(!bench.spool.exit().exists());
        std::fs::write(bench.spool.run_folder().join("go"), "").unwrap();
        gone.await;
        assert!(matches!(bench.probe().await, Probe::Gone(proof) if proof.grounds() == Grounds::Recorded));
        assert_eq!(bench.exit().code, Some(0));
    });
}

fn requests() {
    block_on(async {
        let bench = bench("trap '' INT TERM; echo hello > $LOG; while :; do sleep 0.01; done");
        let gone = bench.begin().await;
        until("the first byte", || bench.spool.running().exists()).await;
        bench.request(CancelMode::Break).await;
        until("the reason is on disk", || bench.spool.ending().exists()).await;
        bench.request(CancelMode::Kill).await;
        bench.request(CancelMode::Break).await;
        gone.await;
        let exit = bench.exit();
        assert_eq!(exit.signal, Some(9));
        assert_eq!(exit.ending.unwrap().by, "ada");
    });
}

fn cancelled_before() {
    block_on(async {
        let bench = bench("echo x > count");
        bench.request(CancelMode::Break).await;
        bench.start().await;
        assert!(!bench.exit().spawned);
        assert!(!bench.spool.run_folder().join("count").exists());
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
