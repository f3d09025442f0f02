//! CSV as RFC 4180 has it: UTF-8, a head, CRLF. `.` is an empty field, `.a` stays `.a`.

use std::io::Write;

use super::super::{
    actions::Asked,
    cell::{self, Cell},
    labels::Labels,
    long::LongTexts,
    pass::{self, Next, TimeUp},
    refused::Refused,
    source::Source,
    table,
};

pub(super) fn write(
    source: &Source,
    asked: &Asked<'_>,
    labels: &Labels,
    long: &LongTexts<'_>,
    to: &mut impl Write,
) -> Result<(u64, Vec<String>), Refused> {
    let head = asked.head;
    let mut line = String::new();
    for n in &asked.variables {
        field(&mut line, &head.variables[*n].name);
    }
    end(&mut line);
    to.write_all(line.as_bytes())?;
    let mut written = 0;
    pass::each(source, head, &asked.selection, long, TimeUp::Fail, |row| {
        if asked.limit > 0 && written == u64::from(asked.limit) {
            return Ok(Next::Stop);
        }
        written += 1;
        line.clear();
        for n in &asked.variables {
            let variable = &head.variables[*n];
            match row.cell(*n) {
                Cell::Number(x) => match (table::words(variable, x, labels), cell::letter(x)) {
                    (Some(words), _) => field(&mut line, &words),
                    (None, Some(0)) => field(&mut line, ""),
                    (None, Some(letter)) => field(&mut line, &cell::missing_word(letter)),
                    (None, None) => field(&mut line, &digits(table::meant(variable, x))),
                },
                Cell::Text(text) => field(&mut line, &text),
                Cell::Long(..) => field(&mut line, ""),
            }
        }
        end(&mut line);
        to.write_all(line.as_bytes())?;
        Ok(Next::GoOn)
    })?;
    Ok((written, Vec::new()))
}

/// All digits of a number, and no more than it has.
fn digits(x: f64) -> String {
    if x != 0.0 && !(1e-5..1e17).contains(&x.abs()) { format!("{x:e}") } else { x.to_string() }
}

fn field(line: &mut String, text: &str) {
    if text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
    line.push(',');
}

/// In place of the last comma. One field that is empty would be an empty line.
fn end(line: &mut String) {
    line.pop();
    if line.is_empty() {
        line.push_str("\"\"");
    }
    line.push_str("\r\n");
}
