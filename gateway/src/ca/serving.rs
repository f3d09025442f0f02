//! The certificate that the port shows now, and the task that exchanges it in time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use longhaul_proto::{
    clock::Clock,
    faults, tasks,
    transport::{Certified, Https},
    words,
};
use rcgen::ExtendedKeyUsagePurpose;

use super::{
    TlsError,
    authority::{self, Authority, Leaf},
    files::{Files, Stamps},
    names::{self, Names},
};

/// Longest pause between two looks at the time and at this machine's names.
const LOOK: Duration = Duration::from_secs(60);
/// Pause between two looks at the operator's own files.
const LOOK_AT_FILES: Duration = Duration::from_secs(1);
/// A certificate of the operator's own that ends sooner should have been renewed.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Where certificates come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The built-in authority issues them.
    BuiltIn {
        authority: Box<Authority>,
        names: Names,
        /// How long each holds.
        lifetime: Duration,
    },
    /// Others do, and put them there.
    Files(Files),
}

/// What the port shows to clients. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<State>);

#[derive(Debug)]
struct State {
    source: Source,
    https: Https,
    changing: Mutex<Changing>,
}

/// What belongs to the certificate that is shown.
#[derive(Debug, Default)]
struct Changing {
    /// When another is issued, Unix seconds.
    renew_s: i64,
    /// The names in it.
    names: Vec<String>,
    /// Why no other could be shown in its place.
    trouble: Option<String>,
}

impl Certificates {
    pub(super) fn open(source: Source, clock: &Clock) -> Result<Self, TlsError> {
        let now_s = clock.unix_ms() / 1000;
        let (first, changing) = match &source {
            Source::BuiltIn { authority, names, lifetime } => issue(authority, names.now(), *lifetime, now_s)?,
            Source::Files(files) => (files.read(now_s)?, Changing::default()),
        };
        let https = Https::new(first).map_err(|error| TlsError::Make(Box::new(error)))?;
        Ok(Self(Arc::new(State { source, https, changing: Mutex::new(changing) })))
    }

    /// For the accept loop.
    pub fn https(&self) -> &Https {
        &self.0.https
    }

    /// The built-in authority; `None` where the certificate is the operator's own.
    pub fn authority(&self) -> Option<&Authority> {
        match &self.0.source {
            Source::BuiltIn { authority, .. } => Some(authority),
            Source::Files(_) => None,
        }
    }

    /// Which certificates there are, and the last second of each, Unix time.
    pub fn ends(&self) -> Vec<(&'static str, i64)> {
        let server = ("server", self.0.https.shown().validity.until_s);
        [Some(server), self.authority().map(|ca| ("ca", ca.validity.until_s))].into_iter().flatten().collect()
    }

    /// Why clients cannot connect, where they cannot.
    pub fn expired(&self, now_s: i64) -> Option<String> {
        let (which, _) = self.ends().into_iter().find(|(_, until_s)| *until_s < now_s)?;
        let why = self.changing().trouble.clone().map(|why| format!(" ({why})")).unwrap_or_default();
        Some(match (which, &self.0.source) {
            ("ca", _) => {
                "the root of the certificate authority has expired: move the file `ca-key` away and start the \
                          gateway again; every client then has to be told the new root"
                    .to_owned()
            }
            (_, Source::BuiltIn { .. }) => format!("the port's certificate has expired and was not renewed{why}"),
            (_, Source::Files(_)) => format!("the certificate of --tls-cert has expired{why}: put a new one there"),
        })
    }

    /// What its operator should know, although clients can connect.
    pub fn note(&self, now_s: i64) -> Option<String> {
        if let Some(trouble) = &self.changing().trouble {
            return Some(format!("the certificate that is shown could not be exchanged: {trouble}"));
        }
        let left_s = self.0.https.shown().validity.until_s - now_s;
        let soon = matches!(self.0.source, Source::Files(_)) && left_s < i64::try_from(SOON.as_secs()).unwrap_or(0);
        soon.then(|| format!("the certificate of --tls-cert ends in {} days", left_s / (24 * 3600)))
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exchanges the certificate in time, until the task is stopped.
    pub async fn keep(self, clock: Clock) {
        match &self.0.source {
            Source::BuiltIn { authority, names, lifetime } => {
                // Short enough for the shortest lifetime to be renewed in its last third.
                let pause = LOOK.min(*lifetime / 20).max(Duration::from_millis(100));
                loop {
                    tokio::time::sleep(pause).await;
                    self.renew(authority, names, *lifetime, clock.unix_ms() / 1000);
                }
            }
            Source::Files(files) => {
                let (mut taken, mut seen) = (files.stamps(), files.stamps());
                loop {
                    tokio::time::sleep(LOOK_AT_FILES).await;
                    self.look_again(&clock, &mut taken, &mut seen).await;
                }
            }
        }
    }

    fn renew(&self, authority: &Authority, names: &Names, lifetime: Duration, now_s: i64) {
        let (shown, names) = (self.0.https.shown().validity, names.now());
        let due = {
            let changing = self.changing();
            // A clock that was set back would make it one of the future.
            now_s >= changing.renew_s || now_s < shown.from_s || names != changing.names
        };
        if !due || faults::bug("certificate_not_renewed") {
            return;
        }
        match issue(authority, names, lifetime, now_s) {
            Ok((certified, changing)) => {
                tracing::info!(fingerprint = certified.fingerprint, "the port shows a new certificate");
                self.0.https.show(certified);
                *self.changing() = changing;
            }
            Err(error) => self.in_trouble(&error),
        }
    }

    async fn look_again(&self, clock: &Clock, taken: &mut Stamps, seen: &mut Stamps) {
        let this = self.clone();
        let (before, now_s) = ((*taken, *seen), clock.unix_ms() / 1000);
        let looked = tasks::blocking(move || {
            let Source::Files(files) = &this.0.source else { return None };
            let now = files.stamps();
            let changed = now != before.0 && now == before.1 && !faults::bug("certificate_not_renewed");
            Some((now, changed.then(|| files.read(now_s))))
        });
        let Ok(Some((now, read))) = looked.await else { return };
        *seen = now;
        match read {
            None => return,
            Some(Ok(certified)) => {
                tracing::info!(fingerprint = certified.fingerprint, "the port shows the new certificate of --tls-cert");
                self.0.https.show(certified);
                self.changing().trouble = None;
            }
            Some(Err(error)) => self.in_trouble(&error),
        }
        *taken = now;
    }

    fn in_trouble(&self, error: &TlsError) {
        let why = words::chain(error);
        let mut changing = self.changing();
        if changing.trouble.as_ref() != Some(&why) {
            tracing::error!("the certificate that is shown stays, since there is no other: {why}");
            changing.trouble = Some(why);
        }
    }
}

/// A certificate for these names, and when the next is due: at two thirds of its life, or a little earlier, so that
/// gateways that were started together do not renew together.
fn issue(
    authority: &Authority,
    names: Vec<String>,
    lifetime: Duration,
    now_s: i64,
) -> Result<(Certified, Changing), TlsError> {
    let key = authority::new_key()?;
    let leaf = Leaf {
        names: names::alternative(&names),
        subject: "Longhaul gateway".to_owned(),
        uses: vec![ExtendedKeyUsagePurpose::ServerAuth],
        lifetime,
    };
    let pem = authority.issue(leaf, &key, now_s)?;
    let certified = Certified::from_pem(&pem, &key.serialize_pem()).map_err(|e| TlsError::Make(Box::new(e)))?;
    let due = longhaul_proto::certificate::renewal_s(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX / 255));
    Ok((certified, Changing { renew_s: now_s.saturating_add(due), names, trouble: None }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use longhaul_proto::{clock::Source as Time, tasks::Tasks};
    use rcgen::SanType;

    use super::*;
    use crate::key_store::Folder;

    const DAY: i64 = 24 * 3600;

    /// A wall clock that a test sets, Unix seconds.
    #[derive(Clone)]
    struct Set(Arc<AtomicI64>);

    impl Time for Set {
        fn unix_ms(&self) -> i64 {
            self.0.load(Ordering::Relaxed) * 1000
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    /// A month of one day after another: each certificate is exchanged at two thirds of its life, never later, and never
    /// one hour before.
    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
        let data = tempfile::tempdir().unwrap();
        let time = Set(Arc::new(AtomicI64::new(1_795_000_000)));
        let clock = Clock::from_source(time.clone());
        let source = Source::BuiltIn {
            authority: Box::new(Authority::ensure(&Folder::new(data.path()), 1_795_000_000).unwrap()),
            names: Names::new("127.0.0.1:1".parse().unwrap(), &["localhost".to_owned()]),
            lifetime: Duration::from_secs(30 * 24 * 3600),
        };
        let certificates = Certificates::open(source, &clock).unwrap();
        let tasks = Tasks::new();
        tasks.spawn_until_stop(certificates.clone().keep(clock.clone()));
        let (mut shown, mut issued_s, mut renewed) = (certificates.https().shown(), 1_795_000_000, vec![]);
        for _ in 0..(60 * 24) {
            let now_s = time.0.fetch_add(3600, Ordering::Relaxed) + 3600;
            tokio::time::sleep(LOOK + Duration::from_secs(1)).await;
            let now = certificates.https().shown();
            assert!(certificates.expired(now_s).is_none());
            if now.fingerprint != shown.fingerprint {
                renewed.push(now_s - issued_s);
                (shown, issued_s) = (now, now_s);
            }
        }
        assert!(
            renewed.len() >= 2 && renewed.iter().all(|age| (18 * DAY..=20 * DAY + 3600).contains(age)),
            "{renewed:?}"
        );
        tasks.shutdown(Duration::from_secs(1)).await;
    }

    fn own(folder: &std::path::Path, until_s: i64, now_s: i64) -> (String, String) {
        let authority = Authority::ensure(&Folder::new(folder), now_s).unwrap();
        let key = authority::new_key().unwrap();
        let leaf = Leaf {
            names: vec![SanType::DnsName("gw.lab".try_into().unwrap())],
            subject: "gw".into(),
            uses: vec![],
            lifetime: Duration::from_secs(u64::try_from(until_s - now_s).unwrap()),
        };
        (authority.issue(leaf, &key, now_s).unwrap(), key.serialize_pem())
    }

    #[tokio::test(start_paused = true)]
    async fn own_files_are_taken_when_they_change_and_a_bad_one_is_not() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        let time = Set(Arc::new(AtomicI64::new(1_795_000_000)));
        let clock = Clock::from_source(time.clone());
        let (certificate, key) = (data.path().join("c.pem"), data.path().join("k.pem"));
        let write = |(c, k): (String, String)| {
            std::fs::write(&certificate, c).unwrap();
            std::fs::write(&key, k).unwrap();
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        };
        write(own(data.path(), 1_795_000_000 + 20 * DAY, 1_795_000_000));
        let certificates = Certificates::open(Source::Files(Files::new(&certificate, &key)), &clock).unwrap();
        let (first, mut taken, mut seen) =
            (certificates.https().shown().fingerprint, Stamps::default(), Stamps::default());
        let mut look = async || {
            for _ in 0..2 {
                certificates.look_again(&clock, &mut taken, &mut seen).await;
            }
        };
        look().await;
        assert_eq!(certificates.note(1_795_000_000), None);
        std::fs::write(&certificate, "nothing").unwrap();
        look().await;
        let note = certificates.note(1_795_000_000).unwrap();
        assert!(note.contains("BEGIN CERTIFICATE"), "{note}");
        write((
            own(data.path(), 1_795_000_000 + 20 * DAY, 1_795_000_000).0,
            own(data.path(), 1_795_000_000 + DAY, 1_795_000_000).1,
        ));
        look().await;
        assert!(certificates.note(1_795_000_000).unwrap().contains("do not belong together"));
        assert_eq!(certificates.https().shown().fingerprint, first, "the old one is shown all the while");
        write(own(data.path(), 1_795_000_000 + 10 * DAY, 1_795_000_000));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        // The mode alone changes no stamp: it is looked at when the content changes.
        look().await;
        assert!(certificates.note(1_795_000_000).unwrap().contains("chmod o="), "{:?}", certificates.note(0));
        write(own(data.path(), 1_795_000_000 + 10 * DAY, 1_795_000_000));
        look().await;
        assert_ne!(certificates.https().shown().fingerprint, first);
        assert_eq!(certificates.note(1_795_000_000).unwrap(), "the certificate of --tls-cert ends in 10 days");
        assert!(certificates.expired(1_795_000_000 + 11 * DAY).unwrap().contains("has expired"));
    }
}
