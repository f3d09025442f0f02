//! Times for people, in this machine's zone or in UTC.

use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};
use longhaul_proto::api::RunView;

/// How times are shown.
#[derive(Clone, Debug)]
pub(crate) struct When(TimeZone);

impl When {
    /// In UTC, or in the zone of this machine (`TZ`, `/etc/localtime`).
    pub(crate) fn new(utc: bool) -> Self {
        Self(if utc { TimeZone::UTC } else { TimeZone::system() })
    }

    /// In this zone, in tests.
    #[cfg(test)]
    pub(crate) fn in_zone(zone: TimeZone) -> Self {
        Self(zone)
    }

    fn here(&self, time: &str) -> Option<ZonedDateTime> {
        Some(time.parse::<Timestamp>().ok()?.to_zoned_datetime(self.0.clone()))
    }

    /// The whole time of an RFC 3339 one: `2026-11-22 16:00:00 CET`; what is none stays as it is.
    pub(crate) fn whole(&self, time: &str) -> String {
        self.here(time).map_or_else(|| time.to_owned(), |here| here.strftime("%Y-%m-%d %H:%M:%S %Z").to_string())
    }

    /// The same without seconds.
    pub(crate) fn minute(&self, time: &str) -> String {
        self.here(time).map_or_else(|| time.to_owned(), |here| here.strftime("%Y-%m-%d %H:%M %Z").to_string())
    }

    /// A text of the gateway's in which the times, which it writes in UTC since it does not know who reads them, are of this
    /// zone.
    pub(crate) fn in_text(&self, text: &str) -> String {
        let part_of_time = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | 'T' | 'Z');
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let len = from.find(|c| !part_of_time(c)).unwrap_or(from.len());
            let word = from[..len].trim_end_matches([':', '.', '-']);
            let (word, after) = from.split_at(word.len());
            let alone = out.is_empty() || out.ends_with([' ', '(', '\n']);
            // What goes on is a name with a time in it.
            let alone =
                alone && word.ends_with('Z') && !after.starts_with(|c: char| c.is_alphanumeric() || "_/".contains(c));
            let named = after.strip_prefix(['.', '-', ':']).is_some_and(|more| more.starts_with(char::is_alphanumeric));
            out.push_str(&if alone && !named { self.whole(word) } else { word.to_owned() });
            rest = after;
        }
        out + rest
    }

    /// The run with the times in the gateway's own words about it in this zone, to be shown to people.
    pub(crate) fn of_run(&self, run: &RunView) -> RunView {
        let mut run = run.clone();
        for words in [&mut run.waiting, &mut run.queued_behind, &mut run.note].into_iter().flatten() {
            *words = self.in_text(words);
        }
        if let Some(contact) = &mut run.contact {
            contact.words = self.in_text(&contact.words);
        }
        if let Some(removed) = &mut run.files_removed {
            removed.at = self.whole(&removed.at);
        }
        run
    }

    /// As much of it as tells it at that moment: `16:00`, `22 Nov 16:00`, `2025-11-22`.
    pub(crate) fn short(&self, time: &str, now: Timestamp) -> String {
        let Some(here) = self.here(time) else { return time.to_owned() };
        let now = now.to_zoned_datetime(self.0.clone());
        let form = match () {
            () if here.date() == now.date() => "%H:%M",
            () if here.year() == now.year() => "%-d %b %H:%M",
            () => "%Y-%m-%d",
        };
        here.strftime(form).to_string()
    }

    /// The zone's names at these times: `CET`, `CET, CEST`.
    pub(crate) fn zones<'a>(&self, times: impl Iterator<Item = &'a str>) -> String {
        let mut names: Vec<String> = vec![];
        for name in times.filter_map(|time| self.here(time)).map(|here| here.strftime("%Z").to_string()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz;

    use super::*;

    #[test]
    fn times_in_texts_are_of_this_zone() {
        let when = When::in_zone(TimeZone::fixed(tz::offset(1)));
        for (text, want) in [
            ("by ops since 2026-11-22T15:00:00.123Z", "by ops since 2026-11-22 16:00:00 +01"),
            ("(last seen 2026-11-22T23:30:00Z): start", "(last seen 2026-11-23 00:30:00 +01): start"),
            ("removed 2026-11-22T15:00:00Z: why, 1.2 GiB", "removed 2026-11-22 16:00:00 +01: why, 1.2 GiB"),
            ("/d/2026-11-22T15:00:00Z.do on s1", "/d/2026-11-22T15:00:00Z.do on s1"),
            ("a 2026-11-22T15:00:00Z.log", "a 2026-11-22T15:00:00Z.log"),
            ("2 of 2, 12-34. é 9", "2 of 2, 12-34. é 9"),
        ] {
            assert_eq!(when.in_text(text), want);
        }
    }
}
