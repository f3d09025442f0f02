//! The rules and their tests, the dashboards, and the page that explains them, against each other.

use std::{collections::BTreeSet, fs};

use longhaul_proto::telemetry::{Declared, Instrument, PROCESS};
use longhaul_tests::need;
use regex::Regex;

use super::{expressions, filled, named, repository, tool};

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

fn rules() -> String {
    read("deploy/prometheus/longhaul.rules.yml")
}

/// All that is declared.
pub(super) fn all() -> impl Iterator<Item = &'static Declared> {
    let all = longhaul_gateway::metrics::declared::DECLARED.iter().chain(longhaul_agent::metrics::DECLARED);
    all.chain(PROCESS).copied()
}

/// Their names.
pub(super) fn declared() -> BTreeSet<String> {
    all().map(|declared| declared.name.to_owned()).collect()
}

/// What Prometheus calls a kind.
pub(super) fn word(kind: Instrument) -> &'static str {
    match kind {
        Instrument::Counter => "counter",
        Instrument::Gauge => "gauge",
        Instrument::Histogram(_) => "histogram",
    }
}

/// The lines of a table of the page, as they must be.
fn table(all: &[&Declared]) -> String {
    let row = |declared: &&Declared| format!("| `{}` | {} | {} |\n", declared.name, word(declared.kind), declared.help);
    let head = "| name | kind | what |\n| --- | --- | --- |\n".to_owned();
    all.iter().map(row).fold(head, |all, row| all + &row)
}

#[test]
fn every_number_is_in_the_page() {
    let page = read("docs/metrics.md");
    let mut wanted = page.clone();
    let tables = [
        ("gateway", longhaul_gateway::metrics::declared::DECLARED),
        ("agent", longhaul_agent::metrics::DECLARED),
        ("process", PROCESS),
    ];
    for (mark, all) in tables {
        let begin = format!("<!-- {mark} -->\n");
        let (before, rest) = wanted.split_once(&begin).unwrap_or_else(|| panic!("no table {mark}"));
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        wanted = format!("{before}{begin}{}<!-- end -->{after}", table(all));
    }
    if std::env::var_os("LONGHAUL_REGENERATE").is_some() {
        fs::write(repository("docs/metrics.md"), &wanted).unwrap();
        return;
    }
    assert!(wanted == page, "the tables of docs/metrics.md are old: LONGHAUL_REGENERATE=1 writes them anew");
}

#[test]
fn every_panel_and_alert_is_explained() {
    let page = read("docs/metrics.md");
    for entry in fs::read_dir(repository("deploy/grafana/dashboards")).unwrap().map(Result::unwrap) {
        let dashboard: serde_json::Value = serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap();
        let file = entry.file_name().into_string().unwrap();
        assert!(page.contains(&format!("(`{file}`)")), "{file}");
        for panel in dashboard["panels"].as_array().unwrap() {
            let row = format!("| {} | {} |", panel["title"].as_str().unwrap(), panel["description"].as_str().unwrap());
            assert!(page.contains(&row), "{file}: {row}");
        }
    }
    let rules = rules();
    let tests = read("deploy/prometheus/longhaul.tests.yml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 20, "{alerts:?}");
    let expressions = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let records = rules.lines().filter(|line| line.trim().starts_with("- record: ")).count();
    // An alert's is told as it is; a record's is told by its name.
    assert_eq!(expressions.filter(|expr| page.contains(&format!("\n`{expr}`\n"))).count(), alerts.len());
    assert_eq!(rules.matches(" expr: ").count(), alerts.len() + records);
    for alert in alerts {
        assert!(page.contains(&format!("\n### {alert}\n")), "{alert} is not explained");
        assert!(rules.contains(&format!("docs/metrics.md#{}", alert.to_lowercase())), "{alert} says where");
        assert_eq!(tests.matches(&format!("alertname: {alert}\n")).count(), 2, "{alert}: firing and quiet");
    }
    for record in rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")) {
        assert!(page.contains(&format!("`{record}`")) && tests.contains(&format!("- expr: {record}\n")), "{record}");
    }
}

/// A name that is misspelt is an empty panel, and an alert that is always quiet.
#[test]
fn dashboards_and_rules_name_only_what_is_declared() {
    let declared = declared();
    let rules = rules();
    let of_rules = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(|expr| ("rules", expr));
    let panels = expressions();
    for (place, expr) in panels.iter().map(|(place, expr)| (place.as_str(), expr.as_str())).chain(of_rules) {
        for name in named(expr) {
            assert!(declared.contains(&name), "{place}: {name} is not measured");
        }
    }
}

#[test]
fn promtool_accepts_rules_their_tests_and_every_expression() {
    let Some(folder) = need::prometheus() else { return };
    let promtool = folder.join("promtool");
    let place = repository("deploy/prometheus");
    let (fine, said) = tool(&promtool, &["check", "rules", "longhaul.rules.yml"], &place, "");
    assert!(fine, "{said}");
    let (fine, said) = tool(&promtool, &["test", "rules", "longhaul.tests.yml"], &place, "");
    assert!(fine, "{said}");
    let (fine, said) = tool(&promtool, &["check", "config", "--syntax-only", "prometheus.yml"], &place, "");
    assert!(fine, "{said}");

    // Each expression as a rule: promtool reads those.
    let folder = tempfile::tempdir().unwrap();
    let mut text = "groups:\n  - name: panels\n    rules:\n".to_owned();
    for (n, (place, expr)) in expressions().into_iter().enumerate() {
        let expr = serde_json::to_string(&filled(&expr)).unwrap();
        text += &format!("      # {place}\n      - record: panel:{n}\n        expr: {expr}\n");
    }
    fs::write(folder.path().join("panels.yml"), &text).unwrap();
    let (fine, said) = tool(&promtool, &["check", "rules", "panels.yml"], folder.path(), "");
    assert!(fine, "{said}");
    // The control: one that is none is found.
    let broken = Regex::new("expr: \"").unwrap().replace(&text, "expr: \"sum(");
    fs::write(folder.path().join("panels.yml"), &*broken).unwrap();
    assert!(!tool(&promtool, &["check", "rules", "panels.yml"], folder.path(), "").0);
}

/// The rules' own tests find a rule that is wrong.
#[test]
fn the_tests_of_the_rules_notice_a_broken_one() {
    let Some(tools) = need::prometheus() else { return };
    let folder = tempfile::tempdir().unwrap();
    let rules = rules();
    let broken = rules.replace("longhaul_host_up == 0\n", "longhaul_host_up == 2\n");
    assert!(broken != rules);
    fs::write(folder.path().join("longhaul.rules.yml"), broken).unwrap();
    fs::write(folder.path().join("longhaul.tests.yml"), read("deploy/prometheus/longhaul.tests.yml")).unwrap();
    let (fine, said) = tool(&tools.join("promtool"), &["test", "rules", "longhaul.tests.yml"], folder.path(), "");
    assert!(!fine && said.contains("LonghaulHostDown"), "{said}");
}
