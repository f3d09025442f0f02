//! `mcp`: the configuration that other programs need to reach the gateway.
//!
//! [`known`] has what is known of each client, [`entry`] the form of entry that it reads; [`edit`] changes one entry of a
//! file and leaves every other byte as it is; [`install`] does that to a client's own file. A client gets a token of scope
//! `use` ([`token`]): a model acts with it, and so can everyone who reads the file.

mod edit;
mod entry;
mod install;
mod known;
mod token;

use serde_json::json;

use crate::{
    access,
    args::{ClientKind, EntryArgs, McpAction, McpInstall, McpList, McpRemove, PlaceArgs},
    context::{Context, Failure},
    output::{self, Out, say, shell_word},
};
use entry::{By, Entry, Token};
use install::{Action, Target};
use known::Scope;
use token::Wanted;

/// `mcp`.
///
/// # Errors
/// With what to do.
pub(crate) async fn mcp(context: &Context, action: &McpAction) -> Result<u8, Failure> {
    match action {
        McpAction::Print { client, entry } => {
            let entry = find(context, entry, *client, Wanted::Shown).await?;
            let text = entry.text(*client).map_err(|error| Failure::system(error.to_string()))?;
            Out::default().bytes(text.as_bytes())?;
            say(client.place());
            trust(context, &entry, *client)?;
            Ok(0)
        }
        McpAction::Install(args) => install(context, args).await,
        McpAction::Remove(args) => remove(context, args),
        McpAction::List(args) => list(context, args),
    }
}

async fn install(context: &Context, args: &McpInstall) -> Result<u8, Failure> {
    let action = if args.dry_run { Action::Show } else { Action::Write };
    let targets = targets(context, &args.place, &args.entry.name)?;
    if targets.is_empty() {
        return Err(Failure::usage(format!(
            "no client was found here: name one with --client ({})",
            known::all().map(ClientKind::word).collect::<Vec<_>>().join(", ")
        )));
    }
    let mut failed = None;
    for target in &targets {
        let done = async {
            // An entry that cannot be written needs no token.
            let present = target.present()?;
            let token = present.as_ref().and_then(|present| entry::token_of(target.client, present));
            let wanted = if args.dry_run { Wanted::Shown } else { Wanted::Written(token) };
            let entry = find(context, &args.entry, target.client, wanted).await?;
            target.install(&entry, action)?;
            trust(context, &entry, target.client)
        };
        each(&targets, &mut failed, Box::pin(done).await)?;
    }
    failed.map_or(Ok(0), Err)
}

fn remove(context: &Context, args: &McpRemove) -> Result<u8, Failure> {
    let action = if args.dry_run { Action::Show } else { Action::Write };
    let targets = targets(context, &args.place, &args.name)?;
    let mut failed = None;
    let mut removed = 0;
    for target in &targets {
        let done = target.remove(action).map(|was_there| removed += usize::from(was_there));
        each(&targets, &mut failed, done)?;
    }
    if let Some(failed) = failed {
        return Err(failed);
    }
    match (removed, action) {
        (0, _) => say(&format!("no client has an entry `{}` (`longhaul mcp list` shows those that have)", args.name)),
        (_, Action::Write) => {
            say(
                "a token that was made for it is still good: `longhaul token list` names it, `longhaul token revoke` ends it",
            );
        }
        (_, Action::Show) => {}
    }
    Ok(0)
}

/// One client's failure does not keep the others from their entries: it is told, and the last one ends the command.
fn each(targets: &[Target], failed: &mut Option<Failure>, done: Result<(), Failure>) -> Result<(), Failure> {
    let Err(failure) = done else { return Ok(()) };
    if targets.len() == 1 {
        return Err(failure);
    }
    if let Some(before) = failed.replace(failure) {
        say(&format!("longhaul: {}", before.message));
    }
    Ok(())
}

fn list(context: &Context, args: &McpList) -> Result<u8, Failure> {
    let mut rows = vec![];
    let mut out = Out::default();
    for client in known::all() {
        for scope in [Scope::User, Scope::Project] {
            let Some(path) = client.file(&context.env, scope) else { continue };
            let found = scope == Scope::User && client.is_found(&context.env);
            let target = Target::new(client, path, scope, &args.name);
            let (entry, error) = match target.present() {
                Ok(present) => (present.map(|present| entry::leads_to(client, &present)), None),
                Err(failure) => (None, Some(failure.message)),
            };
            // Of a project, and of a client that is not here, only what there is.
            if !found && entry.is_none() && error.is_none() {
                continue;
            }
            let file = target.path.display().to_string();
            if args.json {
                out.json(&json!({
                    "client": client.word(), "title": client.title(), "file": file, "project": scope == Scope::Project,
                    "connects_to": entry, "error": error,
                }))?;
            }
            let state = match (entry, error) {
                (Some(leads_to), _) => leads_to,
                (None, Some(error)) => format!("cannot tell: {error}"),
                (None, None) => format!("no entry (longhaul mcp install --client {})", client.word()),
            };
            rows.push([client.title().to_owned(), state, file]);
        }
    }
    if !args.json {
        if rows.is_empty() {
            say("no client was found here: `longhaul mcp install --client NAME` writes the file of one all the same");
        } else {
            out.text(&output::columns(["CLIENT", "CONNECTS TO", "FILE"], &rows))?;
        }
    }
    Ok(0)
}

/// The files that are meant: of the clients that are named, else of all that this user has.
fn targets(context: &Context, place: &PlaceArgs, name: &str) -> Result<Vec<Target>, Failure> {
    let one = |client: ClientKind, scope: Scope| {
        let path = client.file(&context.env, scope).ok_or_else(|| {
            Failure::usage(match scope {
                Scope::Project => format!("{} has no file for a project: leave --project out", client.title()),
                Scope::User if client == ClientKind::Json => {
                    "json is the form for any client: name the client, or use `longhaul mcp print`".to_owned()
                }
                Scope::User => "HOME is not set: name the file with --file".to_owned(),
            })
        })?;
        Ok(Target::new(client, path, scope, name))
    };
    if let Some(file) = &place.file {
        let [client] = place.client[..] else {
            return Err(Failure::usage("--file is the file of one client: name it with --client"));
        };
        return Ok(vec![Target::new(client, file.clone(), Scope::Project, name)]);
    }
    // Claude Code's own way: a project's file unless it is told otherwise.
    let default = |client: ClientKind| match client {
        ClientKind::Claude if !place.user => Scope::Project,
        _ => Scope::User,
    };
    let scope = |client: ClientKind| if place.project { Scope::Project } else { default(client) };
    if !place.client.is_empty() {
        return place.client.iter().map(|client| one(*client, scope(*client))).collect();
    }
    let scope = if place.project { Scope::Project } else { Scope::User };
    let found = known::all().filter(|client| client.is_found(&context.env));
    found.filter(|client| client.file(&context.env, scope).is_some()).map(|client| one(client, scope)).collect()
}

/// Tells what a client needs to trust a gateway whose certificate no public authority has issued: those on Node.js read
/// this variable at their start (tried with Claude Code 2.1).
fn trust(context: &Context, entry: &Entry, client: ClientKind) -> Result<(), Failure> {
    let Some(root) = access::of(context, &entry.url)?.root else { return Ok(()) };
    if matches!(entry.by, By::Bridge { .. }) {
        return Ok(());
    }
    say(&format!(
        "the gateway's certificate is of its own authority: start {} with this in its environment, such as from \
         your shell's profile:\n  export NODE_EXTRA_CA_CERTS={}",
        if client == ClientKind::Json { "the client" } else { client.title() },
        shell_word(&root.file.display().to_string())
    ));
    Ok(())
}

/// Whether a client connects by the bridge: it knows no HTTP, the user wants it so, or it would not trust the gateway, and
/// no variable of its environment makes it.
fn by_bridge(context: &Context, args: &EntryArgs, client: ClientKind, url: &str) -> Result<bool, Failure> {
    let untrusted = || Ok::<_, Failure>(!client.is_on_node() && access::of(context, url)?.root.is_some());
    Ok(args.stdio || client.url_key().is_none() || untrusted()?)
}

/// Finds the gateway as other commands do; it need not be running.
async fn find(context: &Context, args: &EntryArgs, client: ClientKind, wanted: Wanted) -> Result<Entry, Failure> {
    let named = context.config.settings.gateway.as_ref().map(|url| url.0.clone());
    let served = || context.data.endpoint().filter(|e| !e.embedded).map(|e| e.url);
    let known = || context.data.credentials().map(|c| c.url);
    let url = named.clone().or_else(served).or_else(known).ok_or_else(|| {
        Failure::usage(format!(
            "no gateway was found in {}: start one with `longhaul up`, or name one with --gateway or LONGHAUL_GATEWAY",
            context.data.path().display()
        ))
    })?;
    let bridge = by_bridge(context, args, client, &url)?;
    let token = if args.token_from_env {
        if bridge || client.variable(entry::VARIABLE).is_none() {
            return Err(Failure::usage(format!(
                "--token-from-env is for clients that read variables in their configuration: {} does not, or connects by \
                 the bridge",
                client.title()
            )));
        }
        Token::Variable
    } else if bridge && named.is_none() {
        // The bridge finds the daemon and its token by itself, and its entry has no token.
        Token::None
    } else {
        let found = access::token(context, &url)?;
        if found.is_none() {
            say(
                "no token is known for this gateway: the entry has none, and works only with a gateway that wants none. \
                 Set LONGHAUL_TOKEN, or `token` in the configuration, and do this again",
            );
        }
        match found {
            None => Token::None,
            Some(found) => Token::Text(token::for_client(context, &url, found, wanted).await?),
        }
    };
    let by = if bridge {
        let program = std::env::current_exe()
            .map_err(|error| Failure::system(format!("cannot tell where this program is: {error}")))?;
        let data = context.config.settings.data.is_some().then(|| context.data.path().to_owned());
        By::Bridge { program, named: named.is_some(), data }
    } else {
        By::Http
    };
    Ok(Entry { name: args.name.clone(), url, token, by })
}
