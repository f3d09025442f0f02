//! The place of a failure is right or absent: always a real file with a line from 1.

use longhaul_proto::state::RunState;
use longhaul_tests::{lab, mcp::Mcp};
use serde_json::json;

const SUB: &str = "display \"sub\"\n\nassert 1 == 2\n";

/// A do-file, its code, its return code, and where it failed: the innermost file first.
type Case = (&'static str, &'static str, i64, &'static [(&'static str, u32)]);

#[tokio::test]
async fn a_place_is_right_or_absent() {
    let lab = lab!();
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    lab.file("sub.do", SUB);
    let cases: [Case; 11] = [
        ("if_do.do", "  if 1 do \"sub.do\"\n", 9, &[("sub.do", 3), ("if_do.do", 1)]),
        ("loop_do.do", "foreach f in sub {\n  do \"`f'.do\"\n}\n", 9, &[("sub.do", 3), ("loop_do.do", 1)]),
        ("local_do.do", "local f \"sub\"\ndo `f'\n", 9, &[("sub.do", 3), ("local_do.do", 2)]),
        ("delim_bare.do", "#delimit ;\ndo sub.do;\n", 9, &[("sub.do", 3), ("delim_bare.do", 2)]),
        (
            "delim_global.do",
            "#delimit ;\nglobal root \".\";\ndo \"$root/sub.do\";\n",
            9,
            &[("sub.do", 3), ("delim_global.do", 3)],
        ),
        ("cpwd.do", "global root \"`c(pwd)'\"\ndo \"$root/sub.do\"\n", 9, &[("sub.do", 3), ("cpwd.do", 2)]),
        ("missing.do", "display 1\ndo 03_missing\n", 601, &[("missing.do", 2)]),
        ("esc_in_source.do", "display \"a\"\nassert 1 == 2 // \u{1b}[31mred\n", 9, &[("esc_in_source.do", 2)]),
        ("else_do.do", "if 0 {\n}\nelse do sub\n", 9, &[("sub.do", 3), ("else_do.do", 3)]),
        ("not_run.do", "if 0 do \"sub.do\"\ndisplay 5\nassert 3 == 4\n", 9, &[("not_run.do", 3)]),
        // Called without an echo: the place is the known one outside.
        ("computed.do", "local f = \"s\" + \"ub\"\ndo `f'\n", 9, &[("computed.do", 2)]),
    ];
    for (name, code, rc, want) in cases {
        let file = lab.file(name, code);
        let run = gateway.api.submit_path(&file, &[]).await.run_id;
        let end = gateway.api.wait_end(run).await;
        assert_eq!((end.state, end.rc), (RunState::Failed, Some(rc)), "{name}: {end:#?}");
        let at = |(file, line): &(&str, u32)| format!("{}:{line}", lab.work().join(file).display());
        let want: Vec<String> = want.iter().map(at).collect();
        let place = end.location.unwrap_or_else(|| panic!("{name}: no place"));
        let mut got = vec![format!("{}:{}", place.file, place.line)];
        got.extend(place.callers.iter().rev().cloned());
        assert_eq!(got, want, "{name}");

        let said = mcp.call("stata_wait", json!({"runs": run.to_string()})).await;
        let line = match want.split_first().unwrap() {
            (place, []) => format!("\nat: {place}\n"),
            (place, callers) => format!("\nat: {place} (called from {})\n", callers.join(", ")),
        };
        assert!(said.text.contains(&line), "{name}: {line}: {}", said.text);

        let mut command = lab.command(["wait", &run.to_string()]);
        command.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
        let err = lab::finish(command).await.err;
        let (file, line) = want[0].rsplit_once(':').unwrap();
        assert!(err.contains(&format!("  at {file} line {line}\n")), "{name}: {err}");
        assert!(
            err.contains(&format!("failed: r({rc}) in {} line {line} ", file.rsplit('/').next().unwrap())),
            "{err}"
        );
    }
}

/// The control: where no file of the run can be found any more, no place is given.
#[tokio::test]
async fn a_place_that_is_gone_is_not_told() {
    let lab = lab!();
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    lab.file("gone.do", "shell rm gone.do\nassert 1 == 2\n");
    let file = lab.file("outer.do", "display 1\ndo gone.do\n");
    let run = gateway.api.submit_path(&file, &[]).await.run_id;
    let place = gateway.api.wait_end(run).await.location.unwrap();
    assert_eq!((place.file, place.line), (file.display().to_string(), 2));
}
