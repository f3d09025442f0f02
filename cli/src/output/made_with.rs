//! With what a run was made: a few lines in `show`, all of it with `--record`.

use longhaul_proto::{
    api::{DataFileView, PackageView, RunRecord, StataFacts},
    files,
};

use super::bytes;

/// Most data files and packages that the short form names.
const SHORT: usize = 5;
/// Digits of a digest that the short form shows.
const DIGEST: usize = 12;

/// The fields of the short form: names and values. `folder` = where the run ran.
pub(crate) fn short(record: &RunRecord, folder: &str) -> Vec<(&'static str, String)> {
    let Some(made) = &record.made_with else { return vec![] };
    let mut lines = vec![];
    lines.extend(stata(&made.stata).map(|words| ("stata", words)));
    lines.extend((!made.seeds.is_empty()).then(|| ("seeds", made.seeds.join(", "))));
    for file in made.data.iter().take(SHORT) {
        lines.push(("data", data(file, files::within(&file.path, folder), DIGEST)));
    }
    let more = made.data.len().saturating_sub(SHORT);
    lines.extend((more > 0).then(|| ("data", format!("and {more} more (`longhaul show RUN --record`)"))));
    lines.extend(made.data_note.clone().map(|note| ("data", note)));
    if let Some(packages) = record.packages.as_ref().filter(|packages| !packages.packages.is_empty()) {
        let names: Vec<String> = packages.packages.iter().take(SHORT).map(package).collect();
        let count = packages.packages.len();
        let more = if count > SHORT { ", …" } else { "" };
        lines.push(("packages", format!("{count} in {}: {}{more}", packages.folder, names.join(", "))));
    }
    lines
}

/// All of it, a line each. Ends with a newline.
pub(crate) fn whole(record: &RunRecord) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        text.push_str(&format!("{name:<14}{value}\n"));
    };
    line("run", &record.run_id.to_string());
    for why in record.why_not.iter() {
        line("not known", why);
    }
    if let Some(made) = &record.made_with {
        let facts = &made.stata;
        if let Some(words) = stata(facts) {
            line("stata", &words);
        }
        for (name, value) in [
            ("plus", &facts.plus),
            ("rng state", &facts.rng_state),
            ("", &facts.rng_state_sha256.as_ref().map(|digest| format!("sha256 {digest}"))),
            ("sort state", &facts.sort_rng_state),
            ("not all", &facts.why_not_all),
        ] {
            if let Some(value) = value {
                line(name, value);
            }
        }
        made.seeds.iter().for_each(|seed| line("seed", seed));
        made.data.iter().for_each(|file| line("data", &data(file, &file.path, 64)));
        made.data_note.iter().for_each(|note| line("not in data", note));
    }
    record.packages_why_not.iter().for_each(|why| line("packages", why));
    if let Some(packages) = &record.packages {
        line("packages", &format!("{} in {}", packages.packages.len(), packages.folder));
        packages.note.iter().for_each(|note| line("", note));
        for one in &packages.packages {
            let digest = one.sha256.as_ref().map_or_else(String::new, |digest| format!(" sha256 {digest}"));
            line("package", &format!("{} from {}{digest}", package(one), one.source));
            for file in &one.files {
                line("", &format!("{} {}", file.sha256.as_deref().unwrap_or("cannot be read"), file.path));
            }
        }
    }
    text
}

fn stata(facts: &StataFacts) -> Option<String> {
    let name = [&facts.edition, &facts.version].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    let mut parts: Vec<String> = Some(name).filter(|name| !name.is_empty()).into_iter().collect();
    parts.extend(facts.born.as_ref().map(|born| format!("born {born}")));
    parts.extend(facts.processors.map(|n| format!("{n} {}", if n == 1 { "processor" } else { "processors" })));
    parts.extend(facts.rng.as_ref().map(|rng| format!("random numbers by {rng}")));
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn data(file: &DataFileView, name: &str, digits: usize) -> String {
    let verb = match (file.read, file.written) {
        (true, true) => "read and written",
        (_, true) => "written",
        _ => "read",
    };
    let mut facts = vec![];
    facts.extend(file.bytes.map(bytes));
    facts.extend(
        file.sha256.as_ref().map(|digest| format!("sha256 {}", digest.chars().take(digits).collect::<String>())),
    );
    facts.extend(file.perhaps_changed.then(|| "changed since".to_owned()));
    facts.extend(file.why_not.clone());
    format!("{name} ({verb}; {})", facts.join(", "))
}

fn package(package: &PackageView) -> String {
    match package.distributed.as_ref().or(package.installed.as_ref()) {
        Some(date) => format!("{} {date}", package.name),
        None => package.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_well_short_and_whole() {
        let record: RunRecord = serde_json::from_value(serde_json::json!({
            "run_id": "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21", "complete": true,
            "made_with": {
                "stata": {"version": "18.0", "edition": "MP", "born": "22 May 2024", "processors": 4, "rng": "mt64"},
                "seeds": ["set seed 12345"],
                "data": [
                    {"path": "/w/auto.dta", "read": true, "bytes": 2048, "sha256": "ab".repeat(32)},
                    {"path": "/tmp/x.dta", "written": true, "why_not": "it lies outside the agent's folders and was not read"},
                ],
            },
            "packages": {"folder": "/home/ana/ado/plus", "packages": [
                {"name": "ftools", "source": "http://s", "distributed": "20230625", "sha256": "cd".repeat(32),
                 "files": [{"path": "f/ftools.ado", "sha256": "ef".repeat(32)}]},
                {"name": "own", "source": "/x", "installed": "1 Jun 2024"},
            ]},
        }))
        .unwrap();
        let said: Vec<String> =
            short(&record, "/w").into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            said,
            [
                "stata: MP 18.0, born 22 May 2024, 4 processors, random numbers by mt64",
                "seeds: set seed 12345",
                "data: auto.dta (read; 2.0 KiB, sha256 abababababab)",
                "data: /tmp/x.dta (written; it lies outside the agent's folders and was not read)",
                "packages: 2 in /home/ana/ado/plus: ftools 20230625, own 1 Jun 2024",
            ]
        );
        let all = whole(&record);
        for line in [
            format!("package       ftools 20230625 from http://s sha256 {}", "cd".repeat(32)),
            format!("              {} f/ftools.ado", "ef".repeat(32)),
            format!("data          /w/auto.dta (read; 2.0 KiB, sha256 {})", "ab".repeat(32)),
        ] {
            assert!(all.lines().any(|l| l == line), "{line}\n{all}");
        }
        let none = RunRecord { made_with: None, packages: None, why_not: Some("the run goes on".into()), ..record };
        assert!(short(&none, "").is_empty() && whole(&none).contains("not known     the run goes on"));
    }
}
