//! Times for people, in this machine's zone or in UTC.

use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};

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
