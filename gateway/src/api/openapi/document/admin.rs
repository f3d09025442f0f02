//! The gateway itself: health, numbers, tokens, agents' keys, the audit log.

use http::Method;
use longhaul_proto::api::{AgentKeys, CA_CERTIFICATE, ClockTrusted, InvitationView, Invitations, OPENAPI};
use serde_json::{Value, json};

use super::operation::{Operation, get, operation, post, text};
use crate::api::{
    audit::Asked,
    invitations::Invite,
    tokens::{AddToken, Revoke, RotateToken, TokenView, WhoAmI},
};

fn plain(about: &str, kind: &str) -> Value {
    json!({"description": about, "content": {kind: {"schema": text()}}})
}

pub(super) fn all() -> Vec<Operation> {
    let mut tokens = get("/api/v1/tokens", "list_tokens", "All tokens, without their secrets.");
    let token = tokens.schema::<TokenView>();
    let list = json!({"description": "The tokens.", "content": {
        "application/json": {"schema": {"type": "array", "items": token}}
    }});
    let lines = json!({"description": "Lines of the log, oldest first; which fields a line has depends on its `event`.", "content": {
        "application/json": {"schema": {"type": "array", "items": {"type": "object", "required": ["event"], "properties": {
            "event": {"type": "string"}
        }}}}
    }});
    let document = json!({"description": "This document.", "content": {
        "application/json": {"schema": {"type": "object", "required": ["openapi", "paths"]}}
    }});
    let all = vec![
        get("/healthz", "is_alive", "The process answers.").answer(200, plain("`ok`.", "text/plain")),
        get("/readyz", "is_ready", "The gateway can accept work.")
            .notes("Why it cannot is told to those who show a token.")
            .answer(200, plain("`ready`, and notes.", "text/plain")),
        get("/metrics", "get_metrics", "Numbers, in the text format of Prometheus.")
            .answer(200, plain("The numbers.", "text/plain")),
        get(CA_CERTIFICATE, "get_root", "The certificate of the built-in authority, PEM.")
            .answer(200, plain("The certificate.", "application/x-pem-file"))
            .problems(&[404]),
        get(OPENAPI, "get_openapi", "What the API is.").answer(200, document),
        post("/api/v1/clock/trust", "trust_clock", "Says that the gateway's clock is right.")
            .gives::<ClockTrusted>(200, "The time that it has."),
        get("/api/v1/audit", "read_audit_log", "Who did what.").query::<Asked>(&[]).answer(200, lines),
        get("/api/v1/whoami", "who_am_i", "Whom the token stands for, and what it permits.")
            .gives::<WhoAmI>(200, "The principal."),
        get("/api/v1/agents", "list_agents", "The keys by which agents are known.")
            .gives::<AgentKeys>(200, "The keys."),
        get("/api/v1/agents/invitations", "list_invitations", "Who may join, and who has.")
            .gives::<Invitations>(200, "The invitations, without their tokens."),
        post("/api/v1/agents/invitations", "invite_agent", "Lets an agent join, once.")
            .takes::<Invite>()
            .gives::<InvitationView>(201, "The invitation; its token is shown here and never again.")
            .problems(&[404, 409]),
        operation(
            Method::DELETE,
            "/api/v1/agents/invitations/{name}",
            "withdraw_invitation",
            "Withdraws invitations, by an agent's name or the beginning of an id.",
        )
        .gives::<Invitations>(200, "What was withdrawn.")
        .problems(&[404, 409]),
        post("/api/v1/agents/{name}/approve", "approve_agent", "Lets the agent with a key that waits join.")
            .gives::<AgentKeys>(200, "The keys.")
            .problems(&[404, 409]),
        post("/api/v1/agents/{name}/revoke", "revoke_agent", "Keeps the agent of a key away.")
            .gives::<AgentKeys>(200, "The keys.")
            .problems(&[404, 409]),
        tokens.answer(200, list),
        post("/api/v1/tokens", "add_token", "Makes a token.")
            .takes::<AddToken>()
            .gives::<TokenView>(201, "The token; its secret is shown here and never again.")
            .problems(&[409]),
        post(
            "/api/v1/tokens/{name}/rotate",
            "rotate_token",
            "Gives a token another secret; its holder may, and operators.",
        )
        .may_take::<RotateToken>()
        .gives::<TokenView>(200, "The token with its secret, which is never shown again.")
        .problems(&[404, 409]),
        operation(Method::DELETE, "/api/v1/tokens/{name}", "revoke_token", "Makes a token worthless.")
            .query::<Revoke>(&[])
            .answer(204, json!({"description": "It is revoked."}))
            .problems(&[404, 409]),
    ];
    all.into_iter().map(|operation| operation.tag("gateway")).collect()
}
