//! `use` and `save`: the table in memory as a Stata data file, through the crate `dta`.

use std::{fs::File, io::BufWriter, path::Path};

use dta::stata::{
    dta::{
        byte_order::ByteOrder, dta_error::DtaError, dta_reader::DtaReader, dta_writer::DtaWriter, header::Header,
        long_string_table::LongStringTable, release::Release, schema::Schema, value::Value, variable::Variable,
        variable_type::VariableType,
    },
    missing_value::MissingValue,
    stata_byte::StataByte,
    stata_double::StataDouble,
    stata_float::StataFloat,
    stata_int::StataInt,
    stata_long::StataLong,
};

use crate::{
    data::{Column, Table, Values},
    expr::{MISSING, is_missing, missing},
    interp::{Interp, Outcome, Stop},
    text,
};

/// Most observations that are read: the tables are small.
const MOST: u64 = 1_000_000;

/// The file that a command names, with the extension that Stata adds.
fn path(words: &str) -> Outcome<String> {
    let (path, _) = text::token(words);
    if path.is_empty() {
        return Err(Stop::new(198, "invalid file specification"));
    }
    let base = path.rsplit('/').next().unwrap_or(&path);
    Ok(if base.contains('.') { path } else { format!("{path}.dta") })
}

/// `use file [, clear]`.
pub(crate) fn use_command(interp: &mut Interp, s: &str) -> Outcome {
    let (main, opts) = text::split_options(s);
    let path = path(main.strip_prefix("using ").unwrap_or(main).trim())?;
    let clear = text::options(opts).iter().any(|(o, _)| o == "clear");
    if interp.data.changed && !clear {
        return Err(Stop::new(4, "no; dataset in memory has changed since last saved"));
    }
    let read = read_file(&path);
    if !matches!(read, Err(Stop::Error { rc: 601, .. })) {
        interp.data = Table::default();
    }
    interp.data = read?;
    Ok(())
}

/// The data in a file.
///
/// # Errors
/// `file … not found`; `file … not Stata format`.
pub(crate) fn read_file(words: &str) -> Outcome<Table> {
    let path = path(&format!("`\"{words}\"'"))?;
    if !Path::new(&path).exists() {
        return Err(Stop::no_file(&path));
    }
    read(&path).map_err(|_| Stop::new(610, format!("file {path} not Stata format")))
}

/// `save [file] [, replace]`.
pub(crate) fn save(interp: &mut Interp, s: &str) -> Outcome {
    save_table(interp, s)?;
    interp.data.changed = false;
    Ok(())
}

/// Writes the data to the file that `saving()` or `save` names, and says so.
pub(crate) fn save_table(interp: &mut Interp, s: &str) -> Outcome {
    let (main, opts) = text::split_options(s);
    let path = path(main)?;
    let replace = text::options(opts).iter().any(|(o, _)| o == "replace");
    if interp.data.columns.is_empty() {
        return Err(Stop::new(111, "no variables defined"));
    }
    let there = Path::new(&path).exists();
    if there && !replace {
        return Err(Stop::new(602, format!("file {path} already exists")));
    }
    if !there && replace {
        interp.out.note(&format!("(file {path} not found)"));
    }
    write(&path, &interp.data).map_err(|_| Stop::new(603, format!("file {path} could not be opened")))?;
    // Another extension, such as that of a temporary file, is remarked on from 17 on.
    let other = if path.ends_with(".dta") || !interp.faults.since(17.0) { "" } else { " as .dta format" };
    interp.out.note(&format!("file {path} saved{other}"));
    Ok(())
}

fn read(path: &str) -> Result<Table, DtaError> {
    let mut described = DtaReader::new().from_path(path)?.read_header()?.read_schema()?;
    described.skip_to_end()?;
    let schema = described.schema().clone();
    let mut texts = LongStringTable::for_reading();
    let mut long = described.seek_long_strings()?;
    long.read_remaining_into(&mut texts)?;
    let mut records = long.seek_records()?;
    let nobs = records.header().observation_count().min(MOST);
    let column = |variable: &Variable| {
        let kind = match variable.variable_type() {
            VariableType::Byte => "byte".to_owned(),
            VariableType::Int => "int".to_owned(),
            VariableType::Long => "long".to_owned(),
            VariableType::Float => "float".to_owned(),
            VariableType::Double => "double".to_owned(),
            VariableType::FixedString(n) => format!("str{n}"),
            VariableType::LongString => "strL".to_owned(),
        };
        let values = if kind.starts_with("str") { Values::Str(Vec::new()) } else { Values::Num(Vec::new()) };
        Column { name: variable.name().to_owned(), kind, values }
    };
    let mut columns: Vec<Column> = schema.variables().iter().map(column).collect();
    let mut left = nobs;
    while left > 0
        && let Some(record) = records.read_record()?
    {
        left -= 1;
        for (column, value) in columns.iter_mut().zip(record.values()) {
            match &mut column.values {
                Values::Num(all) => all.push(number(value)),
                Values::Str(all) => all.push(match value {
                    Value::String(text) => text.to_string(),
                    Value::LongStringRef(key) => texts
                        .get(key)
                        .map(|long| String::from_utf8_lossy(long.data()).trim_end_matches('\0').to_owned())
                        .unwrap_or_default(),
                    _ => String::new(),
                }),
            }
        }
    }
    Ok(Table { columns, nobs: usize::try_from(nobs).unwrap_or_default(), changed: false, sample: None })
}

fn number(value: &Value<'_>) -> f64 {
    let letter = |missing_value: MissingValue| missing(missing_value.code());
    match value {
        Value::Byte(x) => x.present().map(f64::from),
        Value::Int(x) => x.present().map(f64::from),
        Value::Long(x) => x.present().map(f64::from),
        Value::Float(x) => x.present().map(f64::from),
        Value::Double(x) => x.present(),
        _ => None,
    }
    .unwrap_or_else(|| match value {
        Value::Byte(StataByte::Missing(m)) => letter(*m),
        Value::Int(StataInt::Missing(m)) => letter(*m),
        Value::Long(StataLong::Missing(m)) => letter(*m),
        Value::Float(StataFloat::Missing(m)) => letter(*m),
        Value::Double(StataDouble::Missing(m)) => letter(*m),
        _ => MISSING,
    })
}

fn write(path: &str, table: &Table) -> Result<(), DtaError> {
    let kind = |column: &Column| match (column.kind.as_str(), &column.values) {
        (_, Values::Str(all)) => {
            let declared = column.kind.strip_prefix("str").and_then(|n| n.parse().ok()).unwrap_or(1);
            let longest = all.iter().map(String::len).max().unwrap_or(1).max(declared).clamp(1, 2_045);
            VariableType::FixedString(u16::try_from(longest).unwrap_or(1))
        }
        ("byte", _) => VariableType::Byte,
        ("int", _) => VariableType::Int,
        ("long", _) => VariableType::Long,
        ("double", _) => VariableType::Double,
        _ => VariableType::Float,
    };
    let mut schema = Schema::builder();
    for column in &table.columns {
        let kind = kind(column);
        let format = match kind {
            VariableType::Byte | VariableType::Int => "%8.0g".to_owned(),
            VariableType::Long => "%12.0g".to_owned(),
            VariableType::Double => "%10.0g".to_owned(),
            VariableType::FixedString(n) => format!("%{}s", n.max(9)),
            _ => "%9.0g".to_owned(),
        };
        schema = schema.add_variable(Variable::builder(kind, column.name.clone()).format(format));
    }
    let header = Header::builder(Release::V118, ByteOrder::LittleEndian).build();
    let file = File::create(path)
        .map_err(|source| DtaError::Io { section: dta::stata::dta::dta_error::Section::Header, source })?;
    let described =
        DtaWriter::new().from_writer(BufWriter::new(file)).write_header(header)?.write_schema(schema.build()?)?;
    let mut records = described.into_record_writer()?;
    for n in 0..table.nobs {
        let values: Vec<Value<'_>> = table.columns.iter().map(|column| value(column, &kind(column), n)).collect();
        records.write_record(&values)?;
    }
    records.into_long_string_writer()?.into_value_label_writer()?.finish().map(drop)
}

#[allow(clippy::cast_possible_truncation)] // the table keeps in a column only what its type holds
fn value<'a>(column: &'a Column, kind: &VariableType, n: usize) -> Value<'a> {
    match &column.values {
        Values::Str(all) => {
            let text = all.get(n).map_or("", String::as_str);
            let end = (0..=text.len().min(2_045)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            Value::string(&text[..end])
        }
        Values::Num(all) => {
            let x = all.get(n).copied().unwrap_or(MISSING);
            let gone = is_missing(x).then(|| letter(x));
            match kind {
                VariableType::Byte => Value::Byte(gone.map_or(StataByte::Present(x as i8), StataByte::Missing)),
                VariableType::Int => Value::Int(gone.map_or(StataInt::Present(x as i16), StataInt::Missing)),
                VariableType::Long => Value::Long(gone.map_or(StataLong::Present(x as i32), StataLong::Missing)),
                VariableType::Float => Value::Float(gone.map_or(StataFloat::Present(x as f32), StataFloat::Missing)),
                _ => Value::Double(gone.map_or(StataDouble::Present(x), StataDouble::Missing)),
            }
        }
    }
}

/// `.` or a letter: each is a 4096th larger than the one before.
fn letter(x: f64) -> MissingValue {
    let step = if x.is_nan() { 0.0 } else { ((x / MISSING - 1.0) * 4096.0).round() };
    let code = (0_u8..=26).find(|code| f64::from(*code) >= step).unwrap_or(26);
    MissingValue::try_from(0x65 + code).unwrap_or_default()
}
