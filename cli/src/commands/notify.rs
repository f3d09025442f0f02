//! `notify`: who is told of the ends of the caller's runs.

use longhaul_proto::api::{
    NotificationView, NotifyList, NotifySecretRequest, NotifyTestRequest, ReceiverRequest, TestedView,
};
use serde_json::json;

use crate::{
    args::{Notify, NotifyAction},
    context::{Context, Failure},
    gateway_handle::{Begins, GatewayHandle, Need},
    output::{Out, When, columns, say},
};

/// `notify`.
///
/// # Errors
/// With what to do.
pub(crate) async fn notify(context: &Context, args: &Notify) -> Result<u8, Failure> {
    // What is told is told by a gateway that stays.
    let begins = match args.action {
        NotifyAction::List { .. } => Begins::WithARecord,
        _ => Begins::Never,
    };
    let gateway = GatewayHandle::open(context, Need { begins, no_agent: true, ..Need::default() }).await?;
    let done = act(&gateway, &args.action, &When::new(context.utc)).await;
    gateway.close().await;
    done
}

async fn act(gateway: &GatewayHandle, action: &NotifyAction, when: &When) -> Result<u8, Failure> {
    let (client, mut out) = (&gateway.client, Out::default());
    let json = action.ask().json;
    match action {
        NotifyAction::List { .. } => {
            let list = client.receivers().await?;
            if json {
                out.json(&list)?;
            } else {
                out.text(&listed(&list, when))?;
                if let Some(words) = nothing(&list) {
                    say(words);
                }
            }
        }
        NotifyAction::Add { address, .. } => {
            let added = client.add_receiver(&ReceiverRequest { address: address.clone() }).await?;
            if json {
                out.json(&added)?;
            } else {
                say(&format!("{} is told of the ends of your runs: try it with `longhaul notify test`", added.address));
            }
        }
        NotifyAction::Remove { address, .. } => {
            client.remove_receiver(address).await?;
            if json {
                out.json(&json!({ "address": address, "removed": true }))?;
            } else {
                say(&format!("{address} is told no more"));
            }
        }
        NotifyAction::Secret { rotate, .. } => {
            let made = client.notify_secret(NotifySecretRequest { rotate: *rotate }).await?;
            if json {
                out.json(&made)?;
            } else {
                let before = made.secret_before_until.as_deref().map(|at| when.minute(at));
                let before = before.map(|at| format!("; until {at} the one before signs, too")).unwrap_or_default();
                say(&format!(
                    "shown this once: your receivers verify webhooks with it (docs/notifications.md){before}"
                ));
                out.bytes(format!("{}\n", made.secret).as_bytes())?;
            }
        }
        NotifyAction::Test { address, .. } => {
            let tested = client.test_receivers(&NotifyTestRequest { address: address.clone() }).await?;
            for one in &tested.receivers {
                if json {
                    out.json(one)?;
                } else {
                    out.text(&format!("{}\n", told(one)))?;
                }
            }
            if tested.receivers.iter().any(|one| !one.delivered) {
                return Ok(1);
            }
        }
    }
    Ok(0)
}

fn told(one: &TestedView) -> String {
    match &one.problem {
        None => format!("{}: taken", one.address),
        Some(problem) => format!("{}: not taken: {problem}", one.address),
    }
}

/// Why nothing is told.
fn nothing(list: &NotifyList) -> Option<&'static str> {
    match (list.webhooks || list.mail, list.receivers.is_empty()) {
        (false, _) => Some("this gateway tells nothing: its operator sets `notify_allow`, or `smtp_relay`"),
        (true, true) => {
            Some("you have no receivers: `longhaul notify add URL`, or `longhaul run --notify URL` for one run")
        }
        (true, false) => None,
    }
}

fn listed(list: &NotifyList, when: &When) -> String {
    let mut text = String::new();
    if !list.receivers.is_empty() {
        let since = |at: &Option<String>| at.as_deref().map(|at| when.minute(at)).unwrap_or_default();
        let rows: Vec<_> = list.receivers.iter().map(|one| [one.address.clone(), since(&one.created_at)]).collect();
        text.push_str(&columns(["RECEIVER", "SINCE"], &rows));
    }
    if !list.recent.is_empty() {
        let rows: Vec<_> = list.recent.iter().map(|one| row(one, when)).collect();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&columns(["RUN", "TOLD", "TO"], &rows));
    }
    text
}

fn row(one: &NotificationView, when: &When) -> [String; 3] {
    let at = |at: &Option<String>| at.as_deref().map(|at| when.minute(at)).unwrap_or_default();
    let problem = one.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
    let told = match one.state.as_str() {
        "delivered" => at(&one.told_at),
        "given_up" => format!("given up {}{problem}", at(&one.given_up_at)),
        _ if one.tries == 0 => "now".to_owned(),
        _ => format!("next try {}{problem}", at(&one.next_try_at)),
    };
    [one.run_id.short(), told, one.address.clone()]
}

#[cfg(test)]
mod tests {
    use longhaul_proto::api::ReceiverView;

    use super::*;

    #[test]
    fn receivers_and_what_became_of_messages() {
        let at = |text: &str| Some(text.to_owned());
        let one = |state: &str, problem: Option<&str>| NotificationView {
            run_id: "0198c0de-0000-7000-8000-00007f3a9c21".parse().unwrap(),
            address: "https://hooks.lab/".to_owned(),
            state: state.to_owned(),
            recorded_at: None,
            tries: 1,
            told_at: at("2026-11-29T02:00:00Z"),
            given_up_at: at("2026-11-29T03:00:00Z"),
            next_try_at: at("2026-11-29T04:00:00Z"),
            problem: problem.map(str::to_owned),
        };
        let receiver =
            ReceiverView { address: "mailto:ana@lab.org".to_owned(), created_at: at("2026-11-29T01:00:00Z") };
        let recent = vec![
            one("delivered", None),
            one("waiting", Some("it answered 503")),
            one("given_up", Some("it answered 410")),
        ];
        let list = NotifyList { webhooks: true, mail: true, receivers: vec![receiver], recent };
        let text = listed(&list, &When::new(true));
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "RECEIVER SINCE",
                "mailto:ana@lab.org 2026-11-29 01:00 UTC",
                "",
                "RUN TOLD TO",
                "7f3a9c21 2026-11-29 02:00 UTC https://hooks.lab/",
                "7f3a9c21 next try 2026-11-29 04:00 UTC: it answered 503 https://hooks.lab/",
                "7f3a9c21 given up 2026-11-29 03:00 UTC: it answered 410 https://hooks.lab/",
            ]
        );
        assert_eq!(nothing(&list), None);
        assert!(nothing(&NotifyList::default()).unwrap().contains("notify_allow"));
    }
}
