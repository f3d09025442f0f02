//! What can be asked of a data file.

mod codebook;
mod describe;
mod rows;
mod summarize;
mod tabulate;

use longhaul_proto::wire;

use super::{head::Head, labels::Labels, pass::Selection, refused::Refused, source::Source};

pub(super) use codebook::codebook;
pub(super) use describe::describe;
pub(super) use rows::rows;
pub(super) use summarize::summarize;
pub(super) use tabulate::tabulate;

/// A request whose words were understood.
pub(super) struct Asked<'a> {
    pub(super) head: &'a Head,
    pub(super) variables: Vec<usize>,
    pub(super) selection: Selection,
    pub(super) codes: bool,
    pub(super) limit: u32,
}

impl Asked<'_> {
    /// The value labels of variables, unless they are switched off.
    fn labels(&self, source: &mut Source, variables: &[usize]) -> Result<Labels, Refused> {
        if self.codes { Ok(Labels::default()) } else { Labels::read(source, self.head, variables) }
    }
}

/// A table and what is to be said of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) table: wire::DataTable,
    pub(super) used: u64,
    pub(super) notes: Vec<String>,
}
