//! `stata-help`: Stata's help of a host, as Markdown.

use longhaul_proto::api::HelpView;

use crate::{
    args::StataHelp,
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::{Out, say},
};

/// `stata-help`.
///
/// # Errors
/// With what to do.
pub(crate) async fn stata_help(context: &Context, args: &StataHelp) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let words = args.words.join(" ");
    let asked = if args.search { ("search", &*words) } else { ("topic", &*words) };
    let done = gateway.client.stata_help(asked, args.host.as_deref()).await;
    gateway.close().await;
    let view = done?;
    let mut out = Out::default();
    if args.ask.json {
        out.json(&view)?;
        return Ok(0);
    }
    match &view.text {
        Some(text) => out.text(text)?,
        None => out.text(&found(&view))?,
    }
    if view.more > 0 {
        say(&format!("{} more topics fit less well: search for more words", view.more));
    }
    Ok(0)
}

fn found(view: &HelpView) -> String {
    let width = view.topics.iter().map(|topic| topic.topic.chars().count()).max().unwrap_or(0).min(24);
    let line = |topic: &longhaul_proto::api::HelpTopicView| {
        format!("{:width$}  {}  ({})\n", topic.topic, topic.about, topic.place)
    };
    view.topics.iter().map(line).collect()
}
