//! Value labels: what the numbers of a variable stand for.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use longhaul_proto::encoding::Encoding;

use super::{
    cell,
    head::{Head, Variable},
    refused::Refused,
    source::Source,
};

/// Bytes of value labels that are kept.
const MOST: u64 = 16 << 20;
/// The value of `.`, of which the letters follow.
const FIRST_MISSING: i32 = 2_147_483_621;

/// The sets that were asked for, by name.
#[derive(Debug, Default)]
pub(super) struct Labels(BTreeMap<String, BTreeMap<i32, String>>);

impl Labels {
    /// The label of a variable's number.
    pub(super) fn of(&self, variable: &Variable, x: f64) -> Option<&str> {
        let set = self.0.get(&variable.labels).filter(|_| !variable.labels.is_empty())?;
        let key = match cell::letter(x) {
            Some(letter) => FIRST_MISSING + i32::from(letter),
            None if x.fract() == 0.0 && x.abs() < f64::from(FIRST_MISSING) => x as i32,
            None => return None,
        };
        set.get(&key).map(String::as_str)
    }

    /// Reads the sets of these variables.
    pub(super) fn read(source: &mut Source, head: &Head, variables: &[usize]) -> Result<Self, Refused> {
        let wanted: BTreeSet<&str> =
            variables.iter().map(|n| head.variables[*n].labels.as_str()).filter(|name| !name.is_empty()).collect();
        let mut labels = Self::default();
        if !wanted.is_empty() {
            source.go_to(head.labels_at);
            labels.sets(source, head, &wanted)?;
        }
        Ok(labels)
    }

    fn sets(&mut self, source: &mut Source, head: &Head, wanted: &BTreeSet<&str>) -> Result<(), Refused> {
        let damaged = || Refused::file("it is damaged: its value labels are not where they should be");
        if head.has_sections() && &source.next::<14>()? != b"<value_labels>" {
            return Err(damaged());
        }
        let mut left = MOST;
        while self.0.len() < wanted.len() {
            if head.has_sections() {
                match &source.next::<5>()? {
                    b"<lbl>" => {}
                    b"</val" => break,
                    _ => return Err(damaged()),
                }
            }
            let len = match source.next::<4>() {
                Ok(len) => u64::from(number(head, len)),
                // The older formats have nothing behind the last set.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !head.has_sections() => break,
                Err(error) => return Err(error.into()),
            };
            let mut name = vec![0; if head.release >= 118 { 129 } else { 33 }];
            source.read_exact(&mut name)?;
            source.next::<3>()?;
            source.expect_room(len)?;
            let name = text(head, &name);
            if wanted.contains(name.as_str()) {
                left = left.checked_sub(len).ok_or_else(|| {
                    Refused::asked(format!("its value labels take more than {} MiB: switch them off", MOST >> 20))
                })?;
                let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
                source.read_exact(&mut bytes)?;
                self.0.insert(name, set(head, &bytes).ok_or_else(damaged)?);
            } else {
                io::Seek::seek_relative(source, i64::try_from(len).map_err(|_| damaged())?)?;
            }
            if head.has_sections() && &source.next::<6>()? != b"</lbl>" {
                return Err(damaged());
            }
        }
        Ok(())
    }
}

fn number(head: &Head, bytes: [u8; 4]) -> u32 {
    if head.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

fn text(head: &Head, bytes: &[u8]) -> String {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    Encoding::default().decode(&bytes[..end], !head.is_utf8()).into_owned()
}

/// A set: how many there are, how long the texts are, where each text begins, the values, the texts.
fn set(head: &Head, bytes: &[u8]) -> Option<BTreeMap<i32, String>> {
    let at = |place: usize| Some(number(head, bytes.get(place..place + 4)?.try_into().ok()?));
    let count = usize::try_from(at(0)?).ok().filter(|n| *n <= bytes.len() / 8)?;
    let texts = bytes.get(8 + 8 * count..)?;
    let one = |n: usize| {
        let from = usize::try_from(at(8 + 4 * n)?).ok()?;
        Some((at(8 + 4 * (count + n))?.cast_signed(), text(head, texts.get(from..)?)))
    };
    (0..count).map(one).collect()
}
