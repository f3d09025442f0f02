//! `mcp`: the configuration that other programs need to reach the gateway.
//!
//! [`entry`] knows the form of entry that each client reads; [`edit`] changes one entry of a JSON file and leaves every
//! other byte as it is; [`install`] does that to a file. A client gets a token of scope `use` ([`token`]): a model acts
//! with it, and so can everyone who reads the file.

mod edit;
mod entry;
mod install;
mod token;

use crate::{
    args::{ClientKind, EntryArgs, Installable, McpAction},
    context::{Context, Failure},
    gateway_handle,
    output::{Out, say},
};
use entry::Entry;
use install::{Action, Scope};
use token::Wanted;

/// `mcp`.
///
/// # Errors
/// With what to do.
pub(crate) async fn mcp(context: &Context, action: &McpAction) -> Result<u8, Failure> {
    match action {
        McpAction::Print { client, entry } => {
            let entry = find(context, entry, *client, Wanted::Shown).await?;
            Out::default().bytes(entry.text(*client).as_bytes())?;
            say(entry::place(*client));
        }
        McpAction::Install { client: Installable::Claude, user, file, dry_run, entry: args } => {
            let scope = if *user { Scope::User } else { Scope::Project };
            let action = if *dry_run { Action::Show } else { Action::Write };
            let path = install::path(context, scope, file.as_deref())?;
            // An entry that cannot be written needs no token.
            let present = install::present(&path, &args.name)?;
            let wanted = if *dry_run { Wanted::Shown } else { Wanted::Written(present) };
            let entry = find(context, args, ClientKind::Claude, wanted).await?;
            install::claude(&entry, &path, scope, action)?;
        }
    }
    Ok(0)
}

/// Finds the gateway as other commands do; it need not be running.
async fn find(context: &Context, args: &EntryArgs, client: ClientKind, wanted: Wanted) -> Result<Entry, Failure> {
    if args.token_from_env && client != ClientKind::Claude {
        return Err(Failure::usage(
            "--token-from-env is for --client claude, which reads variables in its configuration",
        ));
    }
    let named = context.config.settings.gateway.as_ref().map(|url| url.0.clone());
    let served = || context.data.endpoint().filter(|e| !e.embedded).map(|e| e.url);
    let known = || context.data.credentials().map(|c| c.url);
    let url = named.clone().or_else(served).or_else(known).ok_or_else(|| {
        Failure::usage(format!(
            "no gateway was found in {}: start one with `longhaul up`, or name one with --gateway or LONGHAUL_GATEWAY",
            context.data.path().display()
        ))
    })?;
    // The bridge finds the daemon and its token by itself, and its entry has no token.
    let none = client == ClientKind::ClaudeDesktop && named.is_none();
    let token = if args.token_from_env {
        Some("${LONGHAUL_TOKEN}".to_owned())
    } else if none {
        None
    } else {
        let found = gateway_handle::token(context, &url)?;
        if found.is_none() {
            say(
                "no token is known for this gateway: the entry has none, and works only with a gateway that wants none. \
                 Set LONGHAUL_TOKEN, or `token` in the configuration, and do this again",
            );
        }
        match found {
            None => None,
            Some(found) => Some(token::for_client(context, &url, found, wanted).await?),
        }
    };
    let program = std::env::current_exe()
        .map_err(|error| Failure::system(format!("cannot tell where this program is: {error}")))?;
    let data = context.config.settings.data.is_some().then(|| context.data.path().to_owned());
    Ok(Entry { name: args.name.clone(), url, token, program, named: named.is_some(), data })
}
