//! The beginning and the end of an output in a number of tokens.

use std::fmt::Write;

use longhaul_proto::ids::Ids;

use super::lines::{Limit, Lines};
use crate::{mcp::fence, model::RunSnapshot};

/// The beginning gets one of so many parts: what went wrong, and what came out, stands at the end.
const PARTS: usize = 3;

/// Both ends in about so many tokens, and never more than `bytes`.
pub(super) async fn ends(
    ids: &Ids,
    lines: &Lines<'_>,
    view: &RunSnapshot,
    tokens: u64,
    bytes: usize,
) -> Result<String, String> {
    let part = lines.part;
    let (first, last) = (part.start(), part.end());
    if first == last {
        return Ok("(no output)".to_owned());
    }
    let bytes = bytes.saturating_sub(2 * fence::ROOM);
    let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
    let limit = |parts: usize| Limit { bytes: bytes / PARTS * parts, tokens: tokens / PARTS * parts };
    let whole = lines.forward(first, limit(PARTS)).await.map_err(|e| e.to_string())?;
    let of = if lines.echo { "" } else { ", without the commands" };
    if part.piece(whole.next).is_none() {
        return Ok(format!("output, bytes {first} to {last} (all there is{of}):\n{}", fence::fenced(ids, &whole.text)));
    }
    let head = lines.forward(first, limit(1)).await.map_err(|e| e.to_string())?;
    let tail = lines.back(u64::MAX, limit(PARTS - 1), head.next).await.map_err(|e| e.to_string())?;
    let left_out = part.count(head.next, tail.from);
    let mut text = format!("beginning of the output, bytes {first} to {}{of}:\n", head.next);
    text.push_str(&fence::fenced(ids, &head.text));
    let _ = write!(text, "\nend of the output, bytes {} to {last}{of}:\n{}", tail.from, fence::fenced(ids, &tail.text));
    let short = view.run.short();
    let _ = write!(
        text,
        "\n{left_out} bytes between them are left out: stata_log(run: \"{short}\", offset: {}{}).",
        head.next,
        super::same(lines.output, lines.echo)
    );
    Ok(text)
}
