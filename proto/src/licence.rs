//! The line in which Stata tells its licence: seats, cores, and when it ends. The lines around it, with serial number and
//! licensee, are none of it.
//!
//! Agents report the line as it was printed; gateways and people read it here. It limits nothing by itself: what may run at a time
//! is for those to decide who hold the licence.

use std::sync::LazyLock;

use jiff::{
    Timestamp,
    civil::{Date, date},
    tz::TimeZone,
};
use regex::Regex;
use serde::{Deserialize, Serialize};

/// How many people may use the licence at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Users {
    /// One named person.
    Single,
    /// No limit (student lab).
    Unlimited,
    /// This many.
    Count(u32),
}

/// The licence line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// Seats.
    pub users: Users,
    /// Cores that one process may use; none for one core.
    pub cores: Option<u32>,
    /// Shared over a network.
    pub network: bool,
    /// The date as Stata writes it (`27 Apr 2022`); none if perpetual.
    pub expires: Option<String>,
}

/// From so many days before its end on a licence is warned of.
pub const WARN_DAYS: i64 = 30;

fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

// All distinct lines of real logs fit these (17 and later, up to 16). The stand-in, which has no licence, says `Stand-in`.
static SINCE_17: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"^(?:Stata|Stand-in) license: (Single|Unlimited|\d+)-user\s+(?:(\d+)-core\s+)?(network)?\s*,?\s*(?:perpetual|expiring\s+(.+))$",
    )
});
static TO_16: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"^(Single|Unlimited|\d+)-user (?:(\d+)-core )?Stata (network )?(?:perpetual license|license expires\s+(.+)):$",
    )
});

/// Reads a licence line of either shape.
pub fn read(line: &str) -> Option<Licence> {
    let c = [&SINCE_17, &TO_16].into_iter().find_map(|p| p.as_ref()?.captures(line.trim_end()))?;
    let users = match &c[1] {
        "Single" => Users::Single,
        "Unlimited" => Users::Unlimited,
        count => Users::Count(count.parse().ok()?),
    };
    Some(Licence {
        users,
        cores: c.get(2).and_then(|m| m.as_str().parse().ok()),
        network: c.get(3).is_some(),
        expires: c.get(4).map(|m| m.as_str().trim().to_owned()),
    })
}

impl Licence {
    /// Seats; `None` = without a limit.
    pub fn seats(&self) -> Option<u32> {
        match self.users {
            Users::Single => Some(1),
            Users::Count(seats) => Some(seats),
            Users::Unlimited => None,
        }
    }

    /// Its last day; `None` = it has none, or it cannot be read.
    pub fn ends(&self) -> Option<Date> {
        const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        let mut parts = self.expires.as_deref()?.split_whitespace();
        let (day, month, year) = (parts.next()?, parts.next()?.to_lowercase(), parts.next()?);
        let month = MONTHS.iter().position(|name| month.starts_with(name))?;
        let (day, year) = (day.parse().ok()?, year.parse().ok().filter(|year| (1990..=9000).contains(year))?);
        Date::new(year, i8::try_from(month + 1).ok()?, day).ok()
    }

    /// Whole days from `now_ms` (Unix) until it ends, by the days of UTC; negative = it has ended.
    pub fn days_left(&self, now_ms: i64) -> Option<i64> {
        let today = TimeZone::UTC.to_datetime(Timestamp::from_millisecond(now_ms).ok()?).date();
        Some(days(self.ends()?) - days(today))
    }

    /// `2 seats, 4 cores, network, ends 2027-03-08`.
    pub fn words(&self) -> String {
        let several = |n: u32, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut words = vec![match self.users {
            Users::Single => "single user".to_owned(),
            Users::Count(seats) => several(seats, "seat"),
            Users::Unlimited => "seats without a limit".to_owned(),
        }];
        words.push(several(self.cores.unwrap_or(1), "core"));
        words.extend(self.network.then(|| "network".to_owned()));
        words.push(match (self.ends(), &self.expires) {
            (Some(ends), _) => format!("ends {ends}"),
            (None, Some(expires)) => format!("ends {expires}"),
            (None, None) => "perpetual".to_owned(),
        });
        words.join(", ")
    }

    /// A warning, from [`WARN_DAYS`] before its end on.
    pub fn warning(&self, now_ms: i64) -> Option<String> {
        let (left, ends) = (self.days_left(now_ms).filter(|left| *left <= WARN_DAYS)?, self.ends()?);
        let what = match left {
            ..=-1 => format!("its Stata licence ended on {ends}"),
            0 => format!("its Stata licence ends today ({ends})"),
            1 => format!("its Stata licence ends tomorrow ({ends})"),
            _ => format!("its Stata licence ends in {left} days, on {ends}"),
        };
        Some(format!("{what}: renew it, then run stinit in Stata's folder"))
    }
}

/// Days since a fixed one.
fn days(day: Date) -> i64 {
    (day - date(1970, 1, 1)).get_days().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_lines() {
        fn check(line: &str, users: Users, cores: Option<u32>, network: bool, expires: Option<&str>) {
            let expires = expires.map(str::to_owned);
            assert_eq!(read(line), Some(Licence { users, cores, network, expires }), "{line}");
        }
        use Users::{Count, Single, Unlimited};
        check("Stata license: 32-user 64-core network perpetual", Count(32), Some(64), true, None);
        check("Stata license: Single-user 2-core  perpetual", Single, Some(2), false, None);
        check("Stata license: Single-user , expiring  8 Mar 2027", Single, None, false, Some("8 Mar 2027"));
        check(
            "Stata license: Unlimited-user 16-core network, expiring  2 Jul 2026",
            Unlimited,
            Some(16),
            true,
            Some("2 Jul 2026"),
        );
        check(
            "3-user 32-core Stata network license expires 29 Apr 2021:",
            Count(3),
            Some(32),
            true,
            Some("29 Apr 2021"),
        );
        check("Single-user Stata perpetual license:", Single, None, false, None);
        assert_eq!(read("Stand-in license: none needed, none given"), None);
        for p in [&SINCE_17, &TO_16] {
            assert!(p.is_some());
        }
    }

    #[test]
    fn an_end_is_warned_of_in_time() {
        let licence = read("Stata license: 2-user 4-core network, expiring  8 Mar 2027").unwrap();
        assert_eq!(licence.words(), "2 seats, 4 cores, network, ends 2027-03-08");
        assert_eq!(licence.seats(), Some(2));
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        let check = |now: &str, left: i64, want: Option<&str>| {
            assert_eq!(licence.days_left(at(now)), Some(left), "{now}");
            let told = licence.warning(at(now));
            assert_eq!(told.as_deref().map(|t| t.split(": renew").next().unwrap()), want, "{now}");
        };
        check("2027-01-01T00:00:00Z", 66, None);
        check("2027-02-05T23:59:59Z", 31, None);
        check("2027-02-06T00:00:00Z", 30, Some("its Stata licence ends in 30 days, on 2027-03-08"));
        check("2027-03-07T12:00:00Z", 1, Some("its Stata licence ends tomorrow (2027-03-08)"));
        check("2027-03-08T23:00:00Z", 0, Some("its Stata licence ends today (2027-03-08)"));
        check("2027-03-10T00:00:00Z", -2, Some("its Stata licence ended on 2027-03-08"));
        for line in ["Single-user Stata perpetual license:", "Stata license: Single-user , expiring  soon"] {
            let licence = read(line).unwrap();
            assert_eq!((licence.ends(), licence.warning(at("2027-01-01T00:00:00Z"))), (None, None), "{line}");
        }
        assert_eq!(read("Single-user Stata perpetual license:").unwrap().words(), "single user, 1 core, perpetual");
        let odd = |expires: &str| Licence { expires: Some(expires.to_owned()), ..licence.clone() }.ends();
        for bad in ["", "30 Feb 2027", "8 Foo 2027", "8 Mar 99999", "x Mar 2027", "8 Mar -5"] {
            assert_eq!(odd(bad), None, "{bad}");
        }
    }
}
