//! Reading an output: without the commands that Stata echoed, in a number of tokens, and SMCL as text.

use std::fs;

use longhaul_proto::{api::SubmitRequest, ids::RunId, state::RunState};
use longhaul_tests::{lab, lab::Gateway, mcp::Mcp};
use serde_json::{Value, json};

/// Prints rows that look like the body of a loop, before and after such bodies, and more than a small answer holds.
const CODE: &str = "clear
set obs 40
generate x = 10 * _n
display \"the rows\"
list x in 1/4
foreach word in one two {
    display \"word `word'\"
    list x in 2/3
}
display \"  2. | 9 |\"
display \"the numbers\"
forvalues i = 1/300 {
    display \"number `i' of 300\"
}
display ///
    \"the end\"
";

async fn run(gateway: &Gateway, code: &str) -> RunId {
    let request = SubmitRequest { text: Some(code.to_owned()), ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    run
}

/// What stands between the fences of an answer.
fn fenced(answer: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut open = false;
    for line in answer.lines() {
        match line {
            line if line.starts_with("--- begin output ") => {
                open = true;
                all.push(String::new());
            }
            line if line.starts_with("--- end output ") => open = false,
            line if open => all.last_mut().unwrap().push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    all
}

/// The lines that are no echo, by the words that this code prints.
fn printed(log: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.retain(|line| {
        let echo = line.starts_with(". ") || line.starts_with("> ") || *line == ".";
        let body = line.len() > 4 && line.starts_with("  ") && line.as_bytes()[3] == b'.' && !line.contains('|');
        !echo && !body
    });
    lines
}

#[tokio::test]
async fn the_echo_goes_and_no_row_of_a_list_goes_with_it() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = run(&gateway, CODE).await;
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.332");
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());

    let log = lab.run(["log", &run.to_string()]).await.out;
    let want = printed(&log);
    assert!(log.contains("  2.     display \"word `word'\""), "{log}");
    let rows = want.iter().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit())).count();
    assert_eq!(rows, 9, "{want:#?}");

    // By the command line, whole.
    let shown = lab.run(["log", &run.to_string(), "--no-echo"]).await;
    assert_eq!(shown.out.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>(), want);
    let refused = lab.run(["log", &run.to_string(), "--no-echo", "--tail", "3"]).await;
    assert!(refused.status == 2 && refused.err.contains("--tail"), "{refused:#?}");

    // By the tool, page after page from the first byte.
    let read = async |arguments: Value| {
        let said = mcp.call("stata_log", arguments).await;
        assert!(!said.is_error, "{said:#?}");
        said.text
    };
    let (mut offset, mut all) = (0, String::new());
    loop {
        let said = read(json!({"run": run, "offset": offset, "echo": false})).await;
        all.push_str(&fenced(&said).concat());
        let Some(next) = said.split("offset: ").nth(1) else { break };
        assert!(said.contains(", echo: false)"), "{said}");
        let next = next.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
        assert!(next > offset, "{said}");
        offset = next;
    }
    assert_eq!(all.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>(), want);

    // The last lines are the last that were printed; a pattern looks at no command.
    let said = read(json!({"run": run, "tail": 3, "echo": false})).await;
    // An empty line stands before the last.
    let last = fenced(&said).concat();
    assert_eq!(last.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>(), want[want.len() - 2..], "{said}");
    let said = read(json!({"run": run, "pattern": "^ .*[0-9]\\. ", "echo": false, "context": 0})).await;
    assert!(said.contains("9 matches"), "{said}");
    let said = read(json!({"run": run, "pattern": "display", "echo": false})).await;
    assert!(said.contains("no match"), "{said}");
}

#[tokio::test]
async fn without_a_look_at_the_command_rows_would_go() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=list_rows_are_echo");
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = run(&gateway, "display \"  2.   4\"\n").await;
    let said = Mcp::new(&gateway.api, "claude-code", "2.1.332");
    let said = said.call("stata_log", json!({"run": run, "offset": 0, "echo": false})).await;
    assert!(!said.text.contains("  2. "), "{said:#?}");
}

#[tokio::test]
async fn both_ends_fit_a_number_of_tokens() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = run(&gateway, CODE).await;
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.332");
    let said = mcp.call("stata_log", json!({"run": run, "tokens": 400})).await;
    let ends = fenced(&said.text);
    let [head, tail] = ends.as_slice() else { panic!("{said:#?}") };
    assert!(head.contains("set obs 40") && tail.contains("the end"), "{said:#?}");
    // A token of such text is two to five characters.
    let chars = head.len() + tail.len();
    assert!((600..2_200).contains(&chars), "{chars}: {said:#?}");
    assert!(tail.len() > head.len(), "{said:#?}");
    // What is left out begins where the beginning ends, and is counted.
    let at = |words: &str| -> u64 {
        let rest = said.text.split(words).nth(1).unwrap_or_else(|| panic!("{words}: {said:#?}"));
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let (next, end) = (at("offset: "), at("end of the output, bytes "));
    assert!(said.text.contains(&format!("{} bytes between them are left out", end - next)), "{said:#?}");
    // Small outputs are whole, and the three ways to ask are told apart.
    let said = mcp.call("stata_log", json!({"run": run, "tokens": 100_000})).await;
    assert!(said.text.contains("all there is") && fenced(&said.text).len() == 1, "{said:#?}");
    let said = mcp.call("stata_log", json!({"run": run, "tokens": 400, "tail": 3})).await;
    assert!(said.is_error && said.text.contains("pass tokens without"), "{said:#?}");
    // In few tokens there still is something of both ends.
    let long = self::run(&gateway, &format!("display \"{}\"\n{CODE}", "a long first line ".repeat(12))).await;
    let said = mcp.call("stata_log", json!({"run": long, "tokens": 50})).await;
    let ends = fenced(&said.text);
    assert!(ends[0].contains("a long") && ends[0].ends_with("…\n") && ends[0].len() < 80, "{said:#?}");
    assert!(ends[1].contains("the end"), "{said:#?}");
    // Without the commands, more of what was printed fits.
    let said = mcp.call("stata_log", json!({"run": run, "tokens": 400, "echo": false})).await;
    let ends = fenced(&said.text);
    assert!(ends[0].contains("the rows") && !ends.concat().contains("display"), "{said:#?}");
}

#[tokio::test]
async fn smcl_is_read_as_text() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let smcl = "{smcl}\\n{com}. display 6*7\\n{res}42\\n{err}{p 0 4 2}\\nfile {bf:x.dta}\\nnot found\\n{p_end}\\n{txt}{search r(601), local:r(601);}\\n";
    let code = format!("shell printf '{smcl}' > mine.smcl; printf '{{txt}}no smcl\\n' > other.smcl\n");
    let run = run(&gateway, &code).await;
    let want = ". display 6*7\n42\nfile x.dta not found\nr(601);\n";
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.332");
    let said = mcp.call("stata_files", json!({"run": run, "name": "mine.smcl"})).await;
    assert_eq!(fenced(&said.text), [want], "{said:#?}");
    assert!(said.text.contains("SMCL shown as text, whole"), "{said:#?}");
    let said = mcp.call("stata_files", json!({"run": run, "name": "mine.smcl", "offset": 26})).await;
    assert_eq!(fenced(&said.text), [&want[14..]], "{said:#?}");
    let said = mcp.call("stata_files", json!({"run": run, "name": "other.smcl"})).await;
    assert_eq!(fenced(&said.text), ["{txt}no smcl\n"], "{said:#?}");

    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let to = lab.path().join("got");
    let get = ["get", &run.to_string(), "--text", "-o", to.to_str().unwrap()].map(str::to_owned);
    for _ in 0..2 {
        let got = lab.run(get.each_ref().map(String::as_str)).await;
        assert_eq!(got.status, 0, "{got:#?}");
    }
    assert_eq!(fs::read_to_string(to.join("mine.smcl.txt")).unwrap(), want);
    assert_eq!(fs::read_to_string(to.join("other.smcl.txt")).unwrap(), "{txt}no smcl\n");
    fs::write(to.join("mine.smcl.txt"), "mine").unwrap();
    let got = lab.run(get.each_ref().map(String::as_str)).await;
    assert!(got.status != 0 && got.err.contains("is there with other content"), "{got:#?}");
    assert_eq!(fs::read_to_string(to.join("mine.smcl.txt")).unwrap(), "mine");
    let left: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
