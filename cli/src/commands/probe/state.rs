//! What is compared before and after gathering, as do-files.

/// The do-file that makes a state, has it told, gathers, and has it told again.
pub(super) const CODE: &str = "clear
set seed 20261128
quietly set obs 6
quietly generate double x = _n
quietly generate double y = 2*x + mod(_n, 2)
log using \"own.log\", text replace
quietly regress y x
quietly summarize x
capture error 9
capture run \"before.do\"
capture run \"gather.do\"
capture run \"after.do\"
log close
";

/// What is looked at: a name, and the expression.
const LOOKED_AT: [(&str, &str); 14] = [
    ("_rc", "(`lhc')"),
    ("c(rngstate)", "(c(rngstate))"),
    ("c(sortrngstate)", "(c(sortrngstate))"),
    ("c(level)", "(c(level))"),
    ("c(trace)", "(c(trace))"),
    ("c(N)", "(c(N))"),
    ("c(k)", "(c(k))"),
    ("c(changed)", "(c(changed))"),
    ("r(N)", "%21x (r(N))"),
    ("r(mean)", "%21x (r(mean))"),
    ("r(sd)", "%21x (r(sd))"),
    ("e(N)", "%21x (e(N))"),
    ("e(rss)", "%21x (e(rss))"),
    ("e(cmd)", "(e(cmd))"),
];

/// The do-file that writes all of it to a file, one a line.
pub(super) fn told(to: &str) -> String {
    // As gathering does it: what `capture run` makes of the last line is `_rc` as it was.
    let mut code = format!("local lhc = _rc\nfile open lhp using \"{to}\", write text replace\n");
    for (name, expression) in LOOKED_AT {
        code.push_str(&format!("file write lhp \"{name} \" {expression} _n\n"));
    }
    // The names that exist; a release that cannot list them writes none.
    for what in ["globals", "scalars", "matrices", "numeric scalars", "string scalars"] {
        code.push_str(&format!(
            "local lhn\ncapture local lhn : all {what}\nfile write lhp \"{what} \" `\"`lhn'\"' _n\n"
        ));
    }
    code.push_str("file close lhp\nexit `lhc'\n");
    code
}

/// Names of what is not as it was.
pub(super) fn differences(before: &str, after: &str) -> Vec<String> {
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let mut changed: Vec<String> =
        before.lines().zip(after.lines()).filter(|(a, b)| a != b).map(|(a, _)| name(a)).collect();
    if before.lines().count() != after.lines().count() {
        changed.push("what can be told".to_owned());
    }
    changed
}

/// Whether something stands in the user's own log between the command that gathers and the one after it.
pub(super) fn printed(own: &str) -> bool {
    let mut lines = own.lines().skip_while(|line| !(line.starts_with(". capture run ") && line.contains("gather.do")));
    let between = lines.by_ref().skip(1).take_while(|line| !line.starts_with(". capture run "));
    between.filter(|line| !line.starts_with("> ")).any(|line| !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        assert!(differences("a 1\nb 2\n", "a 1\nb 2\n").is_empty());
        assert_eq!(differences("a 1\nb 2\n", "a 1\nb 3\n"), ["b"]);
        assert_eq!(differences("a 1\nb 2\n", "a 1\n"), ["what can be told"]);
        let log = |leak: &str| {
            let run = |name: &str| format!(". capture run \"{name}.do\"\n");
            format!("{}\n{}{leak}\n{}\n. log close\n", run("before"), run("gather"), run("after"))
        };
        assert!(!printed(&log("")));
        assert!(printed(&log("leak\n")));
        assert!(told("before").lines().all(|line| line.matches('"').count() % 2 == 0), "quotes are closed");
    }
}
