//! Tables about data files: what few observations have in common is not told.
//!
//! With a smallest cell of k, what fewer than k observations have is shown as `<k`, their values are put together into one
//! line without their names, and *every* count is rounded to a multiple of k: cells, totals, observations. Were the others
//! exact, a small one would be the difference between a total and the rest; leaving totals out would not help, since the same
//! numbers are had from `describe`, `summarize` or another `tabulate`. Percentages follow from exact counts, and smallest and
//! largest values are single observations: they are left out.
//!
//! That is no proof against many questions that differ by one observation; `docs/confidential-data.md` says
//! so.

use longhaul_proto::{
    api::{DataColumnView, DataView},
    egress::Egress,
};
use serde_json::{Value, json};

/// The table as the rule lets it leave.
///
/// # Errors
/// What is not told, in words.
pub(super) fn told(mut view: DataView, rule: &Egress) -> Result<DataView, String> {
    let limit = usize::try_from(rule.row_limit).unwrap_or(usize::MAX);
    if view.action == "rows" && limit > 0 && view.rows.len() > limit {
        view.rows.truncate(limit);
        view.notes.push(format!("At most {limit} observations leave in one answer (row_limit)."));
    }
    let k = u64::from(rule.smallest());
    // Where rows leave, nothing of them is kept.
    if k <= 1 || view.action == "rows" {
        return Ok(view);
    }
    let looked = matches!(view.action.as_str(), "summarize" | "codebook" | "tabulate");
    if looked && view.used < k {
        return Err(format!("what fewer than {k} observations have (min_cell)"));
    }
    match view.action.as_str() {
        "summarize" => summarize(&mut view, k),
        "codebook" => codebook(&mut view, k),
        "tabulate" => tabulate(&mut view, k),
        _ => {}
    }
    view.used = rounded(view.used, k);
    view.observations = rounded(view.observations, k);
    // By its size the exact number follows from the types of its variables.
    view.bytes = 0;
    // Notes of the agent have exact counts: of missing values, of different ones, of observations read.
    let cut = view.notes.iter().any(|note| !note.contains("missing"));
    view.notes.clear();
    if cut {
        view.notes.push("Not all values or observations are in this table.".to_owned());
    }
    view.notes.push(format!(
        "Counts are rounded to multiples of {k}, and what fewer than {k} observations have is not told (min_cell)."
    ));
    Ok(view)
}

fn rounded(n: u64, k: u64) -> u64 {
    (n + k / 2) / k * k
}

/// A count as it is told.
fn count(cell: &Value, k: u64) -> Value {
    let n = cell.as_f64().unwrap_or_default().max(0.0) as u64;
    if n < k { json!(format!("<{k}")) } else { json!(rounded(n, k)) }
}

fn number(cell: &Value) -> u64 {
    cell.as_f64().unwrap_or_default().max(0.0) as u64
}

/// Keeps these columns.
fn keep(view: &mut DataView, wanted: impl Fn(usize, &DataColumnView) -> bool) {
    let kept: Vec<bool> = view.columns.iter().enumerate().map(|(n, column)| wanted(n, column)).collect();
    let mut at = 0;
    view.columns.retain(|_| {
        at += 1;
        kept[at - 1]
    });
    for row in &mut view.rows {
        let mut at = 0;
        row.retain(|_| {
            at += 1;
            kept.get(at - 1).copied().unwrap_or(false)
        });
    }
}

/// Without the smallest and largest values, and without a variable that few have.
fn summarize(view: &mut DataView, k: u64) {
    keep(view, |_, column| !matches!(column.name.as_str(), "Min" | "Max"));
    for row in &mut view.rows {
        let Some(of) = row.get(1).map(number) else { continue };
        row[1] = count(&row[1], k);
        if of < k {
            row.iter_mut().skip(2).for_each(|cell| *cell = Value::Null);
        }
    }
}

/// Without the values: each may be one observation's.
fn codebook(view: &mut DataView, k: u64) {
    keep(view, |_, column| !column.name.starts_with("Values"));
    let missing = view.columns.iter().position(|column| column.name == "Missing");
    let different = view.columns.iter().position(|column| column.name == "Different");
    for row in &mut view.rows {
        if let Some(cell) = missing.and_then(|at| row.get_mut(at)) {
            let n = cell.as_str().and_then(|text| text.split(' ').next()?.parse::<u64>().ok()).unwrap_or_default();
            *cell = json!(if n < k { format!("<{k}") } else { rounded(n, k).to_string() });
        }
        if let Some(cell) = different.and_then(|at| row.get_mut(at)).filter(|cell| cell.is_number()) {
            *cell = count(cell, k);
        }
    }
}

/// A table of one variable or of two; the last row has the totals, and of two variables so has the last column.
fn tabulate(view: &mut DataView, k: u64) {
    let one = view.columns.get(1).is_some_and(|column| column.name == "Freq.") && view.columns.len() == 4;
    if one {
        keep(view, |n, _| n < 2);
    }
    let Some(totals) = view.rows.pop() else { return };
    let last = view.columns.len() - 1;
    // A value that few have is not named, in rows and in columns.
    let total_of = |row: &Vec<Value>| row.get(last).map(number).unwrap_or_default();
    let before = view.rows.len();
    view.rows.retain(|row| total_of(row) >= k);
    let rows_left_out = before > view.rows.len();
    let few: Vec<bool> = (0..=last).map(|n| !one && n > 0 && n < last && totals.get(n).map_or(0, number) < k).collect();
    let columns_left_out = few.contains(&true);
    view.rows.push(totals);
    keep(view, |n, _| !few[n]);
    for row in &mut view.rows {
        row.iter_mut().skip(1).for_each(|cell| *cell = count(cell, k));
    }
    // How many there are is an exact count, too.
    if rows_left_out {
        let mut row = vec![json!(format!("(values of fewer than {k} each)"))];
        row.resize(view.columns.len(), json!(format!("<{k}")));
        let at = view.rows.len() - 1;
        view.rows.insert(at, row);
    }
    if columns_left_out {
        view.notes.push(format!("Values of the columns that fewer than {k} have are left out."));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> DataColumnView {
        DataColumnView { name: name.to_owned(), numbers: false }
    }

    fn view(action: &str, columns: &[&str], rows: &[Value], used: u64) -> DataView {
        DataView {
            action: action.to_owned(),
            columns: columns.iter().map(|name| column(name)).collect(),
            rows: rows.iter().map(|row| row.as_array().unwrap().clone()).collect(),
            observations: 74,
            used,
            notes: vec!["3 observations with missing values are left out.".to_owned()],
            ..DataView::default()
        }
    }

    fn rows(view: &DataView) -> Value {
        json!(view.rows)
    }

    #[test]
    fn a_small_cell_follows_from_nothing() {
        let rule: Egress = "full rows=off".parse().unwrap();
        let table = [
            json!(["ann", 1, 1.5, 1.5]),
            json!(["Domestic", 52, 72.9, 74.4]),
            json!(["Foreign", 16, 25.6, 100]),
            json!(["Total", 69, 100, null]),
        ];
        let one = told(view("tabulate", &["origin", "Freq.", "Percent", "Cum."], &table, 69), &rule).unwrap();
        let want = json!([["Domestic", 50], ["Foreign", 15], ["(values of fewer than 5 each)", "<5"], ["Total", 70]]);
        assert_eq!((rows(&one), one.used, one.observations), (want, 70, 75));
        assert!(one.notes.len() == 1 && one.notes[0].contains("multiples of 5"), "{:?}", one.notes);

        let table = [
            json!(["1", 2, 0, 1, 3]),
            json!(["2", 20, 4, 0, 24]),
            json!(["3", 0, 31, 1, 32]),
            json!(["Total", 22, 35, 2, 59]),
        ];
        let two = told(view("tabulate", &["a \\ b", "x", "y", "z", "Total"], &table, 59), &rule).unwrap();
        let names: Vec<_> = two.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["a \\ b", "x", "y", "Total"]);
        let few = "(values of fewer than 5 each)";
        let want = json!([["2", 20, "<5", 25], ["3", "<5", 30, 30], [few, "<5", "<5", "<5"], ["Total", 20, 35, 60]]);
        assert_eq!(rows(&two), want);
    }

    #[test]
    fn no_single_observation_is_told() {
        let rule: Egress = "output min_cell=10".parse().unwrap();
        let columns = ["Variable", "Obs", "Mean", "Std. dev.", "Min", "Max"];
        let table = [json!(["price", 74, 6165.3, 2949.5, 3291, 15906]), json!(["rep78", 9, 3.4, 0.9, 1, 5])];
        let told_of = told(view("summarize", &columns, &table, 74), &rule).unwrap();
        assert_eq!(rows(&told_of), json!([["price", 70, 6165.3, 2949.5], ["rep78", "<10", null, null]]));
        assert!(told(view("summarize", &columns, &table, 9), &rule).unwrap_err().contains("fewer than 10"));

        let columns = ["Variable", "Type", "Label", "Different", "Missing", "Values (and how often)"];
        let table = [json!(["make", "str18", "Make", 74, "12 (. 2, .a 10)", "AMC, …"])];
        let told_of = told(view("codebook", &columns, &table, 74), &rule).unwrap();
        assert_eq!(rows(&told_of), json!([["make", "str18", "Make", 70, "10"]]));
    }

    #[test]
    fn rows_have_a_limit() {
        let rule: Egress = "full row_limit=2".parse().unwrap();
        let table = [json!([1, "a"]), json!([2, "b"]), json!([3, "c"])];
        let few = told(view("rows", &["Obs", "x"], &table, 3), &rule).unwrap();
        assert_eq!((few.rows.len(), few.used), (2, 3));
        assert!(few.notes[1].contains("row_limit"));
    }
}
