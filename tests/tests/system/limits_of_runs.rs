//! What one run may use of its host: memory, processes, processor time, time, spool; and that nothing of it stays.
//!
//! Each limit with its control: without it the same code goes on to succeed. What the kernel keeps is tested where the
//! machine has the means for that; elsewhere a run's supervisor keeps the same limits.

use std::{
    fs,
    path::{Path, PathBuf},
};

use longhaul_proto::{
    api::{RunView, SubmitRequest},
    state::{Cause, RunState},
};
use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, finish},
    need, processes, wait,
};
use rustix::process::Signal;

/// Half a gigabyte for two seconds, in a process that the code starts.
const MEMORY: &str = "shell head -c 300000000 /dev/zero | tail -c 300000000 | sh -c 'sleep 2; cat' > /dev/null\n";
/// Forty processes for two seconds.
const PROCESSES: &str =
    "shell for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 2 & sleep 2 & done; wait\n";
/// Two seconds of processor time.
const PROCESSOR: &str = "shell sh -c 'ulimit -t 2; while :; do :; done'\n";
/// Three seconds, with output from the start.
const TIME: &str = "sleep 3000\n";
const SPOOL: &str = "shell head -c 20000000 /dev/zero > big.bin\nsleep 3000\n";

/// A limit, code that goes beyond it, and the end that this makes.
struct Case {
    setting: &'static str,
    code: &'static str,
    end: (RunState, Cause),
    kind: &'static str,
    /// In the message.
    limit: &'static str,
}

const CASES: [Case; 5] = [
    Case {
        setting: "max_run_memory = \"128MiB\"\n",
        code: MEMORY,
        end: (RunState::Errored, Cause::OutOfMemory),
        kind: "out_of_memory",
        limit: "128.0 MiB",
    },
    Case {
        setting: "max_run_processes = 24\n",
        code: PROCESSES,
        end: (RunState::Errored, Cause::OverLimit),
        kind: "policy_blocked",
        limit: "24 (max_run_processes)",
    },
    Case {
        setting: "max_run_cpu = \"500ms\"\n",
        code: PROCESSOR,
        end: (RunState::Errored, Cause::OverLimit),
        kind: "policy_blocked",
        limit: "0.5 s (max_run_cpu)",
    },
    Case {
        setting: "max_run_time = \"1s\"\n",
        code: TIME,
        end: (RunState::TimedOut, Cause::RunTimeout),
        kind: "timeout",
        limit: "1.0 s",
    },
    Case {
        setting: "max_run_spool = \"8MiB\"\n",
        code: SPOOL,
        end: (RunState::Errored, Cause::SpoolFull),
        kind: "output_too_large",
        limit: "8.0 MiB",
    },
];

async fn start(config: &str, faults: &str) -> (Lab, Gateway) {
    let mut lab = lab!();
    lab.config(config).env("LONGHAUL_FAULTS", faults);
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    (lab, gateway)
}

async fn run(gateway: &Gateway, code: &str) -> RunView {
    let text = Some(format!("display \"before\"\n{code}display \"after\"\n"));
    let request = SubmitRequest { text, again: true, ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    gateway.api.wait_end(run).await
}

#[tokio::test]
async fn a_run_beyond_a_limit_is_ended_in_words() {
    for case in &CASES {
        let (lab, gateway) = start(case.setting, "").await;
        let end = run(&gateway, case.code).await;
        assert_eq!((end.state, end.cause), case.end, "{}: {end:#?}", case.setting);
        let (words, name) = (end.message.clone().unwrap_or_default(), case.setting.split(' ').next().unwrap());
        assert!(words.contains(name) && words.contains(case.limit) && words.contains("kept"), "{words}");
        assert!(case.setting.contains("spool") || words.contains("the agent's owner sets this limit"), "{words}");
        assert_eq!(end.error.as_ref().unwrap().kind.to_string(), case.kind, "{end:#?}");
        let advice = &end.error.as_ref().unwrap().advice;
        if name == "max_run_time" {
            assert!(advice.contains("owner of the agent") && advice.contains("`timeout` changes nothing"), "{advice}");
        }
        if name == "max_run_memory" {
            // What the record has is no less than what the words say.
            let most = end.process.unwrap().max_rss_bytes.unwrap();
            assert!(most >= 120 << 20, "{most} bytes, and: {words}");
        }
        let log = String::from_utf8(gateway.api.output(end.run_id, "log").await.unwrap()).unwrap();
        assert!(log.contains("before\n"), "what it printed is kept: {log}");
        let spool = Lab::spool(&gateway.daemon, end.run_id);
        let nothing = || processes::below(&spool).is_empty().then_some(());
        wait::until_now(wait::SOON, "nothing of it runs", nothing).await;
        let shown = lab.run(["show", "last", "--data", gateway.daemon.data.to_str().unwrap()]).await;
        let line = shown.out.lines().find(|line| line.starts_with("limits ")).unwrap_or_default();
        assert!(line.contains("of spool; "), "{shown:#?}");
    }
}

/// The control: without the limit the same code comes to its end.
#[tokio::test]
async fn without_a_limit_the_same_code_succeeds() {
    let (_lab, gateway) = start("seats = 5\nmax_run_spool = 0\n", "").await;
    let all = CASES.iter().map(|case| run(&gateway, case.code));
    for end in futures_util::future::join_all(all).await {
        assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    }
}

/// The control for what keeps them: with that switched off the limits are set and nothing comes of it.
#[tokio::test]
async fn limits_that_are_not_looked_at_end_nothing() {
    let all: String = ["seats = 4\n"].into_iter().chain(CASES[..4].iter().map(|case| case.setting)).collect();
    let (_lab, gateway) = start(&all, "bug=runs_unlimited").await;
    let all = CASES[..4].iter().map(|case| run(&gateway, case.code));
    for end in futures_util::future::join_all(all).await {
        assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    }
}

#[tokio::test]
async fn a_request_may_ask_for_less_time_than_the_agent_allows_and_not_for_more() {
    let (_lab, gateway) = start("max_run_time = \"2s\"\n", "").await;
    for (timeout, words) in [(0.5, "the time limit that was set for it"), (600.0, "(max_run_time)")] {
        let text = Some("display 1\nsleep 60000\n".to_owned());
        let request = SubmitRequest { text, timeout: Some(timeout), again: true, ..SubmitRequest::default() };
        let run = gateway.api.submit(&request).await.unwrap().run.run_id;
        let end = gateway.api.wait_end(run).await;
        assert_eq!((end.state, end.cause), (RunState::TimedOut, Cause::RunTimeout), "{end:#?}");
        assert!(end.message.as_ref().unwrap().contains(words), "{end:#?}");
    }
}

#[tokio::test]
async fn hosts_and_doctor_say_what_a_run_may_use_and_what_keeps_it_to_that() {
    let (lab, gateway) = start("max_run_memory = \"4GiB\"\nmax_run_processes = 512\nmax_run_time = \"3d\"\n", "").await;
    let hosts = gateway.api.hosts().await.unwrap();
    let limits = hosts.hosts[0].limits.unwrap();
    assert_eq!((limits.memory_bytes, limits.processes), (Some(4 << 30), Some(512)));
    assert_eq!((limits.time, limits.cpu, limits.spool_bytes), (Some(259_200.0), None, Some(8 << 30)));
    assert!(limits.first_for_memory && limits.not_dumpable, "{limits:?}");
    let data = gateway.daemon.data.to_str().unwrap();
    let shown = lab.run(["hosts", "--data", data]).await;
    assert!(shown.out.contains(&format!("a run may use {}\n", limits.words())), "{shown:#?}");
    let doctor = lab.run(["doctor", "--data", data]).await;
    assert!(doctor.out.contains("limits of runs on ") && doctor.out.contains(&limits.words()), "{doctor:#?}");
    assert_eq!(doctor.out.contains("DelegateSubgroup=agent"), limits.advice().is_some(), "{doctor:#?}");
}

#[tokio::test]
async fn a_limit_below_what_any_run_needs_is_refused_at_the_start() {
    let lab = lab!();
    for (flag, value) in [("--max-run-memory", "4"), ("--max-run-processes", "2")] {
        let ran = lab.run(["up", "--engine", "standin", "--listen", "127.0.0.1:0", flag, value]).await;
        assert!(ran.status == 2 && ran.err.contains("at least"), "{ran:#?}");
    }
}

/// Score by which the kernel chooses whom to end where the host's memory runs out.
fn score(pid: i32) -> i32 {
    fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse().unwrap()
}

/// How much more likely it ends the run than the agent and the supervisor.
async fn scores(faults: &str) -> (i32, i32) {
    let (lab, gateway) = start("", faults).await;
    let run = gateway.api.submit_path(&lab.gated(), &["score"]).await.run_id;
    gateway.api.wait_output(run, "started score").await;
    let agent = score(gateway.daemon.pid());
    let engine = processes::engines(lab.path())[0].pid;
    let supervisor = processes::supervisors(&Lab::spool(&gateway.daemon, run))[0].pid;
    let scores = (score(engine) - agent, score(supervisor) - agent);
    lab.open_gate("score");
    gateway.api.wait_end(run).await;
    scores
}

#[tokio::test]
async fn where_memory_runs_out_a_run_is_ended_before_its_agent() {
    assert_eq!(scores("").await, (500, 0));
    assert_eq!(scores("bug=runs_last_for_memory").await, (0, 0), "the control");
}

/// Lines of a shell script that a do-file starts: `$supervisor` is the process above its Stata. (In a do-file `$` is Stata's.)
const SUPERVISOR: &str = "stata=$PPID\nuntil tr '\\0' ' ' < /proc/$stata/cmdline | grep -q ' standin '; do stata=$(cut -d' ' -f4 \
                          /proc/$stata/stat); done\nsupervisor=$(cut -d' ' -f4 /proc/$stata/stat)\n";

/// Whose memory a do-file of an ordinary user can open: `agent` and `supervisor`, those whose parents they are.
async fn open_memory(faults: &str) -> Option<String> {
    use std::os::unix::fs::{PermissionsExt, chown};
    const NOBODY: u32 = 65534;
    if !need::root() {
        need::skip("second-user", "only the superuser can become another user");
        return None;
    }
    let lab = lab!();
    let home = lab.path().join("nobody");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(lab.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = home.join("longhaul");
    fs::copy(env!("CARGO_BIN_EXE_longhaul-under-test"), &program).unwrap();
    let code = "shell sh tries.sh > opened\n";
    let tries = format!(
        "{SUPERVISOR}agent=$(cut -d' ' -f4 /proc/$supervisor/stat)\nfor process in supervisor agent; do\neval pid=\\$$process\n\
         [ -d /proc/$pid ] || echo no $process\nhead -c 0 /proc/$pid/mem 2>/dev/null && echo $process\ndone\necho tried\n"
    );
    for (name, text) in [("tries.sh", tries.as_str()), ("try.do", code)] {
        fs::write(home.join(name), text).unwrap();
    }
    for path in [&home, &home.join("tries.sh"), &home.join("try.do")] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = tokio::process::Command::new(&program);
    command.args(["run", "--engine", "standin", "try.do"]).uid(NOBODY).gid(NOBODY).current_dir(&home);
    command.env_clear().envs([("HOME", home.to_str().unwrap()), ("PATH", "/usr/bin:/bin")]);
    command.envs([("LONGHAUL_FAULTS", faults), ("LONGHAUL_MIN_FREE", "1MiB"), ("LONGHAUL_MIN_FREE_PERCENT", "0")]);
    let ran = finish(command).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    Some(fs::read_to_string(home.join("opened")).unwrap())
}

#[tokio::test]
async fn a_do_file_cannot_read_the_memory_of_its_agent_and_its_supervisor() {
    let Some(opened) = open_memory("").await else { return };
    assert_eq!(opened, "tried\n");
    assert_eq!(open_memory("bug=memory_open_to_runs").await.unwrap(), "supervisor\nagent\ntried\n", "the control");
}

/// A cgroup of the test's own, as a unit has one.
struct Unit(PathBuf);

impl Unit {
    fn new(lab: &Lab) -> Option<Self> {
        let name = lab.path().file_name().unwrap();
        let made = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].iter().find_map(|root| {
            let unit = Path::new(root).join(name);
            fs::create_dir(&unit).ok()?;
            let unit = Self(unit);
            unit.0.join("cgroup.kill").exists().then_some(unit)
        });
        if made.is_none() {
            need::skip("cgroup2", "no cgroup of version 2 can be made here");
        }
        made
    }

    /// An agent in it, as its service manager starts one.
    fn agent(&self, lab: &Lab, gateway: &Gateway) -> Daemon {
        let mut spec = lab.agent_spec("stata1", gateway, &[]);
        spec.cgroup = Some(self.0.join("cgroup.procs"));
        Daemon::start("stata1", &lab.path().join("stata1"), spec)
    }

    /// The groups of runs, and whether there is a process in them.
    fn groups(&self) -> Vec<(PathBuf, bool)> {
        let folders = fs::read_dir(&self.0).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir());
        folders
            .map(|folder| {
                let events = fs::read_to_string(folder.join("cgroup.events")).unwrap_or_default();
                (folder, events.contains("populated 1"))
            })
            .collect()
    }

    fn group_of(&self, pid: i32) -> Option<PathBuf> {
        let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
        let name = Path::new(&path).file_name()?.to_owned();
        Some(self.0.join(name)).filter(|folder| folder.exists())
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        for _ in 0..10_000 {
            let inner: Vec<_> = self.groups().into_iter().map(|(folder, _)| folder).collect();
            if inner.into_iter().chain([self.0.clone()]).map(fs::remove_dir).all(|done| done.is_ok()) {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// Goes on for ever as a new process in a new session without a variable, whose parent is gone.
const AGAIN: &str = "#!/bin/sh\nsleep 0.05\nenv -i setsid /bin/sh \"$0\" >/dev/null 2>&1 </dev/null &\n";

/// A run that leaves such a process and kills its own supervisor, and perhaps loses its agent too. Returns whether the
/// process is still there after the run's end.
async fn what_stays(faults: &str, kill_agent: bool) -> Option<bool> {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let unit = Unit::new(&lab)?;
    let gateway = lab.gateway().await;
    let mut agent = unit.agent(&lab, &gateway);
    gateway.api.wait_host("stata1", "up").await;
    let again = lab.file("again.sh", AGAIN);
    let hide = lab.file("hide.sh", format!("sh {} &\n{SUPERVISOR}kill -9 $supervisor\n", again.display()));
    let code = format!("shell sh {}\ndisplay \"started it\"\nsleep 2000\ndisplay \"over\"\n", hide.display());
    let request = SubmitRequest { text: Some(code), ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    gateway.api.wait_output(run, "started it").await;
    let engine = processes::engines(lab.path())[0].pid;
    let group = unit.group_of(engine);
    assert_eq!(group.as_ref().is_some_and(|group| *group != unit.0), faults.is_empty(), "{group:?}");
    if kill_agent {
        agent.kill();
        agent.restart();
    }
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    if faults.is_empty() {
        let gone = || (!group.as_ref().unwrap().exists()).then_some(());
        wait::until_now(wait::SOON, "its group is removed", gone).await;
    }
    let left = |found: &processes::Found| found.command.contains("again.sh");
    let stays = processes::below(lab.path()).iter().any(left);
    // A moment between two generations must not pass for the end of them.
    let stays = stays || (!faults.is_empty() && wait_for_another(&lab).await);
    drop((agent, unit));
    Some(stays)
}

async fn wait_for_another(lab: &Lab) -> bool {
    let left = |found: &processes::Found| found.command.contains("again.sh");
    wait::until_now(wait::SOON, "another generation", || processes::below(lab.path()).iter().any(left).then_some(true))
        .await
}

#[tokio::test]
async fn nothing_outlives_a_run_in_a_group_of_its_own_whatever_it_does() {
    for kill_agent in [false, true] {
        let Some(stays) = what_stays("", kill_agent).await else { return };
        assert!(!stays, "agent killed: {kill_agent}");
    }
}

/// The control: without a group a process is lost that hides from its session, its parents and its variables.
#[tokio::test]
async fn without_a_group_of_its_own_a_process_can_hide() {
    let Some(stays) = what_stays("bug=runs_without_group", false).await else { return };
    assert!(stays);
}

#[tokio::test]
async fn groups_are_told_of_and_empty_ones_are_removed() {
    let lab = lab!();
    let Some(unit) = Unit::new(&lab) else { return };
    let gateway = lab.gateway().await;
    let mut agent = unit.agent(&lab, &gateway);
    gateway.api.wait_host("stata1", "up").await;
    let limits = gateway.api.hosts().await.unwrap().hosts[0].limits.unwrap();
    assert!(limits.group, "{limits:?}");
    let request = SubmitRequest { text: Some("display 1\n".into()), ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    let end = gateway.api.wait_end(run).await;
    assert!(end.process.and_then(|process| process.limits).is_some_and(|limits| limits.group), "{end:#?}");
    // Killed with all that is in it: groups stay, and nothing is in them.
    fs::write(unit.0.join("cgroup.kill"), "1").unwrap();
    agent.kill();
    let empty = || unit.groups().iter().all(|(_, populated)| !populated).then_some(());
    wait::until_now(wait::SOON, "all is dead", empty).await;
    let before: Vec<_> = unit.groups().into_iter().map(|(folder, _)| folder).collect();
    assert!(!before.is_empty(), "that of the supervisor which waited for the next run");
    agent.restart();
    gateway.api.wait_host("stata1", "up").await;
    let gone = || before.iter().all(|folder| !folder.exists()).then_some(());
    wait::until_now(wait::SOON, "empty groups are removed", gone).await;
    processes::signal(agent.pid(), Signal::TERM);
    drop((agent, unit));
}
