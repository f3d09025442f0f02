//! The head of a data file: what is in it and where, without reading what is in it.
//!
//! The crate `dta` reads header and variables. What it would believe of lengths is checked before ([`Preamble`]): it makes
//! room for as many bytes as a file says, and a file may say anything.

use std::io::{Read, Seek};

use dta::stata::dta::{
    byte_order::ByteOrder,
    characteristic_reader::CharacteristicReader,
    dta_error::{DtaError, FormatErrorKind},
    dta_reader::DtaReader,
    header::Header,
    schema::Schema,
    variable_type::VariableType,
};
use encoding_rs::{Encoding, WINDOWS_1252};

use super::{dates::Shape, refused::Refused, source::Source};

/// Where a file with sections says its release, and how it begins until there.
const RELEASE_AT: u64 = 28;
const BEGINS: &[u8] = b"<stata_dta><header><release>";
/// Most variables of any edition of Stata.
const MOST_VARIABLES: u64 = 120_000;
/// The type of a variable that is only an alias of another frame's.
const ALIAS: u16 = 65_525;

/// How a variable is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Byte,
    Int,
    Long,
    Float,
    Double,
    /// So many bytes.
    Text(u16),
    /// Elsewhere in the file.
    LongText,
}

impl Kind {
    /// Bytes in an observation.
    fn width(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Int => 2,
            Self::Long | Self::Float => 4,
            Self::Double | Self::LongText => 8,
            Self::Text(n) => usize::from(n),
        }
    }

    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text(_) | Self::LongText)
    }

    /// Stata's word.
    pub(super) fn word(self) -> String {
        match self {
            Self::Byte => "byte".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Long => "long".to_owned(),
            Self::Float => "float".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Text(n) => format!("str{n}"),
            Self::LongText => "strL".to_owned(),
        }
    }
}

/// A variable.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Where it is in an observation, bytes.
    pub(super) at: usize,
    pub(super) width: usize,
    pub(super) format: String,
    pub(super) shape: Shape,
    /// The set of its value labels; empty = none.
    pub(super) labels: String,
    pub(super) label: String,
}

/// What a data file is.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// As the file says, before anything was read in its place.
    pub(super) release: u8,
    pub(super) big_endian: bool,
    pub(super) label: String,
    /// Empty = the file does not say.
    pub(super) saved: String,
    pub(super) variables: Vec<Variable>,
    pub(super) sorted: Vec<usize>,
    pub(super) observations: u64,
    /// Bytes of an observation.
    pub(super) row: usize,
    /// Where the first observation is.
    pub(super) data_at: u64,
    /// Where the long strings are.
    pub(super) strls_at: Option<u64>,
    pub(super) labels_at: u64,
    /// What is to be said of it.
    pub(super) notes: Vec<String>,
}

impl Head {
    /// Whether its texts are UTF-8 by the rules of its release.
    pub(super) fn is_utf8(&self) -> bool {
        self.release >= 118
    }

    /// Whether it has sections with names.
    pub(super) fn has_sections(&self) -> bool {
        self.release >= 117
    }
}

/// What the first bytes say.
struct Preamble {
    release: u8,
    variables: u64,
}

impl Preamble {
    fn read(source: &mut Source) -> Result<Self, Refused> {
        let no_data = || Refused::file("it is no Stata data file: it does not begin as one");
        let mut begin = vec![0; BEGINS.len()];
        let short = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => no_data(),
            _ => error.into(),
        };
        source.read_exact(&mut begin).map_err(short)?;
        if begin != BEGINS {
            let release = begin[0];
            if matches!(release, 102..=112) && matches!(begin[1], 1 | 2) {
                return Err(Refused::file(format!(
                    "it has the file format {release}, of Stata 7 or before, which cannot be read here: `use` it in a run and \
                     `save` it again"
                )));
            }
            if !matches!(release, 113..=116) || !matches!(begin[1], 1 | 2) {
                return Err(no_data());
            }
            let count = [begin[4], begin[5]];
            let variables = if begin[1] == 1 { u16::from_be_bytes(count) } else { u16::from_le_bytes(count) };
            return Ok(Self { release, variables: variables.into() });
        }
        let digits = source.next::<3>().map_err(short)?;
        let digits = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse::<u16>().ok());
        let release = match digits {
            Some(release @ 117..=121) => release as u8,
            Some(other) => {
                return Err(Refused::file(format!(
                    "it has the file format {other}, which cannot be read here: in a run, `use` it and \
                     `saveold NAME, version(14)`"
                )));
            }
            None => return Err(no_data()),
        };
        // </release><byteorder>LSF</byteorder><K>
        let rest = source.next::<39>().map_err(short)?;
        let big = &rest[21..24] == b"MSF";
        let variables = if matches!(release, 119 | 121) {
            let count = source.next::<4>()?;
            u64::from(if big { u32::from_be_bytes(count) } else { u32::from_le_bytes(count) })
        } else {
            let count = source.next::<2>()?;
            u64::from(if big { u16::from_be_bytes(count) } else { u16::from_le_bytes(count) })
        };
        Ok(Self { release, variables })
    }

    /// Bytes that the head has for each variable.
    fn per_variable(&self) -> u64 {
        match self.release {
            113 => 1 + 33 + 2 + 12 + 33 + 81,
            114..=116 => 1 + 33 + 2 + 49 + 33 + 81,
            117 => 2 + 33 + 2 + 49 + 33 + 81,
            _ => 2 + 129 + 2 + 57 + 129 + 321,
        }
    }
}

/// Reads the head, and nothing else.
pub(super) fn read(source: &mut Source) -> Result<Head, Refused> {
    let preamble = Preamble::read(source)?;
    let room = preamble.variables.saturating_mul(preamble.per_variable());
    if preamble.variables > MOST_VARIABLES || room > source.len() {
        return Err(Refused::file(format!(
            "it is damaged: it says that it has {} variables, and is too short for that",
            preamble.variables
        )));
    }
    // These differ from the ones before by aliases of variables in other frames only.
    match preamble.release {
        120 => source.patch(RELEASE_AT, *b"118"),
        121 => source.patch(RELEASE_AT, *b"119"),
        _ => {}
    }
    let mut notes = Vec::new();
    let parts = match parts(source, preamble.release, None) {
        Err(Trouble::Encoding) => {
            notes.push("Names or labels in it are not UTF-8: they are read as Windows-1252.".to_owned());
            parts(source, preamble.release, Some(WINDOWS_1252))
        }
        done => done,
    };
    let parts = parts.map_err(|trouble| match trouble {
        Trouble::Refused(refused) => refused,
        Trouble::Encoding => Refused::file("names in it are in no encoding that is known here"),
    })?;
    let head = assemble(preamble.release, parts, notes)?;
    let rows = head.observations.checked_mul(head.row as u64).and_then(|bytes| bytes.checked_add(head.data_at));
    if rows.is_none_or(|end| end > source.len()) || head.labels_at > source.len() {
        return Err(Refused::file(format!(
            "it is not whole: it says that it has {} observations of {} bytes, and ends before; was it copied or saved to its \
             end?",
            head.observations, head.row
        )));
    }
    Ok(head)
}

/// What the crate found, and where.
struct Parts {
    header: Header,
    schema: Schema,
    data_at: u64,
    strls_at: Option<u64>,
    labels_at: u64,
}

enum Trouble {
    /// A text is not in the encoding that the release has.
    Encoding,
    Refused(Refused),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl From<DtaError> for Trouble {
    fn from(error: DtaError) -> Self {
        Self::Refused(match error {
            DtaError::Io { source, .. } => source.into(),
            DtaError::Format(error) => match error.kind() {
                FormatErrorKind::InvalidEncoding { .. } => return Self::Encoding,
                FormatErrorKind::InvalidVariableType { code: ALIAS } => Refused::file(
                    "it has alias variables (Stata 18 or later), whose values are in another file: in a run, `use` it and \
                     `saveold NAME, version(14)` with those variables dropped or made real ones",
                ),
                _ => Refused::file(format!("it is damaged: {error}")),
            },
            other => Refused::file(format!("it is damaged: {other}")),
        })
    }
}

fn parts(source: &mut Source, release: u8, encoding: Option<&'static Encoding>) -> Result<Parts, Trouble> {
    source.go_to(0);
    let at = source.place();
    let reader = DtaReader::new();
    let reader = encoding.map_or(reader, |encoding| DtaReader::new().encoding(encoding)).from_reader(&mut *source);
    let described = reader.read_header()?.read_schema()?;
    let (header, schema) = (described.header().clone(), described.schema().clone());
    if release >= 117 {
        let (data_at, strls_at, labels_at) = sections(described, &at)?;
        return Ok(Parts { header, schema, data_at, strls_at: Some(strls_at), labels_at });
    }
    drop(described);
    skip_characteristics(source, header.byte_order() == ByteOrder::BigEndian)?;
    let data_at = at.get();
    let row: u64 = schema.variables().iter().map(|v| kind(v.variable_type()).width() as u64).sum();
    let bytes = header.observation_count().checked_mul(row).and_then(|bytes| bytes.checked_add(data_at));
    Ok(Parts { header, schema, data_at, strls_at: None, labels_at: bytes.unwrap_or(u64::MAX) })
}

/// Where the file's own map says that data, long strings and value labels begin.
fn sections<R: Read + Seek>(
    described: CharacteristicReader<R>,
    at: &std::cell::Cell<u64>,
) -> Result<(u64, u64, u64), DtaError> {
    let records = described.seek_records()?;
    let data_at = at.get() + b"<data>".len() as u64;
    let strls = records.seek_long_strings()?;
    let strls_at = at.get();
    let _labels = strls.seek_value_labels()?;
    Ok((data_at, strls_at, at.get()))
}

/// Goes past what the older formats have between variables and data.
fn skip_characteristics(source: &mut Source, big_endian: bool) -> std::io::Result<()> {
    loop {
        let [kind, a, b, c, d] = source.next::<5>()?;
        let len = if big_endian { u32::from_be_bytes([a, b, c, d]) } else { u32::from_le_bytes([a, b, c, d]) };
        if kind == 0 && len == 0 {
            return Ok(());
        }
        source.expect_room(len.into())?;
        source.seek_relative(len.into())?;
    }
}

fn kind(kind: VariableType) -> Kind {
    match kind {
        VariableType::Byte => Kind::Byte,
        VariableType::Int => Kind::Int,
        VariableType::Long => Kind::Long,
        VariableType::Float => Kind::Float,
        VariableType::Double => Kind::Double,
        VariableType::FixedString(n) => Kind::Text(n),
        VariableType::LongString => Kind::LongText,
    }
}

fn assemble(release: u8, parts: Parts, notes: Vec<String>) -> Result<Head, Refused> {
    let Parts { header, schema, data_at, strls_at, labels_at } = parts;
    let (mut variables, mut row) = (Vec::with_capacity(schema.variables().len()), 0);
    for of_file in schema.variables() {
        let kind = kind(of_file.variable_type());
        variables.push(Variable {
            name: of_file.name().to_owned(),
            kind,
            at: row,
            width: kind.width(),
            format: of_file.format().to_owned(),
            shape: Shape::of(of_file.format()),
            labels: of_file.value_label_name().to_owned(),
            label: of_file.label().to_owned(),
        });
        row += kind.width();
    }
    if row == 0 && header.observation_count() > 0 {
        return Err(Refused::file("it is damaged: it has observations of no variable"));
    }
    let two = |n: u8| format!("{n:02}");
    let saved = header
        .timestamp()
        .map(|t| format!("{}-{}-{} {}:{}", t.year(), two(t.month()), two(t.day()), two(t.hour()), two(t.minute())));
    let known = |index: &u32| usize::try_from(*index).ok().filter(|index| *index < variables.len());
    Ok(Head {
        release,
        big_endian: header.byte_order() == ByteOrder::BigEndian,
        label: header.dataset_label().to_owned(),
        saved: saved.unwrap_or_default(),
        sorted: schema.sort_order().iter().filter_map(known).collect(),
        observations: header.observation_count(),
        variables,
        row,
        data_at,
        strls_at,
        labels_at,
        notes,
    })
}
