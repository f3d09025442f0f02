//! `login`: keeps a token for a gateway elsewhere, and pins the root of its certificate.
//!
//! The root comes over a connection that cannot be trusted yet, and is believed for its fingerprint, which the gateway's
//! operator tells. From then on nothing else is believed there.

use std::io::{BufRead, IsTerminal, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use longhaul_proto::certificate;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::{
    access::{self, Access, Login, Root},
    args,
    client::Client,
    context::{Context, Failure},
    output::say,
};

/// `login`.
///
/// # Errors
/// When the gateway is not the one that is meant, or does not take the token.
pub(crate) async fn login(context: &Context, args: &args::Login) -> Result<u8, Failure> {
    let url = &args.url.0;
    if !url.starts_with("https:") {
        return Err(Failure::usage(format!(
            "{url} is spoken to in the clear, where nothing can be pinned: give its https address, or set LONGHAUL_TOKEN"
        )));
    }
    let root = match &args.ca_fingerprint {
        Some(fingerprint) => Some(pinned(url, fingerprint).await?),
        None => None,
    };
    let file = context.data.path().to_owned();
    let access = |token| Access {
        token,
        socket: None,
        root: root.clone().map(|pem| Root { pem, file: file.clone(), pinned: false }),
    };
    if let Err(error) = Client::new(url, access(None))?.healthy().await {
        return Err(Failure::system(error.to_string()));
    }
    let token = match access::configured_token(context)? {
        Some(token) => Some(token),
        None => asked()?,
    };
    if token.is_some() {
        let me = Client::new(url, access(token.clone()))?.call(reqwest::Method::GET, "/api/v1/whoami", None).await?;
        let name = |key: &str| me[key].as_str().unwrap_or_default().to_owned();
        say(&format!("the gateway knows you as {} (scope {})", name("principal"), name("scope")));
    } else {
        say("no token was given, so none is kept: set LONGHAUL_TOKEN, or give --token-file FILE");
    }
    access::keep(context.data.path(), url, Login { root, token }).map_err(|error| {
        Failure::system(format!("cannot write to the data folder {}: {error}", context.data.path().display()))
    })?;
    say(&format!(
        "kept for {url} in {}. Commands use it with --gateway {url}, LONGHAUL_GATEWAY, or `gateway` in the configuration",
        context.data.path().join("logins.json").display()
    ));
    Ok(0)
}

/// `logout`: forgets what `login` kept.
///
/// # Errors
/// When the data folder cannot be written to.
pub(crate) fn logout(context: &Context, args: &args::Logout) -> Result<u8, Failure> {
    let (url, data) = (&args.url.0, context.data.path());
    let forgotten = access::forget(data, url)
        .map_err(|error| Failure::system(format!("cannot write to the data folder {}: {error}", data.display())))?;
    say(&match forgotten {
        true => format!(
            "token and root for {url} are forgotten here; the token itself is valid until it expires or is revoked"
        ),
        false => format!("nothing was kept for {url} in {}", data.join("logins.json").display()),
    });
    Ok(0)
}

/// The root with this fingerprint, as the gateway tells it.
async fn pinned(url: &str, fingerprint: &str) -> Result<String, Failure> {
    let wanted = certificate::read_fingerprint(fingerprint).ok_or_else(|| {
        Failure::usage("--ca-fingerprint takes a SHA-256 fingerprint: 64 hexadecimal digits, with colons or without")
    })?;
    let pem = Client::root_of(url).await?;
    match certificate::first_in_pem(&pem).map(|der| (certificate::fingerprint(&der), der)) {
        // Only the certificate that was compared is kept, and nothing that stood behind it.
        Some((found, der)) if found == wanted => Ok(to_pem(&der)),
        Some((found, _)) => Err(Failure::system(format!(
            "what answers at {url} has another root: its fingerprint is {found}, and {wanted} was given. Nothing was sent \
             to it and nothing is kept. Ask the gateway's operator; if they name the first, the second is out of date, and \
             if not, another machine answers in the gateway's place"
        ))),
        None => {
            Err(Failure::system(format!("what answers at {url} tells no root certificate: is it a Longhaul gateway?")))
        }
    }
}

/// A certificate in DER as PEM (RFC 7468), and nothing else.
fn to_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).filter_map(|at| text.get(at..text.len().min(at + 64))).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// The token as a person types it or a pipe brings it; `None` = neither.
fn asked() -> Result<Option<String>, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(None);
    }
    let cannot = |error: std::io::Error| Failure::system(format!("cannot read the token: {error}"));
    let before = tcgetattr(&stdin).map_err(|e| cannot(e.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|e| cannot(e.into()))?;
    let _ = write!(std::io::stderr(), "Token (not shown; empty = none): ");
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    let restored = tcsetattr(&stdin, OptionalActions::Flush, &before);
    let _ = writeln!(std::io::stderr());
    read.map_err(cannot)?;
    restored.map_err(|e| cannot(e.into()))?;
    Ok(Some(line.trim().to_owned()).filter(|token| !token.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands behind the root in a gateway's answer may be another machine's, which only had to copy the root.
    #[test]
    fn of_what_a_gateway_tells_only_the_compared_root_is_kept() {
        let (root, other) = ([7; 1000], [9; 100]);
        let kept = to_pem(&certificate::first_in_pem(&(to_pem(&root) + &to_pem(&other))).unwrap());
        assert_eq!(kept, to_pem(&root));
        assert_eq!(kept.matches("BEGIN").count(), 1);
        assert!(kept.lines().all(|line| line.len() <= 64));
    }
}
