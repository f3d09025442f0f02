//! Data files of every release that is read, written here, and what is told of them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use dta::stata::{
    dta::{
        byte_order::ByteOrder, dta_writer::DtaWriter, header::Header, long_string_table::LongStringTable,
        release::Release, schema::Schema, value::Value, variable::Variable, variable_type::VariableType,
    },
    missing_value::MissingValue,
    stata_byte::StataByte,
    stata_double::StataDouble,
    stata_float::StataFloat,
    stata_int::StataInt,
    stata_long::StataLong,
};
use longhaul_proto::{clock::Clock, wire};

use super::*;
use crate::prepare::Places;

mod refused;

const RELEASES: [(Release, ByteOrder); 8] = [
    (Release::V113, ByteOrder::LittleEndian),
    (Release::V114, ByteOrder::BigEndian),
    (Release::V115, ByteOrder::LittleEndian),
    (Release::V116, ByteOrder::LittleEndian),
    (Release::V117, ByteOrder::BigEndian),
    (Release::V118, ByteOrder::LittleEndian),
    (Release::V118, ByteOrder::BigEndian),
    (Release::V119, ByteOrder::LittleEndian),
];

/// Without variables that are aliases, these differ from the ones before in their number only.
const NEWER: [(Release, ByteOrder, Option<&[u8; 3]>); 3] = [
    (Release::V118, ByteOrder::LittleEndian, Some(b"120")),
    (Release::V118, ByteOrder::BigEndian, Some(b"120")),
    (Release::V119, ByteOrder::LittleEndian, Some(b"121")),
];

/// Where the number of the release is.
const NUMBER: std::ops::Range<usize> = 28..31;

fn renumber(path: &Path, newer: Option<&[u8; 3]>) {
    if let Some(number) = newer {
        let mut bytes = fs::read(path).unwrap();
        bytes[NUMBER].copy_from_slice(number);
        fs::write(path, bytes).unwrap();
    }
}

/// Five cars: texts, all types of numbers, labels, a day, missing values, and long strings where the release has them.
fn cars(path: &Path, release: Release, order: ByteOrder) {
    let header = Header::builder(release, order).dataset_label("Cars").build();
    let long = release.supports_long_strings();
    let mut schema = Schema::builder()
        .add_variable(Variable::builder(VariableType::FixedString(12), "make").format("%12s").label("Make and model"))
        .add_variable(Variable::builder(VariableType::Int, "price").format("%8.0gc").label("Price"))
        .add_variable(Variable::builder(VariableType::Byte, "foreign").format("%8.0g").value_label_name("origin"))
        .add_variable(Variable::builder(VariableType::Float, "ratio").format("%6.2f"))
        .add_variable(Variable::builder(VariableType::Double, "weight").format("%10.0g"))
        .add_variable(Variable::builder(VariableType::Long, "sold").format("%td"));
    if long {
        schema = schema.add_variable(Variable::builder(VariableType::LongString, "note").format("%9s"));
    }
    let schema = schema.add_sort_order(2).build().unwrap();
    let described =
        DtaWriter::new().from_path(path).unwrap().write_header(header).unwrap().write_schema(schema).unwrap();
    let mut records = described.into_record_writer().unwrap();
    let mut texts = LongStringTable::for_writing();
    let rows = [
        ("AMC Concord", 4_099, StataByte::Present(0), 3.58_f32, 2_930.5, StataLong::Present(23_440), "one"),
        ("Audi 5000", 9_690, StataByte::Present(1), 3.2, 2_830.0, StataLong::Missing(MissingValue::System), ""),
        ("Caf\u{e9} \u{fc}", 5_899, StataByte::Present(1), 3.2, -1.0, StataLong::Present(0), "a longer one"),
        ("", 100, StataByte::Missing(MissingValue::A), 0.1, 1e-9, StataLong::Missing(MissingValue::Z), "one"),
        ("VW \"Rabbit\"", 4_697, StataByte::Present(7), 0.0, 0.1 + 0.2, StataLong::Present(-1), "x"),
    ];
    for (n, (make, price, foreign, ratio, weight, sold, note)) in (1_u64..).zip(rows) {
        let price = if price == 100 { StataInt::Missing(MissingValue::B) } else { StataInt::Present(price) };
        let mut values = vec![
            Value::string(make),
            Value::Int(price),
            Value::Byte(foreign),
            Value::Float(StataFloat::Present(ratio)),
            Value::Double(StataDouble::Present(weight)),
            Value::Long(sold),
        ];
        if long {
            values.push(Value::LongStringRef(texts.get_or_insert(7, n, note)));
        }
        records.write_record(&values).unwrap();
    }
    let mut strings = records.into_long_string_writer().unwrap();
    if long {
        strings.write_long_string_table(&texts).unwrap();
    }
    strings.into_value_label_writer().unwrap().finish().unwrap();
    let sets =
        [label_set(release, order, "other", &[(5, "five")]), label_set(release, order, "origin", &ORIGIN)].concat();
    put_label_sets(path, release, order, &sets);
}

const ORIGIN: [(i32, &str); 3] = [(0, "Domestic"), (1, "Foreign"), (2_147_483_622, "unknown")];

/// The crate writes value labels only that it has read.
fn label_set(release: Release, order: ByteOrder, name: &str, entries: &[(i32, &str)]) -> Vec<u8> {
    let number = |n: i32| if order == ByteOrder::BigEndian { n.to_be_bytes() } else { n.to_le_bytes() };
    let len = |n: usize| number(i32::try_from(n).unwrap());
    let (mut texts, mut places) = (Vec::new(), Vec::new());
    for (_, text) in entries {
        places.extend(len(texts.len()));
        texts.extend_from_slice(text.as_bytes());
        texts.push(0);
    }
    let values: Vec<u8> = entries.iter().flat_map(|(value, _)| number(*value)).collect();
    let inner = [&len(entries.len())[..], &len(texts.len()), &places, &values, &texts].concat();
    let mut named = name.as_bytes().to_vec();
    named.resize(if release >= Release::V118 { 129 } else { 33 } + 3, 0);
    let set = [&len(inner.len())[..], &named, &inner].concat();
    if release.is_xml_like() { [b"<lbl>", &set[..], b"</lbl>"].concat() } else { set }
}

fn put_label_sets(path: &Path, release: Release, order: ByteOrder, sets: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    if release.is_xml_like() {
        let find = |what: &[u8]| bytes.windows(what.len()).position(|w| w == what).unwrap() + what.len();
        let (map, at) = (find(b"<map>"), find(b"<value_labels>"));
        for place in [map + 12 * 8, map + 13 * 8] {
            let old: [u8; 8] = bytes[place..place + 8].try_into().unwrap();
            let new = match order {
                ByteOrder::BigEndian => (u64::from_be_bytes(old) + sets.len() as u64).to_be_bytes(),
                ByteOrder::LittleEndian => (u64::from_le_bytes(old) + sets.len() as u64).to_le_bytes(),
            };
            bytes[place..place + 8].copy_from_slice(&new);
        }
        bytes.splice(at..at, sets.iter().copied());
    } else {
        bytes.extend_from_slice(sets);
    }
    fs::write(path, bytes).unwrap();
}

fn places(root: &Path) -> Places {
    Places {
        host: "stata1".into(),
        roots: vec![root.to_owned()],
        hidden: vec![root.join("hidden")],
        path_map: Vec::new(),
    }
}

/// All parts of an answer.
fn ask(root: &Path, request: &wire::DataRequest) -> Result<Vec<Part>, Refused> {
    let mut parts = Vec::new();
    let watch = Watch::new(Clock::system(), Duration::from_secs(60), || false);
    answer(&places(root), request, watch, |part| {
        parts.push(part);
        Ok(())
    })?;
    Ok(parts)
}

fn request(path: &Path, action: wire::DataAction, vars: &str, condition: &str, range: &str) -> wire::DataRequest {
    wire::DataRequest {
        path: path.display().to_string(),
        action: action.into(),
        variables: vec![vars.to_owned()],
        condition: condition.to_owned(),
        range: range.to_owned(),
        ..Default::default()
    }
}

/// A table in lines, its cells with `|` between, and the notes.
fn lines(parts: &[Part]) -> Vec<String> {
    let cell = |cell: &wire::DataCell| match &cell.value {
        None => String::new(),
        Some(wire::data_cell::Value::Text(text)) => text.clone(),
        Some(wire::data_cell::Value::Number(x)) => format!("{x}"),
    };
    let mut lines = Vec::new();
    for part in parts {
        match part {
            Part::Table(table) => {
                lines.push(table.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>().join("|"));
                lines.extend(table.rows.iter().map(|row| row.cells.iter().map(cell).collect::<Vec<_>>().join("|")));
            }
            Part::End(end) => lines.extend(end.notes.iter().map(|note| format!("({note})"))),
            Part::File(_) | Part::Bytes(_) => {}
        }
    }
    lines
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().canonicalize().unwrap();
    (folder, real)
}

#[test]
fn every_release_reads_the_same() {
    let (_folder, root) = folder();
    let all = RELEASES.map(|(release, order)| (release, order, None));
    for (release, order, newer) in all.into_iter().chain(NEWER) {
        let what = format!("{release} {order:?} {newer:?}");
        let path = root.join("cars.dta");
        cars(&path, release, order);
        renumber(&path, newer);
        let check = |action, vars: &str, condition: &str, range: &str, want: &[&str]| {
            let parts = ask(&root, &request(&path, action, vars, condition, range));
            assert_eq!(lines(&parts.unwrap_or_else(|e| panic!("{what}: {e}"))), want, "{what} {vars} {condition}");
        };
        check(
            wire::DataAction::Describe,
            "make-foreign",
            "",
            "",
            &[
                "Variable|Type|Format|Value label|Label",
                "make|str12|%12s||Make and model",
                "price|int|%8.0gc||Price",
                "foreign|byte|%8.0g|origin|",
            ],
        );
        check(
            wire::DataAction::Rows,
            "make-sold",
            "",
            "",
            &[
                "Obs|make|price|foreign|ratio|weight|sold",
                "1|AMC Concord|4099|Domestic|3.58|2930.5|2024-03-05",
                "2|Audi 5000|9690|Foreign|3.2|2830|.",
                "3|Caf\u{e9} \u{fc}|5899|Foreign|3.2|-1|1960-01-01",
                "4||.b|unknown|0.1|0.000000001|.z",
                "5|VW \"Rabbit\"|4697|7|0|0.30000000000000004|1959-12-31",
            ],
        );
        if release.supports_long_strings() {
            let notes = ["Obs|note", "1|one", "2|", "3|a longer one", "4|one", "5|x"];
            check(wire::DataAction::Rows, "note", "", "", &notes);
            check(wire::DataAction::Rows, "note", "note == \"one\"", "2/l", &["Obs|note", "4|one"]);
            check(
                wire::DataAction::Tabulate,
                "note",
                "",
                "",
                &[
                    "note|Freq.|Percent|Cum.",
                    "a longer one|1|25|25",
                    "one|2|50|75",
                    "x|1|25|100",
                    "Total|4|100|",
                    "(1 observation with a missing value is left out.)",
                ],
            );
        }
        check(
            wire::DataAction::Summarize,
            "price sold make",
            "",
            "",
            &[
                "Variable|Obs|Mean|Std. dev.|Min|Max",
                "price|4|6096.25|2510.0368357190832|4099|9690",
                "sold|3|1981-05-23|13533.378994175844|1959-12-31|2024-03-05",
                "make|0||||",
            ],
        );
        check(
            wire::DataAction::Tabulate,
            "foreign",
            "",
            "",
            &[
                "foreign|Freq.|Percent|Cum.",
                "Domestic|1|25|25",
                "Foreign|2|50|75",
                "7|1|25|100",
                "Total|4|100|",
                "(1 observation with a missing value is left out.)",
            ],
        );
        check(
            wire::DataAction::Tabulate,
            "ratio foreign",
            "foreign < 7",
            "",
            &["ratio \\ foreign|Domestic|Foreign|Total", "3.2|0|2|2", "3.58|1|0|1", "Total|1|2|3"],
        );
        check(
            wire::DataAction::Codebook,
            "make price foreign",
            "",
            "",
            &[
                "Variable|Type|Label|Different|Missing|Values (and how often)",
                "make|str12|Make and model|4|1|\"AMC Concord\" (1), \"Audi 5000\" (1), \"Caf\u{e9} \u{fc}\" (1), \"VW \"Rabbit\"\" (1)",
                "price|int|Price|4|1 (.b 1)|4099 (1), 4697 (1), 5899 (1), 9690 (1)",
                "foreign|byte||3|1 (.a 1)|0 \"Domestic\" (1), 1 \"Foreign\" (2), 7 (1)",
            ],
        );
    }
}

#[test]
fn texts_that_are_no_utf_8_are_read_as_they_were_meant() {
    let (_folder, root) = folder();
    let path = root.join("cars.dta");
    cars(&path, Release::V118, ByteOrder::LittleEndian);
    let mut bytes = fs::read(&path).unwrap();
    let others: [(&str, &[u8]); 2] =
        [("Make and model", b"M\xe4ke and model"), ("AMC Concord\0", b"AMC C\xf4nc\0\0\0\0")];
    for (text, other) in others {
        let at = bytes.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
        bytes[at..at + other.len()].copy_from_slice(other);
    }
    fs::write(&path, bytes).unwrap();
    let parts = ask(&root, &request(&path, wire::DataAction::Rows, "make", "", "1")).unwrap();
    assert_eq!(
        lines(&parts),
        ["Obs|make", "1|AMC C\u{f4}nc", "(Names or labels in it are not UTF-8: they are read as Windows-1252.)"]
    );
}

#[test]
fn csv_has_every_field_as_it_is() {
    let (_folder, root) = folder();
    let path = root.join("cars.dta");
    cars(&path, Release::V118, ByteOrder::LittleEndian);
    let export = |change: fn(&mut wire::DataRequest)| {
        let mut request = request(&path, wire::DataAction::Rows, "make price foreign weight sold", "", "");
        request.set_format(wire::DataFormat::Csv);
        change(&mut request);
        let parts = ask(&root, &request).unwrap();
        assert!(matches!((parts.first(), parts.last()), (Some(Part::File(_)), Some(Part::End(_)))));
        let bytes =
            parts.iter().filter_map(|part| if let Part::Bytes(bytes) = part { Some(bytes.to_vec()) } else { None });
        String::from_utf8(bytes.flatten().collect()).unwrap()
    };
    assert_eq!(
        export(|_| {}),
        "make,price,foreign,weight,sold\r\nAMC Concord,4099,Domestic,2930.5,2024-03-05\r\nAudi 5000,9690,Foreign,2830,\r\n\
         Caf\u{e9} \u{fc},5899,Foreign,-1,1960-01-01\r\n,.b,unknown,1e-9,.z\r\n\
         \"VW \"\"Rabbit\"\"\",4697,7,0.30000000000000004,1959-12-31\r\n"
    );
    assert_eq!(
        export(|request| {
            request.codes = true;
            request.variables = vec!["foreign".into()];
            request.limit = 2;
        }),
        "foreign\r\n0\r\n1\r\n"
    );
}

#[test]
fn parquet_has_types_of_its_own() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let (_folder, root) = folder();
    let path = root.join("cars.dta");
    cars(&path, Release::V117, ByteOrder::LittleEndian);
    let mut request = request(&path, wire::DataAction::Rows, "", "", "");
    request.set_format(wire::DataFormat::Parquet);
    let parts = ask(&root, &request).unwrap();
    assert_eq!(lines(&parts), ["(2 missing values with a letter (.a to .z) are null, as Parquet has one kind.)"]);
    let bytes = parts.iter().filter_map(|part| if let Part::Bytes(bytes) = part { Some(bytes.to_vec()) } else { None });
    let bytes: Vec<u8> = bytes.flatten().collect();
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let rows: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
    assert_eq!(
        rows,
        [
            "{make: \"AMC Concord\", price: 4099, foreign: \"Domestic\", ratio: 3.58, weight: 2930.5, sold: 2024-03-05, note: \"one\"}",
            "{make: \"Audi 5000\", price: 9690, foreign: \"Foreign\", ratio: 3.2, weight: 2830.0, sold: null, note: \"\"}",
            "{make: \"Caf\u{e9} \u{fc}\", price: 5899, foreign: \"Foreign\", ratio: 3.2, weight: -1E0, sold: 1960-01-01, \
         note: \"a longer one\"}",
            "{make: \"\", price: null, foreign: \"unknown\", ratio: 0.1, weight: 0.000000001, sold: null, note: \"one\"}",
            "{make: \"VW \"Rabbit\"\", price: 4697, foreign: \"7\", ratio: 0E0, weight: 0.30000000000000004, sold: 1959-12-31, \
         note: \"x\"}",
        ]
    );
}

/// A file of one gibibyte, of which nothing but its head and its end takes room on the disk.
fn large(path: &Path, observations: u64) {
    const ROW: u64 = 1_024;
    let schema = Schema::builder()
        .add_variable(Variable::builder(VariableType::Double, "x").format("%10.0g"))
        .add_variable(Variable::builder(VariableType::FixedString(244), "a").format("%9s"))
        .add_variable(Variable::builder(VariableType::FixedString(244), "b").format("%9s"))
        .add_variable(Variable::builder(VariableType::FixedString(244), "c").format("%9s"))
        .add_variable(Variable::builder(VariableType::FixedString(244), "d").format("%9s"))
        .add_variable(Variable::builder(VariableType::FixedString(40), "e").format("%9s"));
    let header = Header::builder(Release::V115, ByteOrder::LittleEndian).build();
    let described = DtaWriter::new().from_path(path).unwrap().write_header(header).unwrap();
    let records = described.write_schema(schema.build().unwrap()).unwrap().into_record_writer().unwrap();
    records.into_long_string_writer().unwrap().into_value_label_writer().unwrap().finish().unwrap();
    let head = fs::metadata(path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &u32::try_from(observations).unwrap().to_le_bytes(), 6).unwrap();
    file.set_len(head + observations * ROW).unwrap();
}

#[test]
fn a_large_file_is_read_only_where_it_is_asked() {
    let (_folder, root) = folder();
    let path = root.join("large.dta");
    large(&path, 1 << 20);
    assert!(fs::metadata(&path).unwrap().len() > 1 << 30);
    let read = |action, condition: &str, range: &str, rows: usize| {
        let parts = ask(&root, &request(&path, action, "", condition, range)).unwrap();
        assert_eq!(lines(&parts).len(), rows + 1, "{range}");
        match parts.last() {
            Some(Part::End(end)) => end.bytes_read,
            _ => panic!("no end"),
        }
    };
    let head = read(wire::DataAction::Describe, "", "", 6);
    assert!(head <= 64 * 1024, "{head}");
    for rows in [1, 10, 50] {
        let range = format!("524288/{}", 524_287 + rows);
        let all = read(wire::DataAction::Rows, "", &range, rows);
        assert_eq!(all, head + rows as u64 * 1_024, "{range}");
    }
    // The control: a condition has to look at every observation before.
    let all = read(wire::DataAction::Rows, "_n == 5000", "1/5000", 1);
    assert!(all > 5_000 * 1_024, "{all}");
}

#[test]
fn reading_ends_when_the_time_is_up_or_the_caller_is_gone() {
    let (_folder, root) = folder();
    let path = root.join("large.dta");
    large(&path, 1 << 20);
    let told = |limit: Duration, gone: bool, action, format: wire::DataFormat| {
        let mut asked = request(&path, action, "x", "", "");
        asked.set_format(format);
        let mut parts = Vec::new();
        let done = answer(&places(&root), &asked, Watch::new(Clock::system(), limit, move || gone), |part| {
            parts.push(part);
            Ok(())
        });
        (done, lines(&parts).join("\n"))
    };
    let minute = Duration::from_secs(60);
    assert!(matches!(told(minute, true, wire::DataAction::Summarize, wire::DataFormat::Table).0, Err(Refused::Gone)));
    assert!(matches!(
        told(Duration::ZERO, false, wire::DataAction::Rows, wire::DataFormat::Csv).0,
        Err(Refused::TimeUp(0))
    ));
    let (done, text) = told(Duration::from_millis(300), false, wire::DataAction::Summarize, wire::DataFormat::Table);
    assert!(done.is_ok() && text.contains("Cut off after 0 s: it is of observations 1 to"), "{done:?} {text}");
}

#[test]
fn a_path_is_found_as_do_files_are() {
    let (_folder, root) = folder();
    fs::create_dir_all(root.join("hidden")).unwrap();
    fs::create_dir_all(root.join("sub")).unwrap();
    for name in ["sub/cars.dta", "hidden/secret.dta"] {
        cars(&root.join(name), Release::V118, ByteOrder::LittleEndian);
    }
    std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
    let real = root.join("sub/cars.dta").display().to_string();
    let check = |path: &str, want: &str| {
        let file = find(&places(&root), path);
        assert!(file.path == want || file.problem.contains(want) && !want.is_empty(), "{path}: {file:?}");
        (file.mark, file.near)
    };
    let (mark, _) = check(&real, &real);
    assert!(mark.len() > 32);
    check("sub/cars.dta", &real);
    check("~/sub/cars", &real);
    check(&real.replace(".dta", ""), &real);
    assert_eq!(check("sub/carz.dta", "no data file sub/carz.dta").1, std::slice::from_ref(&real));
    check("/etc/passwd", "lies outside the agent's folders");
    check(&root.join("out/passwd").display().to_string(), "lies outside the agent's folders");
    check(&root.join("hidden/secret.dta").display().to_string(), "lies outside the agent's folders");
    check(&root.join("../x.dta").display().to_string(), "outside the agent's folders");
    check(&root.join("sub").display().to_string(), "is a folder");
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe.dta"), rustix::fs::Mode::RUSR).unwrap();
    check(&root.join("pipe.dta").display().to_string(), "not an ordinary file");
}
