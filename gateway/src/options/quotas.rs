//! Quotas: how much of the gateway one principal may use, and a group of principals together.
//!
//! ```text
//! quotas = { "*" = "seats=2 queued=100", ana = "seats=4", "@econ" = "running=6 kept=200GiB" }
//! groups = { econ = "ana, ben" }
//! ```
//!
//! `*` is what everybody may use who is not named, and of what a principal's own line does not say; `none` in that line lifts it.
//! `@NAME` is what the members of a group may use together, each within a quota of their own.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use longhaul_proto::{
    amounts,
    api::{Priority, QuotaKind},
    principal::{Principal, Typed},
};

/// Stands for no limit where a rule lifts one.
const LIFTED: u64 = u64::MAX;

/// What one principal, or one group, may use at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaRule {
    limits: BTreeMap<QuotaKind, u64>,
    /// Seats of single pools; of the others `limits` has the number.
    seats_of: BTreeMap<String, u64>,
    /// The highest priority that it lets its principal give to runs of its own.
    highest: Option<Priority>,
}

impl QuotaRule {
    /// The limit of a kind; `None` = there is none. Of seats: those of each pool that is not named.
    pub fn limit(&self, kind: QuotaKind) -> Option<u64> {
        self.limits.get(&kind).copied().filter(|limit| *limit != LIFTED)
    }

    /// Seats of a pool that may be held at a time; `None` = as many as there are.
    pub fn seats(&self, pool: &str) -> Option<u64> {
        let of_pool = self.seats_of.get(pool).copied();
        of_pool.map_or_else(|| self.limit(QuotaKind::Seats), |limit| Some(limit).filter(|limit| *limit != LIFTED))
    }

    /// The pools that it names.
    pub fn pools(&self) -> impl Iterator<Item = &String> {
        self.seats_of.keys()
    }

    /// Whether its principal may raise a run of its own to this priority.
    pub fn raises_to(&self, priority: Priority) -> bool {
        self.highest.is_some_and(|highest| highest >= priority)
    }

    /// What it says, and else what `of_all` says.
    fn within(&self, of_all: &Self) -> Self {
        let mut both = of_all.clone();
        both.limits.extend(&self.limits);
        if self.limits.contains_key(&QuotaKind::Seats) {
            // Its own number is of every pool that it does not name.
            both.seats_of.clear();
        }
        both.seats_of.extend(self.seats_of.clone());
        both.highest = self.highest.or(of_all.highest);
        both
    }
}

impl std::str::FromStr for QuotaRule {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut rule = Self::default();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').ok_or_else(|| wrong(word))?;
            if name == "priority" {
                rule.highest = Some(value.parse().map_err(|_| wrong(word))?);
                continue;
            }
            let (name, pool) = name.split_once('.').map_or((name, None), |(name, pool)| (name, Some(pool)));
            let kind: QuotaKind = name.parse().map_err(|_| wrong(word))?;
            let limit = if value == "none" { LIFTED } else { amount(kind, value).ok_or_else(|| wrong(word))? };
            match pool {
                None => drop(rule.limits.insert(kind, limit)),
                Some(pool) if kind == QuotaKind::Seats && !pool.is_empty() => {
                    rule.seats_of.insert(pool.to_owned(), limit);
                }
                Some(_) => return Err(wrong(word)),
            }
        }
        Ok(rule)
    }
}

fn wrong(word: &str) -> String {
    format!(
        "`{word}`: expected seats=N, seats.POOL=N, running=N, queued=N, kept=BYTES (such as 20GiB), streams=N, \
         submissions=N (in a minute) or priority=high, with blanks between; N is 1 or more, or none"
    )
}

/// A number of things, or of bytes with a unit.
fn amount(kind: QuotaKind, text: &str) -> Option<u64> {
    let number = if kind == QuotaKind::Kept { amounts::bytes(text) } else { text.parse().ok() };
    // More is no limit that anybody reaches, and SQLite counts up to here.
    number.filter(|n| (1..=1 << 60).contains(n))
}

/// A group of principals that share a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Who is in it.
    pub members: BTreeSet<Principal>,
    /// What they may use together.
    pub rule: QuotaRule,
}

/// All quotas of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaRules {
    /// What everybody may use who is not named.
    everybody: QuotaRule,
    /// Those who are named, with what holds for everybody.
    named: BTreeMap<Principal, QuotaRule>,
    groups: Vec<Arc<Group>>,
    groups_of: HashMap<Principal, Vec<Arc<Group>>>,
}

/// One quota that a principal is bound by.
#[derive(Clone, Debug)]
pub struct Share<'r> {
    /// Whose it is.
    pub holder: Holder,
    /// What it allows.
    pub rule: &'r QuotaRule,
    /// Of a group's: the group.
    group: Option<&'r Group>,
}

impl Share<'_> {
    /// Whose use counts.
    pub fn members(&self) -> Vec<Principal> {
        match &self.holder {
            Holder::Principal(one) => vec![one.clone()],
            Holder::Group(_) => self.group.iter().flat_map(|group| &group.members).cloned().collect(),
        }
    }
}

/// Whose a quota is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// One principal's.
    Principal(Principal),
    /// That of the members of a group together.
    Group(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(principal) => principal.fmt(f),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

impl QuotaRules {
    /// Reads the settings: rules by whose they are, and the members of groups.
    ///
    /// # Errors
    /// What is wrong with which, and what a right one looks like.
    pub fn read(quotas: &BTreeMap<String, String>, groups: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut rules = Self::default();
        let rule = |whose: &str, text: &String| text.parse().map_err(|why: String| format!("`quotas`, {whose}: {why}"));
        if let Some(text) = quotas.get("*") {
            rules.everybody = rule("*", text)?;
        }
        for (whose, text) in quotas.iter().filter(|(whose, _)| *whose != "*") {
            match whose.strip_prefix('@') {
                None => {
                    let own: QuotaRule = rule(whose, text)?;
                    rules.named.insert(principal(whose), own.within(&rules.everybody));
                }
                Some(name) => {
                    let members = groups.get(name).ok_or_else(|| {
                        format!("`quotas`, {whose}: there is no group `{name}`: name its members in `groups`")
                    })?;
                    let members: BTreeSet<Principal> = words(members).map(principal).collect();
                    if members.is_empty() {
                        return Err(format!("`groups`, {name}: a group needs members, such as \"ana, ben\""));
                    }
                    let rule: QuotaRule = rule(whose, text)?;
                    if rule.highest.is_some() {
                        return Err(format!("`quotas`, {whose}: priority is given to principals, not to groups"));
                    }
                    rules.add_group(Group { name: name.to_owned(), members, rule });
                }
            }
        }
        match groups.keys().find(|name| !quotas.contains_key(&format!("@{name}"))) {
            Some(name) => Err(format!("`groups`, {name}: it has no quota: set \"@{name}\" in `quotas`")),
            None => Ok(rules),
        }
    }

    fn add_group(&mut self, group: Group) {
        let group = Arc::new(group);
        for member in &group.members {
            self.groups_of.entry(member.clone()).or_default().push(group.clone());
        }
        self.groups.push(group);
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What a principal may use by itself.
    pub fn of(&self, principal: &Principal) -> &QuotaRule {
        self.named.get(principal).unwrap_or(&self.everybody)
    }

    /// The groups that a principal is in.
    pub fn groups_of(&self, principal: &Principal) -> &[Arc<Group>] {
        self.groups_of.get(principal).map_or(&[], Vec::as_slice)
    }

    /// The quotas that a principal is bound by: its own first, then those of its groups.
    pub fn shares(&self, principal: &Principal) -> impl Iterator<Item = Share<'_>> {
        let own = Share { holder: Holder::Principal(principal.clone()), rule: self.of(principal), group: None };
        std::iter::once(own).chain(self.groups_of(principal).iter().map(|group| Self::share(group)))
    }

    fn share(group: &Group) -> Share<'_> {
        Share { holder: Holder::Group(group.name.clone()), rule: &group.rule, group: Some(group) }
    }

    /// The quotas of all who are named, and of all groups, in the order of names.
    pub fn all(&self) -> impl Iterator<Item = Share<'_>> {
        let own =
            |(principal, rule)| Share { holder: Holder::Principal(Principal::clone(principal)), rule, group: None };
        let named = self.named.iter().map(own);
        named.chain(self.groups.iter().map(|group| Self::share(group)))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).filter(|word| !word.is_empty())
}

fn principal(text: &str) -> Principal {
    Typed::read(text).alone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_principals_own_line_goes_before_that_of_all_and_a_groups_holds_beside() {
        let quotas = map(&[
            ("*", "seats=2 seats.big=1 queued=10"),
            ("ana", "seats=4 queued=none priority=high"),
            ("@econ", "running=6 kept=20GiB"),
        ]);
        let rules = QuotaRules::read(&quotas, &map(&[("econ", "ana, idp:ben")])).unwrap();
        let (ana, ben, eve) = (Principal::local("ana"), Principal::new("idp", "ben"), Principal::local("eve"));
        let own = rules.of(&ana);
        assert_eq!((own.seats("lab"), own.seats("big"), own.limit(QuotaKind::Queued)), (Some(4), Some(4), None));
        assert!(own.raises_to(Priority::High) && !rules.of(&eve).raises_to(Priority::High));
        assert_eq!((rules.of(&eve).seats("big"), rules.of(&ben).seats("lab")), (Some(1), Some(2)));
        let kept = |who| rules.shares(who).filter_map(|share| share.rule.limit(QuotaKind::Kept)).collect::<Vec<_>>();
        assert_eq!((kept(&ben), kept(&eve)), (vec![20 << 30], vec![]));
        assert_eq!(rules.shares(&ana).nth(1).unwrap().members().len(), 2);
        assert_eq!(rules.all().map(|share| share.holder.to_string()).collect::<Vec<_>>(), ["ana", "group econ"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        #[track_caller]
        fn check(quotas: &[(&str, &str)], groups: &[(&str, &str)], want: &str) {
            let wrong = QuotaRules::read(&map(quotas), &map(groups)).unwrap_err();
            assert!(wrong.contains(want), "{wrong}");
        }
        check(&[("ana", "seats=0")], &[], "`quotas`, ana: `seats=0`: expected seats=N");
        check(&[("ana", "sets=1")], &[], "`sets=1`: expected");
        check(&[("ana", "queued.lab=1")], &[], "`queued.lab=1`: expected");
        check(&[("ana", "priority=urgent")], &[], "`priority=urgent`: expected");
        check(&[("*", "kept=2GB")], &[], "`kept=2GB`: expected");
        check(&[("@econ", "seats=1")], &[], "there is no group `econ`");
        check(&[("@econ", "seats=1")], &[("econ", " ")], "a group needs members");
        check(&[("@econ", "priority=high")], &[("econ", "ana")], "not to groups");
        check(&[], &[("econ", "ana")], "`groups`, econ: it has no quota");
    }
}
