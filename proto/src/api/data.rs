//! What is in a data file.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Answer of `GET /api/v1/data`: a table about a Stata data file on a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DataView {
    /// The agent on whose host it is.
    pub host: String,
    /// The run that left the file, where the gateway's copy of it was read; `path` is the file's name then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The file, as its host has it.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// When it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// The release of its format, such as 118.
    pub release: u32,
    /// What its author called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When Stata saved it, in its own time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<String>,
    /// All observations in it.
    pub observations: u64,
    /// All variables in it.
    pub variables: u32,
    /// By what it is sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sorted_by: Vec<String>,
    /// What was asked: `describe`, `summarize`, `codebook`, `tabulate` or `rows`.
    pub action: String,
    /// The observations that the answer is of, if it looked at any.
    pub used: u64,
    /// The table.
    pub columns: Vec<DataColumnView>,
    /// A cell of each column: a number, a text (also of a date or a missing value), or null.
    pub rows: Vec<Vec<Value>>,
    /// What was cut, left out or replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Bytes of the file that were read.
    pub bytes_read: u64,
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DataColumnView {
    /// Its name.
    pub name: String,
    /// Its cells are numbers and missing values.
    #[serde(default)]
    pub numbers: bool,
}

/// How much of a table is shown.
#[derive(Clone, Copy, Debug)]
pub struct DataRoom {
    /// Characters of a row.
    pub width: usize,
    /// Bytes of all rows.
    pub bytes: usize,
    /// Characters of a cell of text.
    pub cell: usize,
}

/// A table as text, and how much of it there was room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataText {
    /// A line for each row, below the names.
    pub text: String,
    /// Rows shown.
    pub rows: usize,
    /// Columns shown.
    pub columns: usize,
}

/// A number with at most nine significant digits.
pub fn data_number(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    if x.fract() == 0.0 && x.abs() < 1e15 {
        return format!("{x}");
    }
    let digits = format!("{x:.8e}");
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    match exponent {
        -5..=14 => {
            let after = usize::try_from(8 - exponent).unwrap_or(0);
            let text = format!("{x:.after$}");
            if text.contains('.') { trimmed(&text) } else { text }
        }
        _ => format!("{}e{exponent}", trimmed(mantissa)),
    }
}

impl DataView {
    /// What file it is of, in a line: `auto.dta on stata1: 74 observations of 12 variables`.
    pub fn head(&self) -> String {
        let plural = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut text = format!(
            "{}: {} of {}",
            self.place(),
            plural(self.observations, "observation"),
            plural(self.variables.into(), "variable")
        );
        if let Some(label) = &self.label {
            text.push_str(&format!(" · {label}"));
        }
        if !self.sorted_by.is_empty() {
            text.push_str(&format!(" · sorted by {}", self.sorted_by.join(" ")));
        }
        if let Some(saved) = &self.saved {
            text.push_str(&format!(" · saved {saved}"));
        }
        text
    }

    /// Which file it is: `auto.dta on stata1`, or `auto.dta of run 7f3a9c21`.
    pub fn place(&self) -> String {
        match &self.run {
            Some(run) => format!("{} of run {}", self.path, &run[run.len().saturating_sub(8)..]),
            None => format!("{} on {}", self.path, self.host),
        }
    }

    /// The table, as much of it as there is room for: columns and rows from the first on.
    pub fn text(&self, room: DataRoom) -> DataText {
        let names: Vec<String> = self.columns.iter().map(|column| cut(&column.name, room.cell)).collect();
        let shown = |cell: &Value| match cell {
            Value::Null => String::new(),
            Value::String(text) => cut(text, room.cell),
            Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), data_number),
            other => other.to_string(),
        };
        let cells: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        let wide = |text: &str| text.chars().count();
        let mut widths: Vec<usize> = names.iter().map(|name| wide(name)).collect();
        for row in &cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(wide(cell));
            }
        }
        let (mut columns, mut total) = (0, 0);
        for width in &widths {
            total += width + 2;
            if columns > 0 && total > room.width + 2 {
                break;
            }
            columns += 1;
        }
        let line = |row: &[String]| {
            let mut line = String::new();
            for (n, cell) in row.iter().take(columns).enumerate() {
                let blanks = " ".repeat(widths[n].saturating_sub(wide(cell)));
                let apart = if n == 0 { "" } else { "  " };
                match self.columns[n].numbers {
                    true => line.push_str(&format!("{apart}{blanks}{cell}")),
                    false => line.push_str(&format!("{apart}{cell}{blanks}")),
                }
            }
            format!("{}\n", line.trim_end())
        };
        let mut text = line(&names);
        let mut rows = 0;
        for row in &cells {
            let line = line(row);
            if text.len() + line.len() > room.bytes {
                break;
            }
            text.push_str(&line);
            rows += 1;
        }
        DataText { text, rows, columns }
    }
}

/// On one line, cut after so many characters.
fn cut(text: &str, most: usize) -> String {
    let text = crate::visible::line(text);
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_nine_digits() {
        let check = |x: f64, want: &str| assert_eq!(data_number(x), want);
        check(0.0, "0");
        check(-0.0, "0");
        check(74.0, "74");
        check(1.0 / 3.0, "0.333333333");
        check(0.1 + 0.2, "0.3");
        check(6_165.256_756_756_76, "6165.25676");
        check(-123_456_789.125, "-123456789");
        check(1e15, "1e15");
        check(1.5e-7, "1.5e-7");
        check(8.9e300, "8.9e300");
        check(0.000_012_5, "0.0000125");
    }

    #[test]
    fn a_table_has_as_much_as_there_is_room_for() {
        let column = |name: &str, numbers| DataColumnView { name: name.to_owned(), numbers };
        let view = DataView {
            columns: vec![column("make", false), column("price", true), column("origin", false)],
            rows: vec![
                vec!["AMC Concord".into(), 4099.into(), "Domestic".into()],
                vec!["VW\nRabbit".into(), 0.5.into(), Value::Null],
            ],
            ..DataView::default()
        };
        let room = DataRoom { width: 100, bytes: 1000, cell: 20 };
        let whole = view.text(room);
        assert_eq!(whole.text, "make         price  origin\nAMC Concord   4099  Domestic\nVW\\nRabbit     0.5\n");
        assert_eq!((whole.rows, whole.columns), (2, 3));
        let narrow = view.text(DataRoom { width: 20, bytes: 50, cell: 5 });
        assert_eq!(narrow.text, "make    price\nAMC C…   4099\nVW\\nR…    0.5\n");
        assert_eq!((narrow.rows, narrow.columns), (2, 2));
        assert_eq!(view.text(DataRoom { width: 9, bytes: 30, ..room }).text, "make\nAMC Concord\nVW\\nRabbit\n");
        assert_eq!(view.text(DataRoom { width: 9, bytes: 20, ..room }).rows, 1);
    }
}
