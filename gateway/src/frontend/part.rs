//! The bytes of an output that a reader may have now. All offsets are those of the raw output.
//!
//! In the user's view of the log these are the user's part of each attempt: nothing before that part has started, and
//! while it grows only the bytes that will stay the user's whatever follows ([`ViewRange::safe_end`]). Bytes between
//! two attempts are in no part. An offset outside means the nearest byte that follows, or the end.
//!
//! [`ViewRange::safe_end`]: longhaul_proto::api::ViewRange

use longhaul_proto::{faults, state::RunState};

use crate::model::{RunSnapshot, Stream};

/// Ranges of an output, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Every one has bytes, and no two overlap.
    ranges: Vec<(u64, u64)>,
    start: u64,
    end: u64,
}

impl Part {
    /// All bytes of the output.
    pub(crate) fn all(run: &RunSnapshot, stream: Stream) -> Self {
        Self::of([(0, length(run, stream))])
    }

    /// The user's part of the log, without what the banner and the wrapper around the do-file printed.
    pub(crate) fn user(run: &RunSnapshot) -> Self {
        let len = run.log_len;
        let earlier = run.earlier_parts.iter().map(|v| (v.start, v.end.or(v.safe_end).unwrap_or(v.start)));
        Self::of(earlier.chain(current(run)).map(|(start, end)| {
            let start = start.min(len);
            (start, end.min(len).max(start))
        }))
    }

    fn of(ranges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut part = Self { ranges: vec![], start: u64::MAX, end: 0 };
        for (start, end) in ranges {
            let start = start.max(part.end);
            part.start = part.start.min(start);
            part.end = part.end.max(end).max(start);
            if start < end {
                part.ranges.push((start, end));
            }
        }
        part.start = part.start.min(part.end);
        part
    }

    /// Offset of the first byte, or of where it will be as far as known.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Offset just behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The bytes between two offsets, as ranges without gaps, each with bytes.
    pub(crate) fn pieces(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        let cut = move |&(start, end): &(u64, u64)| (start.max(from), end.min(to));
        self.ranges.iter().map(cut).filter(|(start, end)| start < end)
    }

    /// The bytes from an offset to the next gap; `None` at the end.
    pub(crate) fn piece(&self, from: u64) -> Option<(u64, u64)> {
        self.pieces(from, u64::MAX).next()
    }

    /// Number of this part's bytes between two offsets.
    pub(crate) fn count(&self, from: u64, to: u64) -> u64 {
        self.pieces(from, to).map(|(start, end)| end - start).sum()
    }

    /// The offset from which the last `n` bytes follow, or all where there are fewer.
    pub(crate) fn last(&self, mut n: u64) -> u64 {
        for (start, end) in self.ranges.iter().rev() {
            if end - start >= n {
                return end - n;
            }
            n -= end - start;
        }
        self.start
    }

    /// The offset of the byte that comes `n` bytes after the one at `from`; the end where there are not so many.
    pub(crate) fn advance(&self, from: u64, mut n: u64) -> u64 {
        for (start, end) in self.pieces(from, u64::MAX) {
            if n < end - start {
                return start + n;
            }
            n -= end - start;
        }
        self.end
    }
}

/// The user's part of the present attempt.
fn current(run: &RunSnapshot) -> Option<(u64, u64)> {
    let ended = run.state.is_end();
    if faults::bug("view_ignores_safe_end") && !ended {
        return run.user_part.map(|v| (v.start, run.log_len));
    }
    match run.user_part {
        Some(v) => {
            // An agent of an earlier version reports no safe end: nothing is shown before the end.
            let open = if ended { run.log_len } else { v.start };
            Some((v.start, v.end.or(v.safe_end).unwrap_or(open)))
        }
        // The agent reported an end and no user's part: all of the log is the only word on what happened. A run that
        // was declared lost has no such report.
        None if ended && run.state != RunState::Lost && run.earlier_parts.is_empty() => Some((0, run.log_len)),
        None => None,
    }
}

/// Number of bytes of an output.
fn length(run: &RunSnapshot, stream: Stream) -> u64 {
    match stream {
        Stream::Log => run.log_len,
        Stream::Console => run.console_len,
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::api::ViewRange;

    use super::*;

    fn run(state: &str, len: u64, earlier: &[(u64, u64)], now: Option<(u64, Option<u64>, Option<u64>)>) -> RunSnapshot {
        let mut view = crate::frontend::run_view::tests::read(serde_json::json!({
            "run_id": "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21", "state": state, "cause": "first_output", "rc": null,
            "message": null, "host": null, "attempt": 1, "created_at": null, "started_at": null, "finished_at": null,
            "output_bytes": len, "trace_id": null, "principal": "me", "source": "x"
        }));
        let range = |start, end, safe_end| ViewRange { start, end, safe_end };
        view.earlier_parts = earlier.iter().map(|&(start, end)| range(start, Some(end), Some(end))).collect();
        view.user_part = now.map(|(start, end, safe_end)| range(start, end, safe_end));
        view
    }

    #[test]
    fn what_may_be_shown() {
        let check = |view: RunSnapshot, ranges: &[(u64, u64)], start: u64, end: u64| {
            let part = Part::user(&view);
            assert_eq!((part.ranges.as_slice(), part.start, part.end), (ranges, start, end), "{view:#?}");
        };
        check(run("running", 900, &[], None), &[], 0, 0);
        check(run("running", 900, &[], Some((850, None, Some(880)))), &[(850, 880)], 850, 880);
        check(run("running", 860, &[], Some((850, None, Some(880)))), &[(850, 860)], 850, 860);
        check(run("running", 800, &[], Some((850, None, Some(880)))), &[], 800, 800);
        check(run("running", 900, &[], Some((850, None, None))), &[], 850, 850);
        check(run("succeeded", 900, &[], Some((850, Some(880), Some(880)))), &[(850, 880)], 850, 880);
        check(run("lost", 900, &[], Some((850, None, Some(880)))), &[(850, 880)], 850, 880);
        check(run("lost", 900, &[], None), &[], 0, 0);
        // From an agent of an earlier version.
        check(run("succeeded", 900, &[], Some((850, Some(880), None))), &[(850, 880)], 850, 880);
        check(run("lost", 900, &[], Some((850, None, None))), &[(850, 900)], 850, 900);
        check(run("errored", 900, &[], None), &[(0, 900)], 0, 900);
        // A second attempt: queued, in its banner, live, ended.
        check(run("queued", 900, &[(850, 880)], None), &[(850, 880)], 850, 880);
        check(run("running", 1700, &[(850, 880)], None), &[(850, 880)], 850, 880);
        let live = run("running", 1800, &[(850, 880)], Some((1750, None, Some(1760))));
        check(live, &[(850, 880), (1750, 1760)], 850, 1760);
        check(run("failed", 1750, &[(850, 880)], Some((1750, Some(1750), Some(1750)))), &[(850, 880)], 850, 1750);
    }

    #[test]
    fn offsets_lead_on_over_a_gap() {
        let part = Part::of([(10, 20), (30, 35)]);
        let check = |from, want| assert_eq!(part.piece(from), want, "{from}");
        check(0, Some((10, 20)));
        check(19, Some((19, 20)));
        check(20, Some((30, 35)));
        check(34, Some((34, 35)));
        check(35, None);
        assert_eq!(part.pieces(12, 32).collect::<Vec<_>>(), [(12, 20), (30, 32)]);
        assert_eq!((part.count(0, 99), part.count(15, 31)), (15, 6));
        assert_eq!([0, 1, 5, 6, 15, 99].map(|n| part.last(n)), [35, 34, 30, 19, 10, 10]);
        assert_eq!([0, 9, 10, 14, 15].map(|n| part.advance(0, n)), [10, 19, 30, 34, 35]);
    }
}
