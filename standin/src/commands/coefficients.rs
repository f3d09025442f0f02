//! The table of coefficients and the facts above it, which estimation commands share.

use crate::expr::MISSING;
use crate::expr::format::Format;
use crate::interp::Interp;
use crate::stats;
use crate::stored::Matrix;

/// Where the test and the interval come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Student's t with so many degrees of freedom.
    T(f64),
    /// The normal distribution.
    Normal,
    /// The same, with the words over a bootstrap's table.
    Bootstrap,
}

impl Kind {
    fn letter(self) -> &'static str {
        if matches!(self, Self::T(_)) { "t" } else { "z" }
    }
}

/// `r(table)`: nine rows, one column for each coefficient.
pub(crate) fn table(names: &[String], b: &[f64], v: &[f64], kind: Kind, level: f64) -> Matrix {
    let letter = kind.letter();
    let rows = ["b", "se", letter, "pvalue", "ll", "ul", "df", "crit", "eform"].map(str::to_owned).to_vec();
    let k = names.len();
    let mut cells = vec![MISSING; rows.len() * k];
    let tail = (1.0 - level / 100.0) / 2.0;
    let (df, crit) = match kind {
        Kind::T(df) if df > 0.0 => (df, stats::t_quantile(df, tail)),
        Kind::T(df) => (df, MISSING),
        _ => (MISSING, stats::normal_quantile(tail)),
    };
    for j in 0..k {
        let (b, se) = (b[j], v[j * k + j].max(0.0).sqrt());
        let mut put = |row: usize, x: f64| cells[row * k + j] = x;
        put(0, b);
        put(6, df);
        put(7, crit);
        put(8, 0.0);
        if names[j].starts_with("o.") {
            continue;
        }
        put(1, se);
        if se > 0.0 && df > 0.0 {
            put(2, b / se);
            put(
                3,
                if matches!(kind, Kind::T(_)) {
                    stats::t_both_tails(df, b / se)
                } else {
                    stats::normal_both_tails(b / se)
                },
            );
            put(4, b - crit * se);
            put(5, b + crit * se);
        }
    }
    Matrix::new(rows, names.to_vec(), cells)
}

/// As it is printed, from the empty line above it to the rule below.
pub(crate) fn show(interp: &Interp, dependent: &str, table: &Matrix, kind: Kind, level: f64) -> String {
    let modern = interp.faults.since(17.0);
    let rule = "-".repeat(78);
    let words = if modern { "conf. interval" } else { "Conf. Interval" };
    let interval = format!("[{}% {words}]", Format::general(9).number(level).trim());
    let heads = match (kind, modern) {
        (Kind::Bootstrap, true) => "coefficient  std. err.",
        (_, true) => "Coefficient  Std. err.",
        (_, false) => "     Coef.   Std. Err.",
    };
    let above = match kind {
        Kind::Bootstrap => {
            format!("{:>12} |   Observed   Bootstrap                         Normal-based\n", "")
        }
        _ => String::new(),
    };
    let letter = kind.letter();
    let mut text = format!(
        "\n{rule}\n{above}{:>12} | {heads}      {letter}    P>|{letter}|     {interval:>20}\n-------------+{}\n",
        super::table::abbreviate(dependent, 12),
        "-".repeat(64)
    );
    let general = Format::general(9);
    for (j, name) in table.columns.iter().enumerate() {
        let get = |row: usize| table.get(row, j).unwrap_or(MISSING);
        let show = super::table::abbreviate(name.trim_start_matches("o."), 12);
        if name.starts_with("o.") {
            text.push_str(&format!("{show:>12} | {:>10}  (omitted)\n", "0"));
            continue;
        }
        let fixed = |x: f64, f: &str| Format::parse(f).map_or_else(String::new, |f| f.number(x));
        text.push_str(&format!(
            "{show:>12} |  {}  {}{}{}    {}   {}\n",
            general.number(get(0)),
            general.number(get(1)),
            fixed(get(2), "%9.2f"),
            fixed(get(3), "%8.3f"),
            general.number(get(4)),
            general.number(get(5))
        ));
    }
    text + &rule + "\n"
}

/// A title on the left and facts on the right, one a line, over the table's 78 columns.
pub(crate) fn facts(interp: &Interp, title: &str, facts: &[(String, String)]) -> String {
    let (label, value) = if interp.faults.since(17.0) {
        (13, facts.iter().map(|(_, v)| v.chars().count()).max().unwrap_or(0) + 1)
    } else {
        (17, 11)
    };
    let left = 78 - label - 2 - value;
    let row = |(i, (name, fact)): (usize, &(String, String))| {
        let title = if i == 0 { title } else { "" };
        format!("{title:<left$}{name:<label$} ={fact:>value$}\n")
    };
    facts.iter().enumerate().map(row).collect()
}
