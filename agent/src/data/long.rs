//! Long strings (`strL`): where they are in the file, and their text when it is asked for.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    io::{Seek, SeekFrom},
};

use longhaul_proto::encoding::Encoding;

use super::{cell::Cell, head::Head, refused::Refused, source::Source};

/// Most of them that are known at once.
const MOST: usize = 500_000;
/// Bytes of one that are read.
pub(super) const READ: u32 = 1 << 20;
/// The kind of one that is text; another may hold anything.
const TEXT: u8 = 130;

/// Variable and observation under which one is kept.
pub(super) type Key = (u32, u64);

#[derive(Clone, Copy)]
struct Place {
    at: u64,
    len: u32,
    is_text: bool,
}

/// Where the long strings of a file are.
pub(super) struct LongTexts<'a> {
    source: &'a Source,
    utf8: bool,
    places: HashMap<Key, Place>,
    failed: RefCell<Option<Refused>>,
}

/// Where they are, before the source is shared.
pub(super) struct Index(HashMap<Key, Place>);

impl Index {
    /// Of none.
    pub(super) fn none() -> Self {
        Self(HashMap::new())
    }

    /// Goes through all of them, or until those that are wanted are found.
    pub(super) fn read(source: &mut Source, head: &Head, wanted: Option<&HashSet<Key>>) -> Result<Self, Refused> {
        let mut places = HashMap::new();
        let Some(at) = head.strls_at.filter(|_| wanted.is_none_or(|wanted| !wanted.is_empty())) else {
            return Ok(Self(places));
        };
        let damaged = || Refused::file("it is damaged: its long strings are not where they should be");
        source.go_to(at);
        if &source.next::<7>()? != b"<strls>" {
            return Err(damaged());
        }
        while wanted.is_none_or(|wanted| places.len() < wanted.len()) {
            match &source.next::<3>()? {
                b"GSO" => {}
                b"</s" => break,
                _ => return Err(damaged()),
            }
            let number =
                |bytes: [u8; 4]| if head.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
            let variable = number(source.next()?);
            let observation = if head.release == 117 {
                u64::from(number(source.next()?))
            } else {
                let bytes = source.next()?;
                if head.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
            };
            let [kind] = source.next()?;
            let len = number(source.next()?);
            source.expect_room(len.into())?;
            let key = (variable, observation);
            if wanted.is_none_or(|wanted| wanted.contains(&key)) {
                if places.len() == MOST {
                    return Err(Refused::asked(format!(
                        "it has more than {MOST} long strings (strL), too many to go through here: leave those variables out"
                    )));
                }
                places.insert(key, Place { at: source.place().get(), len, is_text: kind == TEXT });
            }
            source.seek(SeekFrom::Current(len.into()))?;
        }
        Ok(Self(places))
    }

    /// With the file that their texts are read from.
    pub(super) fn of<'a>(self, source: &'a Source, head: &Head) -> LongTexts<'a> {
        LongTexts { source, utf8: head.is_utf8(), places: self.0, failed: RefCell::default() }
    }
}

impl LongTexts<'_> {
    /// The text of a key. After a failure it is empty, and [`Self::whole`] says so.
    pub(super) fn text(&self, key: Key) -> String {
        if key == (0, 0) {
            return String::new();
        }
        let Some(place) = self.places.get(&key) else {
            self.fail(Refused::file("it is damaged: a long string is missing"));
            return String::new();
        };
        if !place.is_text {
            return format!("(binary, {} bytes)", place.len);
        }
        let mut bytes = vec![0; usize::try_from(place.len.min(READ)).unwrap_or_default()];
        if let Err(error) = self.source.exactly(place.at, &mut bytes) {
            self.fail(error.into());
            return String::new();
        }
        let end = memchr::memchr(0, &bytes).unwrap_or(bytes.len());
        let mut text = Encoding::default().decode(&bytes[..end], !self.utf8).into_owned();
        if place.len > READ {
            text.push('…');
        }
        text
    }

    fn fail(&self, refused: Refused) {
        self.failed.borrow_mut().get_or_insert(refused);
    }

    /// # Errors
    /// When one could not be read.
    pub(super) fn whole(&self) -> Result<(), Refused> {
        self.failed.borrow_mut().take().map_or(Ok(()), Err)
    }
}

/// The keys of the long strings among values.
pub(super) fn keys<'a>(cells: impl Iterator<Item = Cell<'a>>) -> HashSet<Key> {
    cells
        .filter_map(|cell| match cell {
            Cell::Long(variable, observation) if (variable, observation) != (0, 0) => Some((variable, observation)),
            _ => None,
        })
        .collect()
}
