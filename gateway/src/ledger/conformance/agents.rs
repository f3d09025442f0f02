//! The laws of what is known of agents, of tokens, and of stashed state.

use super::*;

pub(super) async fn tokens_and_agents(ledger: &dyn Ledger) {
    let token = |name: &str, sha256: &str| TokenRecord {
        name: name.to_owned(),
        principal: Principal::local("ann"),
        sha256: sha256.to_owned(),
        scopes: Scopes::OPERATE,
        limits: TokenLimits::default(),
        created_ms: 5,
        expires_ms: Some(9),
        revoked_ms: None,
        rotated_ms: None,
        before: None,
    };
    assert!(ledger.token_add(token("laptop", "aa")).await.unwrap());
    assert!(!ledger.token_add(token("laptop", "bb")).await.unwrap(), "a name is one token");
    assert_eq!(ledger.token_find("aa").await.unwrap(), Some(token("laptop", "aa")));
    assert_eq!(ledger.token_find("bb").await.unwrap(), None);
    assert!(ledger.token_revoke("laptop", 7).await.unwrap());
    assert!(!ledger.token_revoke("laptop", 8).await.unwrap());
    assert_eq!(ledger.token_list().await.unwrap(), [TokenRecord { revoked_ms: Some(7), ..token("laptop", "aa") }]);

    let mut agent = AgentRecord {
        info: wire::AgentInfo { agent_id: "a".to_owned(), name: "stata1".to_owned(), ..wire::AgentInfo::default() },
        heard_ms: 1,
    };
    ledger.put_agent(agent.clone()).await.unwrap();
    agent.heard_ms = 2;
    ledger.put_agent(agent.clone()).await.unwrap();
    assert_eq!(ledger.agents().await.unwrap(), [agent.clone()]);
    agent.info.agent_id = "b".to_owned();
    ledger.put_agent(agent.clone()).await.unwrap();
    ledger.forget_agents(vec!["a".to_owned(), "nobody".to_owned()]).await.unwrap();
    assert_eq!(ledger.agents().await.unwrap(), [agent]);
}

pub(super) async fn drained_hosts_are_remembered(ledger: &dyn Ledger) {
    let drain = |host: &str, reason: &str| DrainRecord {
        host: host.to_owned(),
        by: "ops".to_owned(),
        reason: reason.to_owned(),
        at_ms: 7,
    };
    ledger.drain(vec![drain("b", "kernel"), drain("a", "")]).await.unwrap();
    ledger.drain(vec![drain("b", "disk")]).await.unwrap();
    assert_eq!(ledger.drains().await.unwrap(), [drain("a", ""), drain("b", "disk")], "the newest word counts");
    ledger.resume(vec!["a".to_owned(), "nobody".to_owned()]).await.unwrap();
    assert_eq!(ledger.drains().await.unwrap(), [drain("b", "disk")]);
}

pub(super) async fn keys_of_agents_are_kept(ledger: &dyn Ledger) {
    let pin = |n: u8, state| PinRecord {
        key: Fingerprint([n; 32]),
        agent_id: format!("agent {n}"),
        name: "stata1".to_owned(),
        state,
        at_ms: i64::from(n),
        by: "ops".to_owned(),
        joined: if n == 1 { JoinedBy::Socket } else { JoinedBy::Secret },
        serves: (n == 1).then(|| Principal::new("https://idp", "ana")),
    };
    for state in [PinState::Waiting, PinState::Accepted, PinState::Revoked] {
        ledger.put_pin(pin(2, state)).await.unwrap();
        assert_eq!(ledger.pins().await.unwrap(), [pin(2, state)], "the newest word counts");
    }
    ledger.put_pin(pin(1, PinState::Accepted)).await.unwrap();
    assert_eq!(ledger.pins().await.unwrap(), [pin(1, PinState::Accepted), pin(2, PinState::Revoked)]);
}

pub(super) async fn an_invitation_is_used_once(ledger: &dyn Ledger) {
    let invitation = |digest: &str, made_ms: i64| InvitationRecord {
        digest: digest.to_owned(),
        name: "stata1".to_owned(),
        principal: Principal::local("ana"),
        by: "ops".to_owned(),
        made_ms,
        ends_ms: made_ms + 100,
        used: None,
        withdrawn_ms: None,
    };
    let pin = |n: u8, at_ms: i64| PinRecord {
        key: Fingerprint([n; 32]),
        agent_id: format!("guest {n}"),
        name: "stata1".to_owned(),
        state: PinState::Accepted,
        at_ms,
        by: "ops".to_owned(),
        joined: JoinedBy::Invitation,
        serves: Some(Principal::local("ana")),
    };
    for (digest, at) in [("b", 10), ("a", 20), ("c", 30)] {
        ledger.invite(invitation(digest, at)).await.unwrap();
    }
    let of = |digest: &str, pin| ledger.use_invitation(digest.to_owned(), pin);
    assert!(!of("x", pin(11, 40)).await.unwrap(), "it is unknown");
    assert!(!of("b", pin(11, 110)).await.unwrap(), "it has ended");
    assert!(of("a", pin(11, 40)).await.unwrap());
    assert!(!of("a", pin(12, 50)).await.unwrap(), "another key");
    assert!(of("a", pin(11, 5000)).await.unwrap(), "the same key again, at any time");
    for (digest, at_ms, done) in [("c", 60, true), ("c", 61, true), ("a", 61, false), ("x", 61, false)] {
        assert_eq!(ledger.withdraw_invitation(digest.to_owned(), at_ms).await.unwrap(), done, "{digest} at {at_ms}");
    }
    assert!(!of("c", pin(12, 62)).await.unwrap(), "it was withdrawn");
    let used = InvitationRecord { used: Some((40, Fingerprint([11; 32]))), ..invitation("a", 20) };
    assert_eq!(ledger.invitation(used.digest.clone()).await.unwrap().as_ref(), Some(&used));
    assert_eq!(ledger.invitation("0".repeat(64)).await.unwrap(), None);
    let withdrawn = InvitationRecord { withdrawn_ms: Some(60), ..invitation("c", 30) };
    assert_eq!(ledger.invitations().await.unwrap(), [invitation("b", 10), used, withdrawn]);
    let guests = ledger.pins().await.unwrap().into_iter().filter(|pin| pin.agent_id.starts_with("guest"));
    assert_eq!(guests.collect::<Vec<_>>(), [pin(11, 5000)], "no pin without its invitation");
    ledger.invite(invitation("d", 131 + KEEP_INVITATIONS_MS)).await.unwrap();
    assert_eq!(ledger.invitations().await.unwrap().len(), 1, "old ones are gone");
}

pub(super) async fn stashes_are_kept_and_bounded(ledger: &dyn Ledger) {
    let stash = |kind: &str, name: &str, created_ms: i64| Stash {
        kind: kind.to_owned(),
        name: name.to_owned(),
        principal: Principal::local("ann"),
        created_ms,
        body: format!("{{\"made\":{created_ms}}}"),
    };
    for (name, at) in [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("a", 5)] {
        ledger.stash_put(stash("call", name, at)).await.unwrap();
    }
    ledger.stash_put(stash("session", "a", 6)).await.unwrap();
    assert_eq!(ledger.stash_get("call", "a").await.unwrap(), Some(stash("call", "a", 5)), "replaced");
    assert_eq!(ledger.stash_get("session", "a").await.unwrap(), Some(stash("session", "a", 6)), "another kind");
    assert_eq!(ledger.stash_get("call", "x").await.unwrap(), None);
    ledger.stash_remove("session", "a").await.unwrap();
    ledger.stash_remove("session", "a").await.unwrap();
    assert_eq!(ledger.stash_get("session", "a").await.unwrap(), None);
    let left = async || {
        let mut left = String::new();
        for name in ["a", "b", "c", "d"] {
            left.push_str(ledger.stash_get("call", name).await.unwrap().map_or("", |_| name));
        }
        left
    };
    ledger.stash_sweep(3, 100).await.unwrap();
    assert_eq!(left().await, "acd", "the old are gone");
    ledger.stash_sweep(0, 2).await.unwrap();
    assert_eq!(left().await, "ad", "the newest stay");
}
