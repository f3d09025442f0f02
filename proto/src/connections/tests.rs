use std::{io, net::Ipv4Addr, time::Duration};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

fn connections(max: usize, per_address: usize, per_principal: usize) -> Connections {
    let (head, proof) = (Duration::from_secs(10), None);
    Connections::new(Bounds { max, per_address, per_principal, head, proof })
}

fn bounded(connection: &Connection) -> (Bounded<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(1024);
    (Bounded::new(near, connection.clone()), far)
}

fn refused(all: &Connections, reason: Reason) -> u64 {
    all.refused()[reason as usize].1
}

/// The result of a read, if it does not have to wait.
async fn read(stream: &mut Bounded<DuplexStream>) -> Option<Result<u8, io::ErrorKind>> {
    let read = tokio::time::timeout(Duration::ZERO, stream.read_u8()).await;
    read.ok().map(|read| read.map_err(|e| e.kind()))
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_to_a_whole_head_whatever_came_before() {
    for sent in [&b""[..], b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"] {
        let all = connections(10, 10, 10);
        let connection = all.admit(Some(HOME)).unwrap();
        let (mut near, mut far) = bounded(&connection);
        far.write_all(sent).await.unwrap();
        let reading = async {
            loop {
                if let Err(error) = near.read_u8().await {
                    return error.kind();
                }
            }
        };
        let mut reading = std::pin::pin!(reading);
        assert!(tokio::time::timeout(Duration::from_millis(9_900), &mut reading).await.is_err(), "not yet");
        let ended = tokio::time::timeout(Duration::from_millis(200), reading).await;
        assert_eq!(ended, Ok(io::ErrorKind::TimedOut), "{sent:?}");
        assert_eq!(refused(&all, Reason::Slow), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_head_there_is_no_such_limit_but_that_of_a_proof() {
    let mut bounds = connections(10, 10, 10).bounds();
    for (proof, closed) in [(None, false), (Some(Duration::from_secs(30)), true)] {
        bounds.proof = proof;
        let all = Connections::new(bounds);
        let connection = all.admit(Some(HOME)).unwrap();
        let (mut near, _far) = bounded(&connection);
        connection.sent_head();
        let ended = tokio::time::timeout(Duration::from_secs(3600), near.read_u8()).await;
        assert_eq!(ended.is_ok(), closed, "{proof:?}");
    }
    let connection = Connections::new(bounds).admit(Some(HOME)).unwrap();
    let (mut near, _far) = bounded(&connection);
    connection.proved();
    assert!(tokio::time::timeout(Duration::from_secs(3600), near.read_u8()).await.is_err(), "proved in time");
}

#[tokio::test(start_paused = true)]
async fn the_oldest_silent_one_of_an_address_makes_room() {
    let all = connections(100, 3, 10);
    let held: Vec<_> = (0..3).map(|_| all.admit(Some(HOME)).unwrap()).collect();
    let other = all.admit(Some(AWAY)).unwrap();
    let proxied = all.admit(None).unwrap();
    held[0].sent_head();
    let mut streams: Vec<_> = held.iter().chain([&other, &proxied]).map(bounded).collect();
    let newest = all.admit(Some(HOME)).unwrap();
    let (mut near, _far) = bounded(&newest);
    for (at, (stream, _)) in streams.iter_mut().enumerate() {
        let want = (at == 1).then_some(Err(io::ErrorKind::ConnectionAborted));
        assert_eq!(read(stream).await, want, "{at}: the oldest that has said nothing");
    }
    assert_eq!(read(&mut near).await, None);
    assert_eq!(refused(&all, Reason::Displaced), 1);

    // A connection that has proved who it is no longer counts.
    held[0].proved();
    held[2].belongs_to("ana").unwrap();
    let more: Vec<_> = (0..2).map(|_| all.admit(Some(HOME)).unwrap()).collect();
    assert_eq!(refused(&all, Reason::Displaced), 1);
    assert_eq!((all.open(), all.accepted()), ((8, 5), 8));
    drop((streams, more, near, newest, other, proxied, held));
    assert_eq!(all.open(), (0, 0));
    let register = all.0.register();
    assert!(register.by_address.is_empty() && register.by_principal.is_empty(), "nothing is kept of them");
}

#[tokio::test(start_paused = true)]
async fn the_newest_is_refused_only_where_all_have_proved_who_they_are() {
    let all = connections(2, 10, 10);
    let (first, second) = (all.admit(Some(HOME)).unwrap(), all.admit(Some(AWAY)).unwrap());
    first.belongs_to("ana").unwrap();
    let (mut stream, _far) = bounded(&second);
    let third = all.admit(Some(HOME)).unwrap();
    assert_eq!(read(&mut stream).await, Some(Err(io::ErrorKind::ConnectionAborted)));
    drop((stream, second));
    third.proved();
    assert_eq!(all.admit(Some(AWAY)).unwrap_err(), Full { count: 2 });
    assert_eq!(refused(&all, Reason::Full), 1);
    drop(first);
    assert!(all.admit(Some(AWAY)).is_ok());
}

#[test]
fn a_principal_has_so_many_and_no_more() {
    let all = connections(10, 10, 2);
    let held: Vec<_> = (0..4).map(|_| all.admit(Some(HOME)).unwrap()).collect();
    held[0].belongs_to("ana").unwrap();
    held[0].belongs_to("ana").unwrap();
    held[1].belongs_to("ana").unwrap();
    assert_eq!(held[2].belongs_to("ana"), Err(TooMany { count: 2 }));
    assert_eq!((refused(&all, Reason::Principal), all.open().1), (1, 2), "and it has proved nothing");
    held[2].belongs_to("ben").unwrap();
    let proxied = all.admit(None).unwrap();
    proxied.belongs_to("ana").unwrap();
    drop(held);
    let again = all.admit(Some(HOME)).unwrap();
    again.belongs_to("ana").unwrap();
}

#[test]
fn an_ipv6_subscriber_is_one_address() {
    let of = |text: &str| subscriber(text.parse().unwrap());
    assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2::1"));
    assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
    assert_eq!(of("::ffff:10.0.0.7"), AWAY);
}
