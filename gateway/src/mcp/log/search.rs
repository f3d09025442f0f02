//! The lines of an output that match, in words.

use std::fmt::Write;

use longhaul_proto::ids::Ids;

use crate::{
    frontend::{
        part::Part,
        reading::Output,
        search::{Place, SHOWN, Search, Shown},
    },
    mcp::fence,
    model::RunSnapshot,
};

/// Searches from an offset on, and puts what it found into words of at most `budget` bytes.
pub(super) async fn found(
    search: &Search,
    ids: &Ids,
    output: &Output,
    (view, part): (&RunSnapshot, &Part),
    from: u64,
    budget: usize,
) -> Result<String, String> {
    let mut lines = String::new();
    let place = Place { offset: from, line: 1 };
    let mut take = |shown: Shown| {
        let (apart, mark) = (if shown.apart { "--\n" } else { "" }, if shown.matches { ':' } else { '-' });
        let _ = writeln!(lines, "{apart}{}{mark} {}", shown.offset, shown.text);
        lines.len() > budget.saturating_sub(2 * SHOWN)
    };
    let searched = search.run(output, part, place, &mut take).await.map_err(|error| error.to_string())?;
    let at = searched.next.offset;
    let mut text = match searched.matches {
        0 => format!("no match in bytes {from} to {at}"),
        1 => format!("1 match in bytes {from} to {at} (byte offset first):\n{}", fence::fenced(ids, &lines)),
        n => format!("{n} matches in bytes {from} to {at} (byte offset first):\n{}", fence::fenced(ids, &lines)),
    };
    if !searched.all {
        let (short, same) = (view.run.short(), super::same(output, search.echo));
        let _ = write!(text, "\nThere may be more: stata_log(run: \"{short}\", pattern: …, offset: {at}{same}).");
    }
    Ok(text)
}
