//! Observations as a file: CSV or Parquet, sent in pieces as its reader takes them.

mod csv;
mod parquet;

use std::io::{self, Write};

use longhaul_proto::{CHUNK, wire};

use super::{actions::Asked, cell::is_missing, labels::Labels, long::Index, refused::Refused, source::Source};
use wire::data_part::Part;

/// Sends what is written in pieces of 64 KiB.
pub(super) struct Pieces<S> {
    piece: Vec<u8>,
    send: S,
}

impl<S: FnMut(Part) -> Result<(), Refused>> Pieces<S> {
    fn whole(&mut self, least: usize) -> Result<(), Refused> {
        while self.piece.len() > least {
            let rest = self.piece.split_off(CHUNK.min(self.piece.len()));
            let piece = std::mem::replace(&mut self.piece, rest);
            (self.send)(Part::Bytes(piece.into()))?;
        }
        Ok(())
    }
}

impl<S: FnMut(Part) -> Result<(), Refused>> Write for Pieces<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        self.whole(CHUNK - 1).map_err(Refused::into_io)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all observations that are meant; the number of them, and what is to be said.
pub(super) fn export(
    source: &Source,
    asked: &Asked<'_>,
    labels: &Labels,
    index: Index,
    format: wire::DataFormat,
    send: impl FnMut(Part) -> Result<(), Refused> + Send,
) -> Result<(u64, Vec<String>), Refused> {
    let mut pieces = Pieces { piece: Vec::new(), send };
    let long = index.of(source, asked.head);
    let done = match format {
        wire::DataFormat::Parquet => parquet::write(source, asked, labels, &long, &mut pieces)?,
        _ => csv::write(source, asked, labels, &long, &mut pieces)?,
    };
    pieces.whole(0)?;
    Ok(done)
}

/// Counts missing values that have a letter, which the format has no place for.
#[derive(Default)]
struct Letters(u64);

impl Letters {
    fn see(&mut self, x: f64) {
        self.0 += u64::from(is_missing(x) && super::cell::letter(x) != Some(0));
    }
}
