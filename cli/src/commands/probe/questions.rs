//! The questions: what no public source says of Stata at its process boundary, each measured by a small do-file.

use std::{fs, io, path::Path, process::Stdio, time::Duration};

use longhaul_agent::stata::{
    gather, judge_wrapped,
    view::ViewFinder,
    wrapper::{Spec, Wrapper},
};
use longhaul_proto::encoding::Encoding;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Answer,
    bench::{Bench, status_words},
    state,
};

/// How long something may take that comes at once or not at all.
const SOON: Duration = Duration::from_secs(5);
/// How long a break may take.
const BREAK: Duration = Duration::from_secs(15);

/// `exit N, STATA`: its status, and the end of the log.
pub(super) async fn exit_status(bench: &Bench) -> io::Result<Answer> {
    let place = bench.place("exit", "display \"started\"\nexit 3, STATA clear\n")?;
    let ended = bench.batch_run(&place).await?;
    let last = bench.last_lines(&bench.log(&place), 3);
    Ok(Answer::new("exit_stata", "What is the status after `exit 3, STATA clear`, and how does the log end?")
        .answered(status_words(ended.status))
        .with(last))
}

/// The status after an error of a do-file.
pub(super) async fn error_status(bench: &Bench) -> io::Result<Answer> {
    let place = bench.place("error", "display \"started\"\nerror 459\n")?;
    let ended = bench.batch_run(&place).await?;
    let last = bench.last_lines(&bench.log(&place), 3);
    let as_assumed = ended.status.is_some_and(|s| s.code() == Some(0)) && last.last().is_some_and(|l| l == "r(459);");
    Ok(Answer::new("error_status", "What is the status after a do-file's error, and how does the log end?")
        .answered(status_words(ended.status))
        .with(last)
        .assumed(as_assumed, "exit status 0, and r(459); as the log's end"))
}

/// SIGINT in batch mode.
pub(super) async fn interrupt(bench: &Bench) -> io::Result<Answer> {
    let place = bench.place("interrupt", "display \"started\"\nforvalues n = 1/1200 {\nsleep 50\n}\n")?;
    let child = bench.start(&place, &[bench.batch(), "do", "lhprobe.do"], Stdio::null())?;
    let asks = Answer::new("interrupt", "What does SIGINT do to Stata in batch mode?");
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if !bench.shows(&place, "\nstarted", SOON * 4).await {
        return Ok(asks.answered("not asked: the do-file did not begin in time"));
    }
    if let Some(pid) = pid {
        kill_process(pid, Signal::INT)?;
    }
    let ended = bench.end(child, BREAK).await;
    let log = bench.log(&place);
    let answer = match ended.status {
        None => format!("nothing within {} s", BREAK.as_secs()),
        status if log.contains("--Break--") => format!("it breaks (--Break--), then {}", status_words(status)),
        status => status_words(status),
    };
    Ok(asks.answered(answer).with(bench.last_lines(&log, 3)))
}

/// When lines of the batch log can be read.
pub(super) async fn flushing(bench: &Bench) -> io::Result<Answer> {
    // In the body of a loop, which is echoed before it runs: the echo of a next command would complete the line.
    let code = "display \"first line\"\nlocal shut = 1\nforvalues n = 1/1 {\ndisplay \"half\" _continue\nwhile `shut' {\n\
                capture confirm file \"gate\"\nlocal shut = _rc\nsleep 20\n}\ndisplay \" and whole\"\n}\n";
    let place = bench.place("flushing", code)?;
    let child = bench.start(&place, &[bench.batch(), "do", "lhprobe.do"], Stdio::null())?;
    let line = bench.shows(&place, "\nfirst line\n", SOON * 4).await;
    let half = line && bench.shows(&place, "\nhalf", Duration::from_secs(1)).await;
    fs::write(place.join("gate"), "")?;
    bench.end(child, SOON * 4).await;
    let answer = match (line, half) {
        (true, true) => "each piece at once",
        (true, false) => "each line when it is complete",
        (false, _) => "not while it runs",
    };
    Ok(Answer::new("flushing", "When can what is printed be read in the batch log?")
        .answered(answer)
        .assumed(line, "each line when it is complete"))
}

/// Whether a piped console prints at once.
pub(super) async fn console(bench: &Bench) -> io::Result<Answer> {
    let place = bench.place("console", "")?;
    let mut child = bench.start(&place, &["-q"], Stdio::piped())?;
    let mut stdin = child.stdin.take();
    let mut seen = Vec::new();
    if let Some(stdin) = &mut stdin {
        stdin.write_all(b"display \"he\" + \"re\"\n").await?;
    }
    let read = async {
        let mut piece = [0_u8; 4096];
        while let Some(stdout) = &mut child.stdout {
            match stdout.read(&mut piece).await {
                Ok(n) if n > 0 => seen.extend_from_slice(&piece[..n]),
                _ => break,
            }
            if String::from_utf8_lossy(&seen).contains("here") {
                return true;
            }
        }
        false
    };
    let at_once = tokio::time::timeout(SOON, read).await.unwrap_or(false);
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(b"exit, clear\n").await;
    }
    let ended = bench.end(child, BREAK).await;
    let answer = match (at_once, ended.out.contains("here")) {
        (true, _) => "at once",
        (false, true) => "only at its end",
        (false, false) => "not at all",
    };
    Ok(Answer::new("console", "When does a console Stata whose input and output are pipes print?").answered(answer))
}

/// The name of the log of a do-file with a blank in its name, and what `-s` makes.
pub(super) async fn names(bench: &Bench) -> io::Result<[Answer; 2]> {
    let place = bench.place("blank", "display 1\n")?;
    fs::rename(place.join("lhprobe.do"), place.join("two words.do"))?;
    bench.run(&place, &[bench.batch(), "do", "\"two words.do\""]).await?;
    let blank = Answer::new("blank_in_name", "Which log does `do \"two words.do\"` make?").answered(made(&place)?);
    let place = bench.place("smcl", "display 1\n")?;
    bench.run(&place, &["-s", "do", "lhprobe.do"]).await?;
    let head = fs::read(place.join("lhprobe.smcl")).unwrap_or_default();
    let smcl = if head.starts_with(b"{smcl}") { ", which begins with {smcl}" } else { "" };
    let smcl = Answer::new("flag_s", "Which log does `-s` make?").answered(format!("{}{smcl}", made(&place)?));
    Ok([blank, smcl])
}

/// The files besides do-files.
fn made(place: &Path) -> io::Result<String> {
    let names = fs::read_dir(place)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".do")).collect();
    names.sort();
    Ok(if names.is_empty() { "none".to_owned() } else { names.join(", ") })
}

/// `-h`.
pub(super) async fn options(bench: &Bench) -> io::Result<Answer> {
    let place = bench.place("options", "")?;
    let ended = bench.run(&place, &["-h"]).await?;
    let (out, err) = (ended.out.lines().count(), ended.err.lines().count());
    Ok(Answer::new("flag_h", "What does `-h` do?")
        .answered(format!("{}, {out} lines on stdout, {err} on stderr", status_words(ended.status))))
}

/// What happens where no log can be made.
pub(super) async fn unwritable(bench: &Bench) -> io::Result<Answer> {
    use std::os::unix::fs::PermissionsExt;
    let place = bench.place("unwritable", "display 1\n")?;
    // Root may write everywhere; but not a file where there is a folder.
    let root = rustix::process::geteuid().is_root();
    let how = if root { "a folder has the log's name" } else { "the folder is read-only" };
    if root {
        fs::create_dir(place.join("lhprobe.log"))?;
    } else {
        fs::set_permissions(&place, fs::Permissions::from_mode(0o555))?;
    }
    let ended = bench.batch_run(&place).await;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
    let ended = ended?;
    let said = bench.last_lines(&format!("{}\n{}", ended.out, ended.err), 3);
    let asks = format!("What happens where the log cannot be made ({how})?");
    Ok(Answer::new("no_log", asks).answered(status_words(ended.status)).with(said))
}

/// What Stata says of its processors.
pub(super) async fn processors(bench: &Bench) -> io::Result<Answer> {
    let code = "display \"lh use \" c(processors) \", licensed \" c(processors_lic) \", of the host \" c(processors_mach) \
                \", at most \" c(processors_max)\n";
    let place = bench.place("processors", code)?;
    bench.batch_run(&place).await?;
    let log = bench.log(&place);
    let line = log.lines().find_map(|line| line.strip_prefix("lh ")).unwrap_or("not told").to_owned();
    Ok(Answer::new("processors", "How many processors does it use, and may it use?").answered(line))
}

/// Our own wrapper: is the user's part found, and the success?
pub(super) async fn wrapper(bench: &Bench) -> io::Result<Answer> {
    let place = bench.place("wrapper", "")?;
    let (code, sentinel) = (place.join("code.do"), place.join("sentinel"));
    fs::write(&code, "display \"mine\"\n")?;
    let spec = Spec {
        working_dir: &place,
        do_file: &code,
        cores: None,
        args: &[],
        gather: None,
        sentinel: &sentinel,
        tag: "probe_1",
    };
    let asks = Answer::new("wrapper", "Is a run under Longhaul's own do-file read rightly?");
    let wrapper = match Wrapper::new(&spec) {
        Ok(wrapper) => wrapper,
        Err(error) => return Ok(asks.answered(format!("not asked: {error}"))),
    };
    fs::write(place.join("lhprobe.do"), wrapper.text())?;
    bench.batch_run(&place).await?;
    let log = bench.log(&place);
    let mut finder = ViewFinder::new(&wrapper);
    finder.push(log.as_bytes());
    let (reached, view) = (finder.reached_sentinel() && sentinel.exists(), finder.finish());
    let at = |offset: u64| usize::try_from(offset).unwrap_or(0).min(log.len());
    let own = log.get(at(view.start)..at(view.end.unwrap_or(view.safe_end))).unwrap_or_default();
    let whole = own.starts_with(". display \"mine\"\nmine\n") && own.trim_end().ends_with("end of do-file");
    let judged = judge_wrapped(&mut io::Cursor::new(log.as_bytes()), &wrapper, Encoding::default())?;
    let answer = format!(
        "{}; the code's end was {}; its part of the log is {}",
        format!("{:?}", judged.state).to_lowercase(),
        if reached { "seen" } else { "not seen" },
        if whole { "found" } else { "not found" }
    );
    let evidence = if whole { vec![] } else { bench.last_lines(&log, 12) };
    Ok(asks.answered(answer).with(evidence).assumed(reached && whole, "its end is seen, its part of the log found"))
}

/// Whether gathering results leaves everything as it was.
pub(super) async fn gathering(bench: &Bench) -> io::Result<Answer> {
    let place = bench.place("gathering", state::CODE)?;
    let gathered = place.join("gathered");
    fs::write(place.join("gather.do"), gather::text("probe_1", &gathered))?;
    for (name, to) in [("before.do", "before"), ("after.do", "after")] {
        fs::write(place.join(name), state::told(to))?;
    }
    bench.batch_run(&place).await?;
    let read = |name: &str| fs::read_to_string(place.join(name)).unwrap_or_default();
    let (before, after, own) = (read("before"), read("after"), read("own.log"));
    let asks = Answer::new(
        "gathering",
        "Does gathering leave seeds, r(), e(), _rc, settings, data and an open log as they were?",
    );
    if before.is_empty() || after.is_empty() {
        let evidence = bench.last_lines(&bench.log(&place), 6);
        return Ok(asks.answered("not asked: the do-file did not come to its end").with(evidence));
    }
    let mut changed = state::differences(&before, &after);
    changed.extend(state::printed(&own).then(|| "prints into an open log".to_owned()));
    let whole = read("gathered").contains("\nend probe_1\n");
    changed.extend((!whole).then(|| "does not come to its end".to_owned()));
    let fine = changed.is_empty();
    let answer = if fine { "yes, all of it".to_owned() } else { format!("no: {}", changed.join(", ")) };
    Ok(asks.answered(answer).assumed(fine, "yes, all of it"))
}
