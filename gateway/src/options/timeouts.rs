//! Limits on running by pool: what a run gets that asks for none, and the most that one may ask for.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use longhaul_proto::amounts;

/// The limits of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolTimeout {
    /// That of a run which asks for none; with a largest alone it is that one.
    pub default: Option<Duration>,
    /// The largest that may be asked for.
    pub largest: Option<Duration>,
}

/// Limits by pool; `*` is those of the pools that are not named.
pub type PoolTimeouts = BTreeMap<String, PoolTimeout>;

/// The limits of a pool.
pub fn of_pool(all: &PoolTimeouts, pool: &str) -> PoolTimeout {
    all.get(pool).or_else(|| all.get("*")).copied().unwrap_or_default()
}

impl PoolTimeout {
    /// What a run gets that asks for none.
    pub fn given(&self) -> Option<Duration> {
        self.default.or(self.largest)
    }
}

/// The text is no such limits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}`: expected default=D, max=D or both with a blank between, such as \"default=2h max=1d\"; D is 1s or more"
)]
pub struct NotATimeout(String);

impl FromStr for PoolTimeout {
    type Err = NotATimeout;
    fn from_str(text: &str) -> Result<Self, NotATimeout> {
        let mut limits = Self::default();
        let wrong = || NotATimeout(text.to_owned());
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').ok_or_else(wrong)?;
            let time = time(value).ok_or_else(wrong)?;
            match name {
                "default" => limits.default = Some(time),
                "max" => limits.largest = Some(time),
                _ => return Err(wrong()),
            }
        }
        let over = limits.default.zip(limits.largest).is_some_and(|(default, largest)| default > largest);
        if limits == Self::default() || over { Err(wrong()) } else { Ok(limits) }
    }
}

fn time(text: &str) -> Option<Duration> {
    // Ten years, so that sums never overflow.
    const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
    amounts::time(text).filter(|time| (Duration::from_secs(1)..=LONGEST).contains(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_pools_are_read() {
        let s = Duration::from_secs;
        let read = |text: &str| text.parse::<PoolTimeout>();
        assert_eq!(read("default=90 max=2h"), Ok(PoolTimeout { default: Some(s(90)), largest: Some(s(7200)) }));
        assert_eq!(read("max=15min").unwrap().given(), Some(s(900)));
        for wrong in ["", "2h", "max=0", "default=3h max=2h", "most=2h", "max=2x", "max=99999d"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let all: PoolTimeouts =
            [("*".to_owned(), read("max=1d").unwrap()), ("lab".to_owned(), read("max=1h").unwrap())].into();
        assert_eq!((of_pool(&all, "lab").largest, of_pool(&all, "x").largest), (Some(s(3600)), Some(s(86400))));
    }
}
