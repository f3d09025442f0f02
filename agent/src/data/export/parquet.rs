//! Parquet: numbers in their own types, days and times as such, labels as texts, missing values as null.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type},
    data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::Type as Field,
};

use super::{
    super::{
        actions::Asked,
        cell::{Cell, is_missing},
        dates::{Shape, leap_seconds},
        head::{Kind, Variable},
        labels::Labels,
        long::LongTexts,
        pass::{self, Next, TimeUp},
        refused::Refused,
        source::Source,
        table,
    },
    Letters,
};

/// Observations of a group, and the bytes after which one ends earlier.
const GROUP: usize = 65_536;
const GROUP_BYTES: usize = 16 << 20;
/// Days and milliseconds from 1960 to 1970.
const TO_UNIX: i64 = 3_653;
const TO_UNIX_MS: i64 = TO_UNIX * 86_400_000;

/// How a variable is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum As {
    Int,
    Float,
    Double,
    Text,
    Day,
    Time,
}

/// The values of a variable in a group, and which observations have one.
enum Values {
    Int(Vec<i32>),
    Long(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Text(Vec<ByteArray>),
}

struct Column {
    variable: usize,
    how: As,
    values: Values,
    there: Vec<i16>,
}

fn how(variable: &Variable, labelled: bool) -> As {
    match (variable.kind, variable.shape) {
        (Kind::Text(_) | Kind::LongText, _) => As::Text,
        _ if labelled => As::Text,
        (_, Shape::Day) => As::Day,
        (_, Shape::Clock | Shape::LeapClock) => As::Time,
        (_, Shape::Week | Shape::Month | Shape::Quarter | Shape::Half) => As::Text,
        (Kind::Byte | Kind::Int | Kind::Long, _) => As::Int,
        (Kind::Float, _) => As::Float,
        (Kind::Double, _) => As::Double,
    }
}

fn field(variable: &Variable, how: As) -> Result<Field, ParquetError> {
    let (kind, logical) = match how {
        As::Int => (Type::INT32, None),
        As::Float => (Type::FLOAT, None),
        As::Double => (Type::DOUBLE, None),
        As::Text => (Type::BYTE_ARRAY, Some(LogicalType::String)),
        As::Day => (Type::INT32, Some(LogicalType::Date)),
        As::Time => (Type::INT64, Some(LogicalType::timestamp(false, TimeUnit::MILLIS))),
    };
    Field::primitive_type_builder(&variable.name, kind)
        .with_logical_type(logical)
        .with_repetition(Repetition::OPTIONAL)
        .build()
}

fn failed(error: ParquetError) -> Refused {
    match error {
        // What the writer below said, such as that nobody reads any more.
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => (*error).into(),
            Err(inner) => Refused::file(format!("it cannot be written as Parquet: {inner}")),
        },
        other => Refused::file(format!("it cannot be written as Parquet: {other}")),
    }
}

pub(super) fn write(
    source: &Source,
    asked: &Asked<'_>,
    labels: &Labels,
    long: &LongTexts<'_>,
    to: &mut (impl Write + Send),
) -> Result<(u64, Vec<String>), Refused> {
    let head = asked.head;
    let labelled = |v: &Variable| !asked.codes && !v.labels.is_empty();
    let mut columns: Vec<Column> = asked
        .variables
        .iter()
        .map(|n| {
            let how = how(&head.variables[*n], labelled(&head.variables[*n]));
            Column { variable: *n, how, values: Values::none(how), there: Vec::new() }
        })
        .collect();
    let fields =
        columns.iter().map(|c| field(&head.variables[c.variable], c.how).map(Arc::new)).collect::<Result<_, _>>();
    let schema = Field::group_type_builder("schema").with_fields(fields.map_err(failed)?).build().map_err(failed)?;
    let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
    let mut file = SerializedFileWriter::new(to, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
    let (mut written, mut in_group, mut bytes, mut letters) = (0, 0, 0, Letters::default());
    pass::each(source, head, &asked.selection, long, TimeUp::Fail, |row| {
        if asked.limit > 0 && written == u64::from(asked.limit) {
            return Ok(Next::Stop);
        }
        written += 1;
        in_group += 1;
        for column in &mut columns {
            bytes += column.add(&head.variables[column.variable], &row.cell(column.variable), labels, &mut letters);
        }
        if in_group == GROUP || bytes >= GROUP_BYTES {
            group(file.next_row_group().map_err(failed)?, &mut columns).map_err(failed)?;
            (in_group, bytes) = (0, 0);
        }
        Ok(Next::GoOn)
    })?;
    if in_group > 0 {
        group(file.next_row_group().map_err(failed)?, &mut columns).map_err(failed)?;
    }
    file.close().map_err(failed)?;
    let notes = (letters.0 > 0)
        .then(|| format!("{} missing values with a letter (.a to .z) are null, as Parquet has one kind.", letters.0));
    Ok((written, notes.into_iter().collect()))
}

fn group<W: Write + Send>(
    mut group: SerializedRowGroupWriter<'_, W>,
    columns: &mut [Column],
) -> Result<(), ParquetError> {
    for column in columns {
        let Some(mut writer) = group.next_column()? else { break };
        let there = Some(column.there.as_slice());
        match &column.values {
            Values::Int(all) => writer.typed::<Int32Type>().write_batch(all, there, None),
            Values::Long(all) => writer.typed::<Int64Type>().write_batch(all, there, None),
            Values::Float(all) => writer.typed::<FloatType>().write_batch(all, there, None),
            Values::Double(all) => writer.typed::<DoubleType>().write_batch(all, there, None),
            Values::Text(all) => writer.typed::<ByteArrayType>().write_batch(all, there, None),
        }?;
        writer.close()?;
        column.values = Values::none(column.how);
        column.there.clear();
    }
    group.close().map(drop)
}

impl Values {
    fn none(how: As) -> Self {
        match how {
            As::Int | As::Day => Self::Int(Vec::new()),
            As::Time => Self::Long(Vec::new()),
            As::Float => Self::Float(Vec::new()),
            As::Double => Self::Double(Vec::new()),
            As::Text => Self::Text(Vec::new()),
        }
    }
}

impl Column {
    /// Adds a value; how many bytes it takes.
    fn add(&mut self, variable: &Variable, cell: &Cell<'_>, labels: &Labels, letters: &mut Letters) -> usize {
        let mut taken = 8;
        let is_there = match (&mut self.values, cell) {
            (Values::Text(all), Cell::Text(text)) => {
                taken += text.len();
                all.push(ByteArray::from(text.as_bytes().to_vec()));
                true
            }
            (Values::Text(all), Cell::Number(x)) => {
                let words = table::words(variable, *x, labels);
                if words.is_none() {
                    letters.see(*x);
                }
                let words = words.or_else(|| (!is_missing(*x)).then(|| table::meant(variable, *x).to_string()));
                words.map(|words| all.push(ByteArray::from(words.into_bytes()))).is_some()
            }
            (_, Cell::Number(x)) if is_missing(*x) => {
                letters.see(*x);
                false
            }
            (Values::Int(all), Cell::Number(x)) => {
                let shift = if self.how == As::Day { TO_UNIX } else { 0 };
                i32::try_from(x.floor() as i64 - shift).map(|n| all.push(n)).is_ok()
            }
            (Values::Long(all), Cell::Number(x)) => {
                let ms = x.floor() as i64;
                let leap = if variable.shape == Shape::LeapClock { leap_seconds(ms) * 1000 } else { 0 };
                all.push(ms.saturating_sub(leap).saturating_sub(TO_UNIX_MS));
                true
            }
            (Values::Float(all), Cell::Number(x)) => {
                all.push(*x as f32);
                true
            }
            (Values::Double(all), Cell::Number(x)) => {
                all.push(*x);
                true
            }
            _ => false,
        };
        self.there.push(i16::from(is_there));
        taken
    }
}
