//! `quotas`: what the caller, or everybody, may use of the gateway, and what is used.

use longhaul_proto::{
    api::{QuotaKind, QuotaList, QuotaUse, QuotaView},
    words,
};

use crate::{
    args::Quotas,
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::{Out, columns},
};

/// `quotas`.
///
/// # Errors
/// With what to do.
pub(crate) async fn quotas(context: &Context, args: &Quotas) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need { no_agent: true, ..Need::default() }).await?;
    let list = gateway.client.quotas(args.all).await;
    gateway.close().await;
    let list = list?;
    let mut out = Out::default();
    if args.ask.json {
        for quota in &list.quotas {
            out.json(quota)?;
        }
    } else {
        out.text(&table(&list))?;
    }
    Ok(0)
}

fn table(list: &QuotaList) -> String {
    let rows: Vec<[String; 4]> =
        list.quotas.iter().flat_map(|quota| quota.limits.iter().map(|l| row(quota, l))).collect();
    columns(["WHOSE", "QUOTA", "USED", "OF"], &rows)
}

fn row(quota: &QuotaView, limit: &QuotaUse) -> [String; 4] {
    let amount = |n: u64| if limit.kind == QuotaKind::Kept { words::bytes(n) } else { n.to_string() };
    let whose = if quota.group { format!("group {}", quota.name) } else { quota.name.clone() };
    let what = match (limit.kind, &limit.pool) {
        (QuotaKind::Seats, Some(pool)) => format!("seats of pool {pool}"),
        (QuotaKind::Seats, None) => "seats of any other pool".to_owned(),
        (QuotaKind::Running, _) => "running at once".to_owned(),
        (QuotaKind::Queued, _) => "queued".to_owned(),
        (QuotaKind::Kept, _) => "kept output and uploads".to_owned(),
        (QuotaKind::Streams, _) => "open streams".to_owned(),
        (QuotaKind::Submissions, _) => "submissions in a minute".to_owned(),
    };
    let of_others = limit.kind == QuotaKind::Seats && limit.pool.is_none();
    let used = if of_others { String::new() } else { amount(limit.used) };
    [whose, what, used, limit.limit.map_or("no limit".to_owned(), amount)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stands_beside_what_may_be() {
        let one = |kind, pool: Option<&str>, limit, used| QuotaUse { kind, pool: pool.map(str::to_owned), limit, used };
        let limits = vec![
            one(QuotaKind::Seats, Some("lab"), Some(2), 1),
            one(QuotaKind::Kept, None, Some(20 << 30), 3 << 20),
            one(QuotaKind::Queued, None, None, 4),
        ];
        let list = QuotaList { quotas: vec![QuotaView { name: "econ".to_owned(), group: true, limits }] };
        let text = table(&list);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").filter(|w| !w.is_empty()).map(str::trim).collect()).collect();
        assert_eq!(lines[1], ["group econ", "seats of pool lab", "1", "2"]);
        assert_eq!(lines[2], ["group econ", "kept output and uploads", "3.0 MiB", "20.0 GiB"]);
        assert_eq!(lines[3], ["group econ", "queued", "4", "no limit"]);
    }
}
