//! Mail, by the relay that the operator configured.

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    message::{
        Mailbox, Message as Email,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};
use longhaul_proto::visible;

use super::{Failed, message::Letter, webhook::roots};
use crate::options::notify::{MailOptions, MailTls, NotifyOptions};

/// Longest subject, characters.
const MAX_SUBJECT: usize = 160;

/// The way to the relay. Each mail has a connection of its own.
#[derive(Clone)]
pub(super) struct Relay {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Address,
}

impl Relay {
    /// The relay of the configuration.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn new(options: &NotifyOptions, mail: &MailOptions) -> Result<Self, String> {
        let from: Address = mail.from.parse().map_err(|error| format!("`mail_from`: {error}"))?;
        let tls = || -> Result<TlsParameters, String> {
            let mut parameters = TlsParameters::builder(mail.host.clone());
            for root in roots(&options.ca)? {
                let root = Certificate::from_der(root.to_vec()).map_err(|error| error.to_string())?;
                parameters = parameters.add_root_certificate(root);
            }
            parameters.build().map_err(|error| error.to_string())
        };
        let tls = match mail.tls {
            MailTls::StartTls => Tls::Required(tls()?),
            MailTls::Tls => Tls::Wrapper(tls()?),
            MailTls::Off => Tls::None,
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(mail.host.clone())
            .port(mail.port)
            .tls(tls)
            .hello_name(ClientId::Domain(from.domain().to_owned()))
            .timeout(Some(options.timeout));
        let builder = match &mail.user {
            Some((user, password)) => builder.credentials(Credentials::new(user.clone(), password.clone())),
            None => builder,
        };
        Ok(Self { transport: builder.build(), from })
    }

    /// Sends a letter; `id` is the same at each try.
    pub(super) async fn send(
        &self,
        options: &NotifyOptions,
        to: &Address,
        id: &str,
        letter: &Letter,
    ) -> Result<(), Failed> {
        let email = self.email(to, id, letter).map_err(Failed::last)?;
        match tokio::time::timeout(options.timeout, self.transport.send(email)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let words = visible::line(&longhaul_proto::words::chain(&error)).into_owned();
                let words = format!("the mail relay: {words}");
                Err(match error.status() {
                    // It said no for good, such as to a recipient that it does not know.
                    Some(_) if error.is_permanent() => Failed::last(words),
                    Some(_) => Failed::later(words),
                    None => Failed::silent(words),
                })
            }
            Err(_) => {
                Err(Failed::silent(format!("the mail relay did not answer within {} s", options.timeout.as_secs_f64())))
            }
        }
    }

    /// The whole mail. No text of a run can add a line to its head: a subject is one line, and is encoded by the library.
    fn email(&self, to: &Address, id: &str, letter: &Letter) -> Result<Email, String> {
        let subject: String = visible::line(&letter.subject).chars().take(MAX_SUBJECT).collect();
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Email::builder()
            .from(Mailbox::new(Some("Longhaul".to_owned()), self.from.clone()))
            .to(Mailbox::new(None, to.clone()))
            .subject(subject)
            .message_id(Some(format!("<{id}@{}>", self.from.domain())))
            // RFC 3834: nothing answers it by itself.
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text.clone())
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_text_of_a_run_adds_a_line_to_the_head() {
        let mail = MailOptions {
            host: "relay.lab".to_owned(),
            port: 25,
            tls: MailTls::Off,
            user: None,
            from: "longhaul@lab.org".to_owned(),
            domains: vec!["lab.org".to_owned()],
        };
        let relay = Relay::new(&NotifyOptions::default(), &mail).unwrap();
        let letter = Letter {
            subject: "Longhaul: a\r\nBcc: eve@evil.org\u{2028}x ü failed".to_owned(),
            text: "Ünicode\r\n.\r\nQUIT\r\n".to_owned(),
        };
        let email = relay.email(&"ana@lab.org".parse().unwrap(), "end_1", &letter).unwrap();
        let text = String::from_utf8(email.formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        let names: Vec<_> = head
            .split("\r\n")
            .filter(|line| !line.starts_with(' '))
            .map(|line| line.split(':').next().unwrap())
            .collect();
        assert!(!names.contains(&"Bcc") && names.contains(&"Subject") && names.contains(&"Auto-Submitted"), "{text}");
        assert!(head.contains("Message-ID: <end_1@lab.org>"), "{text}");
        let to: Vec<_> = email.envelope().to().iter().map(ToString::to_string).collect();
        assert_eq!(to, ["ana@lab.org"]);
    }
}
