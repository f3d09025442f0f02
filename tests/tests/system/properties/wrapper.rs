//! Any path and any argument is either refused by the wrapper, or arrives in the do-file as it was given.

use std::{fs, process::Command};

use longhaul_agent::stata::wrapper::{Spec, Wrapper, needs_staging};

use super::{each, pick};
use crate::chance::Chance;

const PARTS: &[&str] = &[
    "a", "Z", "9", "_", " ", "  ", "-", ".", ",", ";", "=", "(", ")", "[", "]", "{", "}", "*", "//", "/*", "*/", "///",
    "\"", "\"\"", "'", "`", "$", "$x", "`x'", "\"'", "`\"", "\\", "#", "%", "&", "|", "~", "^", "@", "!", "?", "<",
    ">", ":", "+", "é", "日", "\n", "\r", "\t", "\0", "\u{7f}", "\u{85}", "\u{2028}",
];

fn text(chance: &mut Chance, most: u64) -> String {
    (0..chance.below(most)).map(|_| *pick(chance, PARTS)).collect()
}

/// Runs a wrapper with these arguments in the stand-in; the arguments as the do-file received them.
fn run(args: &[String], dir: &str) -> Option<Vec<String>> {
    let home = tempfile::tempdir().unwrap();
    let work = home.path().join(dir);
    if dir.contains('\0') || fs::create_dir_all(&work).is_err() {
        return None;
    }
    let code: String = (1..=args.len())
        .map(|n| {
            format!(
                "file open out{n} using \"arg{n}.txt\", write text\nfile write out{n} `\"`{n}'\"'\nfile close out{n}\n"
            )
        })
        .collect();
    fs::write(home.path().join("code.do"), code).unwrap();
    let (do_file, sentinel) = (home.path().join("code.do"), home.path().join("sentinel"));
    let (working_dir, do_file, sentinel) = (&*work, &*do_file, &*sentinel);
    let spec = Spec { working_dir, do_file, cores: Some(3), args, gather: None, sentinel, tag: "t_1" };
    let Ok(wrapper) = Wrapper::new(&spec) else { return None };
    assert!(needs_staging(&work).is_none(), "a folder that has to be staged was taken: {work:?}");
    fs::write(home.path().join("lh-t.do"), wrapper.text()).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_longhaul-under-test"))
        .args(["standin", "-b", "do", "lh-t.do"])
        .current_dir(home.path())
        .status()
        .unwrap();
    let log = || fs::read_to_string(home.path().join("lh-t.log")).unwrap_or_default();
    assert!(status.success() && sentinel.exists(), "{args:?} in {dir:?} did not come to its end:\n{}", log());
    let arg =
        |n: usize| fs::read_to_string(work.join(format!("arg{n}.txt"))).unwrap_or_else(|e| panic!("{e}:\n{}", log()));
    Some((1..=args.len()).map(arg).collect())
}

#[test]
fn every_argument_is_refused_or_arrives() {
    each("wrapper", 60, |chance| {
        let args: Vec<String> = (0..chance.below(4)).map(|_| text(chance, 6)).collect();
        let dir = format!("w{}", text(chance, 4).replace('/', "_"));
        match run(&args, &dir) {
            None => Ok(()),
            Some(seen) if seen == args => Ok(()),
            Some(seen) => Err(format!("{args:?} arrived as {seen:?}")),
        }
    });
}

#[test]
fn what_is_taken_is_one_line_each() {
    each("wrapper lines", 5_000, |chance| {
        let args: Vec<String> = (0..chance.below(4)).map(|_| text(chance, 8)).collect();
        let dir = format!("/w/{}", text(chance, 6));
        let spec = Spec {
            working_dir: dir.as_ref(),
            do_file: "/s/code.do".as_ref(),
            cores: None,
            args: &args,
            gather: None,
            sentinel: "/s/sentinel".as_ref(),
            tag: "t_1",
        };
        let Ok(wrapper) = Wrapper::new(&spec) else { return Ok(()) };
        let lines = wrapper.text().split('\n').count();
        if lines != 5 || wrapper.text().contains(['\r', '$']) {
            return Err(format!("{lines} lines from {args:?} and {dir:?}"));
        }
        Ok(())
    });
}
