//! The lines that pages name are parsed, and those that contradict themselves are not.

use clap::CommandFactory;

use super::*;

#[test]
fn the_parser_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_documented_lines_parse() {
    for line in [
        "up --listen 127.0.0.1:0 --data /d --engine standin --stata /s --seats 2 --root /srv --no-auth --as-root",
        "gateway --listen 0.0.0.0:7447 --advertise http://gw:7447 --data /d --no-auth --approve-agents",
        "gateway --listen 0.0.0.0:7447 --tls auto",
        "gateway --listen 0.0.0.0:7447 --tls off --insecure-network",
        "up --listen 0.0.0.0:7447 --tls-cert c.pem --tls-key k.pem",
        "login https://gw.lab:7447 --ca-fingerprint ab:cd --token-file t",
        "gateway --max-connections 100 --trusted-proxy 10.0.0.7 --trusted-proxy fd00::/8",
        "agent --gateway http://gw:7447 --listen 0.0.0.0:7448 --advertise http://s1:7448 --name s1 --label a=b \
         --label c=d --licence lab --root /srv --root /home --data /d --engine stata --stata /s --seats 1 \
         --join-secret-file f --as-root",
        "run x.do 1 two --gateway http://gw --engine standin --working-dir /w --with . --timeout 20min --detach --json",
        "run x.do --again -- -a --json",
        "run x.do --name nightly --note weights",
        "runs --state failed,lost --state queued --name n --user ana --host s1 --since 2h --text x --before 7f3a --utc",
        "wait 7f3a9c21 last --json",
        "rerun last --detach --json",
        "run x.do --priority high --reason deadline",
        "run x.do --notify https://hooks.lab/x --notify mailto:ana@lab.org",
        "notify add https://hooks.lab/x",
        "notify secret --rotate",
        "notify test --json",
        "quotas --all --json",
        "run - a b --retry if_proven_dead",
        "wait 7f3a9c21 --timeout 40s --gateway http://gw --json",
        "log 7f3a9c21 --follow --tail 20 --json",
        "cancel 7f3a9c21 --mode kill",
        "runs --json --state failed",
        "runs adopt 7f3a9c21",
        "runs adopt --all-from stata1 --json",
        "agent --gateway http://gw:7447 --serve ana,bob",
        "up --serve-all",
        "hosts --json",
        "packages install reghdfe --host stata1",
        "packages install x --host stata1 --from https://a.b/c --replace --detach --json",
        "run x.do --cores 2",
        "agent --gateway http://gw:7447 --max-cores 4",
        "data auto.dta",
        "data /w/auto.dta tabulate rep78 foreign --if price>1 --in 1/20 --no-labels --host s1 --json",
        "data auto.dta rows --vars make,price --limit 5",
        "data auto.dta --csv -o a.csv",
        "data auto.dta --parquet --output a.parquet",
        "hosts forget stata9 --json",
        "judge x.log --json",
        "audit --since 7d --principal ana --run 7f3a9c21 --event cancel --limit 5 --json",
        "audit verify --json",
        "backup /b --keep 14 --json --data /d",
        "backup verify /b/longhaul-20261129T021529Z --json",
        "restore /b/longhaul-20261129T021529Z --into /d --json",
        "doctor --probe --json",
        "token add ana --scope operate --expires 30d",
        "token list",
        "token revoke ana --json",
        "agents list --json",
        "agents approve stata1",
        "agents revoke stata1 --gateway http://gw",
        "declare-dead 7f3a9c21",
        "mcp print --client claude-desktop --gateway http://gw:7447 --name stata",
        "mcp install --client claude --user --dry-run --token-from-env",
        "mcp install --client zed,codex --client vscode --file x.json --stdio",
        "mcp remove --project --dry-run --name stata",
        "stdio --gateway http://gw:7447 --patience 10min",
        "stata -b do x.do 1 two",
        "stata --strict -q -s x",
        "completions zsh",
        "man /tmp/man",
        "config template",
        "config check --config /c",
        "standin -b do x.do",
    ] {
        let words = std::iter::once("longhaul").chain(line.split_whitespace());
        if let Err(error) = Cli::try_parse_from(words) {
            panic!("{line}: {error}");
        }
    }
    let dashed = Cli::try_parse_from(["longhaul", "run", "x.do", "--", "-a", "--json"]).unwrap();
    let Command::Run(run) = dashed.command else { panic!() };
    assert_eq!((run.arguments(), run.ask.json), (vec!["-a".to_owned(), "--json".to_owned()], false));
}

#[test]
fn flags_are_settings() {
    let cli = Cli::try_parse_from(["longhaul", "agent", "--label", "a=b", "--data", "/d", "--seats", "3"]).unwrap();
    let settings = cli.settings();
    assert_eq!(settings.labels.unwrap()["a"], "b");
    assert_eq!((settings.data, settings.seats, settings.roots), (Some("/d".into()), Some(3), None));
    for bad in ["--gateway ftp://x", "--label a", "--seats -1", "--engine r"] {
        let words = ["longhaul", "agent"].into_iter().chain(bad.split(' '));
        assert!(Cli::try_parse_from(words).is_err(), "{bad}");
    }
    for bad in [
        "runs adopt",
        "runs --limit 0",
        "runs --state done",
        "runs --since then",
        "wait",
        "runs adopt 7f3a9c21 --all-from s1",
        "up --serve ana --serve-all",
    ] {
        assert!(Cli::try_parse_from(std::iter::once("longhaul").chain(bad.split(' '))).is_err(), "{bad}");
    }
}
