//! Test: nothing is sent to an address that is not allowed, whatever a name says at the moment of the look-up; and what is
//! due is sent until it was taken, or given up with a reason.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::BoxFuture;
use longhaul_proto::{clock::Clock, ids::Ids, tasks::Tasks};
use reqwest::Url;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{
    ledger::{
        Notification, NotificationState, NotificationStore, ReceiverRecord, conformance_run, memory::MemoryLedger,
    },
    model::{Identity, Scopes},
};

/// A resolver that answers in turn with these, and with the last from then on.
#[derive(Default)]
struct Answers {
    all: Vec<Vec<&'static str>>,
    asked: AtomicUsize,
}

impl Resolve for Answers {
    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst).min(self.all.len().saturating_sub(1));
        let answer = self.all.get(turn).into_iter().flatten();
        let answer = answer.map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect();
        Box::pin(async move { Ok(answer) })
    }
}

fn answers(all: &[&[&'static str]]) -> Arc<Answers> {
    Arc::new(Answers { all: all.iter().map(|one| one.to_vec()).collect(), asked: AtomicUsize::new(0) })
}

fn options(allow: &[&str]) -> NotifyOptions {
    let ms = Duration::from_millis;
    NotifyOptions {
        allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
        retry: (ms(10), ms(40)),
        timeout: Duration::from_secs(5),
        ..NotifyOptions::default()
    }
}

struct World {
    notify: Notify,
    ledger: Arc<MemoryLedger>,
    tasks: Tasks,
}

fn world(notify: NotifyOptions, resolver: Arc<dyn Resolve>) -> World {
    let ledger = Arc::new(MemoryLedger::new("c1"));
    let (tasks, metrics) = (Tasks::new(), Arc::<Metrics>::default());
    let deps = Deps { clock: Clock::system(), ids: Ids::system(), tasks: tasks.clone() };
    let options = Arc::new(Options { notify, ..Options::default() });
    let key = SigningKey::of([5; 32]);
    let notify = Notify::resolving(options, ledger.clone(), Audit::off(), metrics, deps, key, resolver);
    World { notify, ledger, tasks }
}

/// An HTTP server that answers each request with the next of these, and the last from then on; returns what it got.
async fn server(answers: &'static [&'static str]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, got) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let seen = got.clone();
    #[allow(clippy::disallowed_methods)] // ends with the test's runtime
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let (mut text, mut piece) = (Vec::new(), [0; 4096]);
            while let Ok(n @ 1..) = stream.read(&mut piece).await {
                text.extend_from_slice(&piece[..n]);
                let whole = String::from_utf8_lossy(&text).into_owned();
                let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
                let length = head
                    .to_lowercase()
                    .split_once("content-length: ")
                    .map(|(_, rest)| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
                if body.len() >= length.unwrap_or_default() {
                    break;
                }
            }
            let n = {
                let mut seen = seen.lock().unwrap();
                seen.push(String::from_utf8(text).unwrap());
                seen.len()
            };
            let answer = answers[n.min(answers.len()) - 1];
            let _ = stream
                .write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes())
                .await;
        }
    });
    (addr, got)
}

#[tokio::test]
async fn addresses_by_rule_and_name() {
    async fn check(allow: &[&str], resolved: &[&'static str], url: &str, want: Result<&[&str], &str>) {
        let resolver = answers(&[resolved]);
        let found = check::webhook(&options(allow), &*resolver, &Url::parse(url).unwrap()).await;
        match (found, want) {
            (Ok(found), Ok(want)) => {
                assert_eq!(found.iter().map(|one| one.ip().to_string()).collect::<Vec<_>>(), want, "{allow:?} {url}");
            }
            (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{allow:?} {url}: {error}"),
            (found, want) => panic!("{allow:?} {url} {resolved:?}: {found:?} and not {want:?}"),
        }
    }
    let (public, v6) = ("93.184.216.34", "2606:2800:220:1::1");
    check(&[], &[public], "https://hooks.lab/", Err("notify_allow")).await;
    check(&["hooks.lab"], &[public, v6], "https://hooks.lab/", Ok(&[public, v6])).await;
    check(&["hooks.lab"], &[public], "https://HOOKS.lab.:443/x?y", Ok(&[public])).await;
    check(&["hooks.lab"], &[public], "https://hooks.lab:8443/", Err("at port 8443")).await;
    check(&["hooks.lab"], &[public], "http://hooks.lab:443/", Err("without TLS")).await;
    check(&["http://hooks.lab:443"], &[public], "https://hooks.lab/", Ok(&[public])).await;
    check(&["hooks.lab"], &[public], "https://evil.hooks.lab/", Err("does not allow evil.hooks.lab")).await;
    check(&["hooks.lab"], &[public], "https://hooks.lab.evil.org/", Err("does not allow")).await;
    // Where a name leads decides, each address of it.
    for inside in [
        "127.0.0.1",
        "10.0.0.7",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.7",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "2001:db8::1",
    ] {
        check(&["hooks.lab"], &[inside], "https://hooks.lab/", Err("no public address")).await;
        check(&["hooks.lab"], &[public, inside], "https://hooks.lab/", Err("no public address")).await;
    }
    // Private ones only as they are listed, with their port.
    let listed = ["hooks.lab", "10.0.0.0/8"];
    check(&listed, &["10.0.0.7"], "https://hooks.lab/", Ok(&["10.0.0.7"])).await;
    check(&listed, &["::ffff:10.0.0.7"], "https://hooks.lab/", Ok(&["::ffff:10.0.0.7"])).await;
    check(&listed, &["10.0.0.7"], "https://any.lab/", Ok(&["10.0.0.7"])).await;
    check(&listed, &["10.0.0.7", public], "https://any.lab/", Err("does not allow any.lab")).await;
    check(&["hooks.lab", "10.0.0.0/8:8443"], &["10.0.0.7"], "https://hooks.lab/", Err("no public address")).await;
    // An address in whatever notation is that address.
    for loopback in ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]"] {
        check(&["hooks.lab"], &[public], &format!("https://{loopback}/"), Err("does not allow")).await;
    }
    check(&["127.0.0.0/8"], &[], "https://2130706433/", Ok(&["127.0.0.1"])).await;
    check(&["127.0.0.0/8"], &[], "https://[::ffff:127.0.0.1]/", Ok(&["::ffff:127.0.0.1"])).await;
    check(&["hooks.lab"], &[], "https://hooks.lab/", Err("it has no address")).await;
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let (addr, got) = server(&["200 OK"]).await;
    let (port, allow) = (addr.port(), format!("http://hooks.lab:{}", addr.port()));
    // It leads to the public network when it is named, and inside when it is used.
    let resolver = answers(&[&["93.184.216.34"], &["127.0.0.1"]]);
    let world = world(options(&[&allow]), resolver.clone());
    let url = format!("http://hooks.lab:{port}/");
    let named = world.notify.named(std::slice::from_ref(&url)).await.unwrap();
    let receiver = Receiver::parse(&named[0]).unwrap();
    let failed = world.notify.send(&Principal::local("ann"), &receiver, "end_1", "{}").await.unwrap_err();
    assert!(failed.refused && failed.words.contains("leads to 127.0.0.1"), "{failed:?}");
    assert_eq!(got.lock().unwrap().len(), 0);
    // The connection goes to what was checked: the system's resolver, which does not know this name, is not asked again.
    let asked = resolver.asked.load(Ordering::SeqCst);
    let world = super::tests::world(options(&[&allow, &format!("http://127.0.0.1:{port}")]), resolver.clone());
    world.notify.send(&Principal::local("ann"), &receiver, "end_1", "{}").await.unwrap();
    assert_eq!((got.lock().unwrap().len(), resolver.asked.load(Ordering::SeqCst)), (1, asked + 1));
}

/// The control: without the look at the address it is sent.
#[cfg(feature = "faults")]
#[tokio::test]
async fn the_check_is_what_keeps_it_from_being_sent() {
    let _bug = longhaul_proto::faults::enter("bug=receivers_unchecked");
    let (addr, got) = server(&["200 OK"]).await;
    let allow = format!("http://hooks.lab:{}", addr.port());
    let world = world(options(&[&allow]), answers(&[&["127.0.0.1"]]));
    let receiver = Receiver::parse(&format!("http://hooks.lab:{}/", addr.port())).unwrap();
    world.notify.send(&Principal::local("ann"), &receiver, "end_1", "{}").await.unwrap();
    assert_eq!(got.lock().unwrap().len(), 1);
}

/// Puts one message into the outbox.
async fn owed(world: &World, address: &str) {
    let created_ms = 1;
    let receiver = ReceiverRecord { principal: Principal::local("ann"), address: address.to_owned(), created_ms };
    world.ledger.receiver_add(receiver, 9).await.unwrap();
    conformance_run(&*world.ledger, "ann", Clock::system().unix_ms()).await;
}

async fn until(world: &World, holds: impl Fn(&[Notification]) -> bool) -> Vec<Notification> {
    let look = async {
        loop {
            let all = world.ledger.notifications_of(&Principal::local("ann"), 9).await.unwrap();
            if holds(&all) {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), look).await.expect("it comes to that")
}

#[tokio::test]
async fn what_fails_is_tried_again_under_the_same_name() {
    let (addr, got) = server(&["503 Busy", "302 Found\r\nlocation: http://127.0.0.1:1/", "200 OK"]).await;
    let allow = format!("http://127.0.0.1:{}", addr.port());
    let world = world(options(&[&allow]), answers(&[]));
    owed(&world, &format!("{allow}/in?key=s3cret")).await;
    world.tasks.spawn_until_stop(world.notify.clone().deliver());
    let told = until(&world, |all| all.iter().all(|one| one.state == NotificationState::Delivered)).await;
    assert_eq!((told.len(), told[0].tries, told[0].problem.as_str()), (1, 3, ""));
    let got = got.lock().unwrap().clone();
    assert_eq!(got.len(), 3);
    let header = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
        line.map(|line| line.split_once(':').unwrap().1.trim().to_owned()).unwrap_or_default()
    };
    let names: BTreeSet<_> = got.iter().map(|text| header(text, "webhook-id")).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let secret = world.notify.secret(&Identity::local("ann", Scopes::USE), false).await.unwrap();
    assert!(secret.secret.starts_with("whsec_"));
    world.notify.secret(&Identity::local("ann", Scopes::USE), false).await.unwrap_err();
    for text in &got {
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        let secrets = world.notify.secrets(&Principal::local("ann")).await.unwrap();
        let at = header(text, "webhook-timestamp").parse().unwrap();
        assert_eq!(header(text, "webhook-signature"), secrets[0].signature(&header(text, "webhook-id"), at, body));
        assert!(text.starts_with("POST /in?key=s3cret HTTP/1.1") && header(text, "content-type") == "application/json");
    }
    // Another secret: for a while both sign.
    world.notify.secret(&Identity::local("ann", Scopes::USE), true).await.unwrap();
    assert_eq!(world.notify.secrets(&Principal::local("ann")).await.unwrap().len(), 2);
    assert!(world.tasks.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn what_cannot_be_told_is_given_up_with_a_reason() {
    let (addr, got) = server(&["410 Gone"]).await;
    let gone = format!("http://127.0.0.1:{}", addr.port());
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let away = format!("http://127.0.0.1:{}", free.port());
    let short = NotifyOptions { give_up: Duration::from_millis(200), ..options(&[&gone, &away]) };
    let world = world(short, answers(&[]));
    for address in [&gone, &away, &"http://127.0.0.1:1".to_owned()] {
        world
            .ledger
            .receiver_add(
                ReceiverRecord { principal: Principal::local("ann"), address: format!("{address}/"), created_ms: 1 },
                9,
            )
            .await
            .unwrap();
    }
    conformance_run(&*world.ledger, "ann", Clock::system().unix_ms()).await;
    world.tasks.spawn_until_stop(world.notify.clone().deliver());
    let all = until(&world, |all| all.iter().all(|one| one.state == NotificationState::GivenUp)).await;
    let problem = |address: &str| all.iter().find(|one| one.key.address.starts_with(address)).unwrap();
    assert!(problem(&gone).problem.contains("410") && problem(&gone).tries == 1);
    assert!(problem(&away).problem.starts_with("it failed for") && problem(&away).tries > 1, "{:?}", problem(&away));
    let refused = problem("http://127.0.0.1:1/");
    assert!(refused.problem.contains("was not allowed") && refused.problem.contains("notify_allow"), "{refused:?}");
    assert_eq!(got.lock().unwrap().len(), 1);
    assert!(world.tasks.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn people_have_their_own() {
    let world = world(options(&["http://127.0.0.1:9"]), answers(&[]));
    let (ann, bob) = (Identity::local("ann", Scopes::USE), Identity::local("bob", Scopes::USE));
    let (added, new) = world.notify.add(&ann, "http://127.0.0.1:9/a?k=1").await.unwrap();
    assert!(new && added.address == "http://127.0.0.1:9/a?k=1");
    assert!(!world.notify.add(&ann, "http://127.0.0.1:9/a?k=1").await.unwrap().1);
    assert!(world.notify.list(&bob).await.unwrap().receivers.is_empty());
    assert!(matches!(world.notify.remove(&bob, &added.address).await, Err(NotifyError::NotThere)));
    assert!(matches!(world.notify.test(&bob, None).await, Err(NotifyError::NotThere)));
    assert!(matches!(world.notify.add(&ann, "mailto:ann@lab.org").await, Err(NotifyError::NoMail)));
    let refused = world.notify.add(&ann, "https://evil.org/x?token=s3cret").await.unwrap_err().to_string();
    assert!(refused.contains("https://evil.org:") || refused.contains("https://evil.org"), "{refused}");
    assert!(!refused.contains("s3cret"), "{refused}");
    for n in 1..MAX_RECEIVERS {
        world.notify.add(&ann, &format!("http://127.0.0.1:9/{n}")).await.unwrap();
    }
    assert!(matches!(world.notify.add(&ann, "http://127.0.0.1:9/more").await, Err(NotifyError::TooMany)));
    world.notify.remove(&ann, &added.address).await.unwrap();
    assert_eq!(world.notify.list(&ann).await.unwrap().receivers.len(), MAX_RECEIVERS as usize - 1);
}
