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
    access,
    args::{ClientKind, EntryArgs, Installable, McpAction},
    context::{Context, Failure},
    output::{Out, say, shell_word},
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
            trust(context, &entry, *client)?;
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
            trust(context, &entry, ClientKind::Claude)?;
        }
    }
    Ok(0)
}

/// Tells what a client needs to trust a gateway whose certificate no public authority has issued: all but the bridge are
/// programs on Node.js, which reads this variable at its start (tried with Claude Code 2.1).
fn trust(context: &Context, entry: &Entry, client: ClientKind) -> Result<(), Failure> {
    let Some(root) = access::of(context, &entry.url)?.root else { return Ok(()) };
    if client == ClientKind::ClaudeDesktop {
        return Ok(());
    }
    say(&format!(
        "the gateway's certificate is of its own authority: start the client with this in its environment, such as from \
         your shell's profile:\n  export NODE_EXTRA_CA_CERTS={}",
        shell_word(&root.file.display().to_string())
    ));
    Ok(())
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
        let found = access::token(context, &url)?;
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
