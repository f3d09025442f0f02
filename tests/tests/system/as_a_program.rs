//! What the program does besides its service: stand in for `stata -b`, show its case, tell of itself.

use std::fs;

use longhaul_proto::state::RunState;
use longhaul_tests::{lab, processes, wait};
use rustix::process::Signal;

use crate::operators::names;

#[tokio::test]
async fn stata_b_is_called_as_scripts_call_it() {
    let mut lab = lab!();
    lab.env("LONGHAUL_ENGINE", "standin");
    let gateway = lab.up(&["--seats", "1", "--serve-all"]).await;
    gateway.api.wait_host_up().await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    lab.file("data.txt", "here");
    lab.file("sub/fine.do", "args a b\ndisplay \"got `a' and `b'\"\nconfirm file data.txt\ndisplay \"brace {\"\n");
    lab.file("sub/bad.do", "display 1\nerror 9\n");
    lab.file("fine.log", "an older log");
    let stata = async |words: &[&str]| lab.run([&["--data", &data, "stata"], words].concat()).await;
    let log = |name: &str| fs::read_to_string(lab.work().join(name)).unwrap();

    let ran = stata(&["-b", "do", "sub/fine.do", "one", "\"two three\""]).await;
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (0, "", ""), "{ran:#?}");
    let text = log("fine.log");
    assert!(text.contains("got one and two three") && text.ends_with("end of do-file\n"), "{text}");
    assert!(!text.contains("an older log") && !text.contains("lh-"), "{text}");
    // As a batch log of Stata's has it, and not where `-q` says so.
    let first = text.strip_prefix("\n. do sub/fine.do one \"two three\" \n\n").expect(&text).to_owned();
    // Called again it runs again, without `do` and without the extension.
    fs::remove_file(lab.work().join("fine.log")).unwrap();
    let ran = stata(&["-q", "-e", "sub/fine", "one", "\"two three\""]).await;
    assert_eq!((ran.status, log("fine.log")), (0, first), "{ran:#?}");
    assert_eq!(gateway.api.list().await.unwrap().runs.len(), 2);
    let ran = stata(&["-s", "do", "sub/fine.do", "1", "2"]).await;
    let text = log("fine.smcl");
    assert!(ran.status == 0 && text.starts_with("{smcl}\n") && text.contains("brace {c -(}"), "{ran:#?}{text}");

    let ran = stata(&["-b", "do", "sub/bad.do"]).await;
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{ran:#?}");
    assert!(log("bad.log").ends_with("r(9);\n"), "{}", log("bad.log"));
    // So a reader of that log finds the place.
    let ran = lab.run(["judge", "bad.log", "--source", "."]).await;
    assert!(ran.out.contains("at sub/bad.do:2"), "{ran:#?}");
    let ran = stata(&["-e", "sub/bad.do"]).await;
    assert!(ran.status == 0 && log("bad.log").starts_with("\n. do \"sub/bad.do\" \n\n"), "{}", log("bad.log"));
    let ran = stata(&["--strict", "-b", "do", "sub/bad.do"]).await;
    assert!(ran.status == 1 && ran.err.contains("r(9) in bad.do") && !ran.err.contains("files in"), "{ran:#?}");
    // What a command writes itself is no file of the run; what the run writes is.
    lab.file("saves.do", "shell echo x > saved.dta\nerror 9\n");
    for (words, own) in
        [(&["stata", "--strict", "-b", "do", "saves.do"][..], "saves.log"), (&["run", "saves.do"], "out.txt")]
    {
        let mut command = lab.command([&["--data", &data], words].concat());
        command.stdout(fs::File::create(lab.work().join("out.txt")).unwrap()).stderr(std::process::Stdio::piped());
        let ended = command.spawn().unwrap().wait_with_output().await.unwrap();
        let err = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(err.contains("files in") && err.contains("saved.dta") && !err.contains(own), "{words:?}: {err}");
    }

    // A call that is refused leaves an older log, and makes none.
    lab.file("bad.log", "KEEP");
    for (file, log) in [("sub/bad.do", "bad.log"), ("sub/fine.do", "fine.log")] {
        let _ = fs::remove_file(lab.work().join("fine.log"));
        let ran = stata(&["-b", "do", file, "a`b"]).await;
        assert!(ran.status != 0 && ran.err.contains("backtick"), "{ran:#?}");
        let kept = fs::read_to_string(lab.work().join(log)).ok();
        assert_eq!(kept.as_deref(), (log == "bad.log").then_some("KEEP"), "{log}");
    }

    // Nor is a run recorded whose log cannot be written.
    fs::create_dir(lab.work().join("odd.log")).unwrap();
    lab.file("odd.do", "display 1\n");
    let runs = gateway.api.list().await.unwrap().runs.len();
    let ran = stata(&["-b", "do", "odd.do"]).await;
    assert!(ran.status == 4 && ran.err.contains("cannot write the log odd.log"), "{ran:#?}");
    assert_eq!(gateway.api.list().await.unwrap().runs.len(), runs);

    // It waits for its seat, the log grows meanwhile, and Ctrl-C ends the run as it would end Stata.
    let held = gateway.api.submit_path(&lab.gated(), &["held"]).await.run_id;
    gateway.api.wait_output(held, "started held").await;
    let gated = fs::read_to_string(lab.gated()).unwrap();
    lab.file("second.do", gated);
    let mut child = lab.command(["--data", &data, "stata", "-b", "do", "second.do", "second"]).spawn().unwrap();
    wait::until(wait::SOON, "it waits", async || {
        let runs = gateway.api.list().await.unwrap().runs;
        runs.iter().any(|run| run.state == RunState::Queued).then_some(())
    })
    .await;
    assert_eq!(lab.executions("second"), 0);
    lab.open_gate("held");
    wait::until_now(wait::SOON, "the log grows", || log("second.log").contains("started second").then_some(())).await;
    processes::signal(i32::try_from(child.id().unwrap()).unwrap(), Signal::INT);
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    assert_eq!(gateway.api.list().await.unwrap().runs[0].state, RunState::Cancelled);
    assert!(processes::engines(lab.path()).is_empty());
}

#[tokio::test]
async fn the_demonstration_shows_the_case_and_leaves_nothing() {
    let mut lab = lab!();
    let temporary = lab.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    lab.env("TMPDIR", &temporary);
    let ran = lab.run(["demo"]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    for words in ["SIGKILL", "longhaul wait", "succeeded", "none is missing, none came twice"] {
        assert!(ran.out.contains(words), "{words}: {ran:#?}");
    }
    assert_eq!(names(&temporary), [""; 0]);
    assert!(processes::below(lab.path()).is_empty(), "{:?}", processes::below(lab.path()));
    assert!(!lab.path().join("home/.local").exists(), "nothing of the user's is touched");

    // Left by Ctrl-C in the middle.
    let mut child = lab.command(["demo"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    wait::until_now(wait::SOON, "it is in the middle", || (!processes::engines(lab.path()).is_empty()).then_some(()))
        .await;
    processes::signal(i32::try_from(child.id().unwrap()).unwrap(), Signal::INT);
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    let gone = || processes::below(lab.path()).is_empty().then_some(());
    wait::until_now(wait::SOON, "all of its processes are gone", gone).await;
    assert_eq!(names(&temporary), [""; 0]);
}

#[tokio::test]
async fn the_program_tells_of_itself() {
    let lab = lab!();
    let done = async |words: &[&str]| {
        let ran = lab.run(words).await;
        assert_eq!(ran.status, 0, "{words:?}: {ran:#?}");
        ran.out
    };
    for (shell, words) in [("bash", "complete -F"), ("zsh", "#compdef longhaul"), ("fish", "complete -c longhaul")] {
        let text = done(&["completions", shell]).await;
        assert!(text.contains(words) && text.contains("declare-dead"), "{shell}: {text}");
        assert!(text.contains("queue-timeout") && text.contains("background"), "{shell}: {text}");
        for hidden in ["in-background", "supervise", "dashed"] {
            assert!(!text.contains(hidden), "{hidden} in {shell}: {text}");
        }
    }
    let folder = lab.path().join("man");
    done(&["man", folder.to_str().unwrap()]).await;
    let page = fs::read_to_string(folder.join("longhaul-run.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("working"), "{page}");
    let pages = names(&folder);
    let all: String = pages.iter().map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect();
    assert!(!all.contains("in\\-background") && !pages.iter().any(|name| name.contains("supervise")), "{pages:?}");
    assert!(!done(&["up", "--help"]).await.contains("in-background"));
    assert!(names(&folder).len() > 20, "{:?}", names(&folder));
    let version = done(&["--version"]).await;
    let commit = version.trim().strip_prefix("longhaul 0.1.0 (commit ").and_then(|rest| rest.strip_suffix(')'));
    let commit = commit.unwrap_or_else(|| panic!("{version}"));
    assert!(commit == "unknown" || commit.len() >= 7 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "{version}");
    let template = done(&["config", "template"]).await;
    assert!(
        template.contains("\n# seats = 1\n") && template.contains("# pools = { lab = 4 }    # for example"),
        "{template}"
    );
    for words in [&["run", "x.do", "--naem", "x"][..], &["log", "x", "--folow"]] {
        let ran = lab.run(words).await;
        assert!(ran.status == 2 && ran.err.contains(words[2]) && !ran.err.contains("-- --"), "{ran:#?}");
    }
    let ran = lab.run(["log", "x", "--folow"]).await;
    assert!(ran.err.contains("--follow"), "the control, a flag that is near is named: {ran:#?}");
}
