//! Whom a gateway may tell of the ends of runs, from the settings.

use longhaul_gateway::options::notify::{Allowed, MailOptions, MailTls, NotifyOptions};
use longhaul_proto::{private, words};

use super::put;
use crate::{
    config::{Settings, SmtpTls},
    context::Failure,
};

/// Longest file with a password or certificates that is read, bytes.
const MAX_FILE: u64 = 1 << 20;

/// The options.
///
/// # Errors
/// The setting that is wrong or missing.
pub(super) fn options(s: &Settings) -> Result<NotifyOptions, Failure> {
    let mut o = NotifyOptions::default();
    let allowed = |text: &String| text.parse::<Allowed>().map_err(|e| Failure::usage(format!("`notify_allow`: {e}")));
    o.allow = s.notify_allow.iter().flatten().map(allowed).collect::<Result<_, _>>()?;
    if let Some(path) = &s.notify_ca {
        o.ca = read(path, "notify_ca")?;
        if !o.ca.contains("-----BEGIN CERTIFICATE-----") {
            return Err(Failure::usage(format!("`notify_ca`: {} has no certificate in PEM form", path.display())));
        }
    }
    put(&mut o.retry.0, s.notify_retry.map(|t| t.0));
    put(&mut o.retry.1, s.notify_retry_longest.map(|t| t.0));
    put(&mut o.give_up, s.notify_give_up.map(|t| t.0));
    put(&mut o.timeout, s.notify_timeout.map(|t| t.0));
    put(&mut o.keep, s.keep_records.map(|t| t.0));
    let too_short = |name: &str| Failure::usage(format!("`{name}` must be longer than 0 s"));
    for (name, time) in [("notify_retry", o.retry.0), ("notify_timeout", o.timeout), ("notify_give_up", o.give_up)] {
        if time.is_zero() {
            return Err(too_short(name));
        }
    }
    o.retry.1 = o.retry.1.max(o.retry.0);
    o.mail = mail(s)?;
    Ok(o)
}

fn mail(s: &Settings) -> Result<Option<MailOptions>, Failure> {
    let Some(relay) = &s.smtp_relay else {
        let lonely = [("mail_from", s.mail_from.is_some()), ("mail_domains", s.mail_domains.is_some())];
        return match lonely.iter().find(|(_, set)| *set) {
            Some((name, _)) => {
                Err(Failure::usage(format!("`{name}` is set, and `smtp_relay` is not: mail goes by a relay")))
            }
            None => Ok(None),
        };
    };
    let expected =
        || Failure::usage(format!("`smtp_relay` is `{relay}`: expected HOST or HOST:PORT, such as relay.lab.org:587"));
    let tls = match s.smtp_tls.unwrap_or(SmtpTls::Starttls) {
        SmtpTls::Starttls => MailTls::StartTls,
        SmtpTls::On => MailTls::Tls,
        SmtpTls::Off => MailTls::Off,
    };
    let default = match tls {
        MailTls::StartTls => 587,
        MailTls::Tls => 465,
        MailTls::Off => 25,
    };
    let (host, port) = match relay.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => relay.rsplit_once(':').map_or((relay.as_str(), None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(default), |port| port.parse().map_err(|_| expected()))?;
    if host.is_empty() || host.contains(['/', ' ', '@']) || port == 0 {
        return Err(expected());
    }
    let needs = |name: &str, what: &str| Failure::usage(format!("`smtp_relay` needs `{name}`, {what}"));
    let from = s.mail_from.clone().ok_or_else(|| needs("mail_from", "the sender, such as longhaul@lab.org"))?;
    let domains: Vec<String> = s.mail_domains.iter().flatten().map(|name| name.trim().to_ascii_lowercase()).collect();
    if domains.is_empty() {
        return Err(needs("mail_domains", "the domains to which mail may go, such as [\"lab.org\"]"));
    }
    let user = match (&s.smtp_user, &s.smtp_password_file) {
        (None, None) => None,
        (Some(_), _) if tls == MailTls::Off => {
            return Err(Failure::usage(
                "`smtp_user` is set, and `smtp_tls` is off: a password is not sent in the clear",
            ));
        }
        (Some(user), Some(path)) => {
            let cannot = |e: &dyn std::error::Error| {
                Failure::usage(format!("cannot use the password in {}: {}", path.display(), words::chain(e)))
            };
            private::check_secret(path).map_err(|e| cannot(&e))?;
            Some((user.clone(), read(path, "smtp_password_file")?.trim().to_owned()))
        }
        (Some(_), None) => {
            return Err(Failure::usage("`smtp_user` needs `smtp_password_file`, a file with its password"));
        }
        (None, Some(_)) => return Err(Failure::usage("`smtp_password_file` is a user's: set `smtp_user` too")),
    };
    let mail = MailOptions { host: host.to_owned(), port, tls, user, from, domains };
    mail.check().map_err(|error| Failure::usage(format!("`mail_from`: {error}")))?;
    Ok(Some(mail))
}

fn read(path: &std::path::Path, name: &str) -> Result<String, Failure> {
    let cannot = |e: std::io::Error| Failure::usage(format!("`{name}`: cannot read {}: {e}", path.display()));
    if std::fs::metadata(path).map_err(cannot)?.len() > MAX_FILE {
        return Err(Failure::usage(format!("`{name}`: {} is too large", path.display())));
    }
    std::fs::read_to_string(path).map_err(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailing() -> Settings {
        Settings {
            smtp_relay: Some("relay.lab:2525".to_owned()),
            mail_from: Some("longhaul@lab.org".to_owned()),
            mail_domains: Some(vec!["Lab.org".to_owned()]),
            ..Settings::default()
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        #[track_caller]
        fn check(settings: Settings, want: &str) {
            let error = options(&settings).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        let text = |text: &str| Some(text.to_owned());
        check(Settings { notify_allow: Some(vec!["10.0.0.0/99".to_owned()]), ..Settings::default() }, "`notify_allow`");
        check(Settings { notify_ca: Some("/nowhere/ca.pem".into()), ..Settings::default() }, "`notify_ca`");
        check(Settings { mail_from: text("a@lab.org"), ..Settings::default() }, "`smtp_relay` is not");
        check(Settings { mail_from: None, ..mailing() }, "needs `mail_from`");
        check(Settings { mail_from: text("longhaul"), ..mailing() }, "`mail_from`");
        check(Settings { mail_domains: None, ..mailing() }, "needs `mail_domains`");
        check(Settings { smtp_relay: text("relay:x"), ..mailing() }, "expected HOST");
        check(Settings { smtp_user: text("u"), ..mailing() }, "needs `smtp_password_file`");
        check(Settings { smtp_user: text("u"), smtp_tls: Some(SmtpTls::Off), ..mailing() }, "in the clear");
        let mail = options(&mailing()).unwrap().mail.unwrap();
        assert_eq!((mail.host.as_str(), mail.port, mail.tls), ("relay.lab", 2525, MailTls::StartTls));
        assert_eq!(mail.domains, ["lab.org"]);
    }
}
