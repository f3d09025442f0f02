//! How a client connects: by which transport, and what it believes of the other side.

use longhaul_proto::{api::CA_CERTIFICATE, faults};
use reqwest::{Certificate, Method};

use super::{ANSWER, CONNECT, Client, ClientError};
use crate::access::Access;

/// Largest root certificate that is read, bytes.
const MAX_ROOT: usize = 64 * 1024;

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// When the HTTP library cannot be set up, or the root is no certificate.
    pub(crate) fn new(url: &str, access: Access) -> Result<Self, ClientError> {
        let setup = |source| ClientError::Setup { source };
        let http = Self::builder();
        let http = match (&access.root, &access.socket) {
            (_, Some(socket)) => http.unix_socket(socket.as_path()).tls_certs_only([]),
            // The system's roots are read where they are needed only. A proxy of the environment would get the token: what is
            // in the clear goes to the gateway itself.
            _ if !url.starts_with("https:") => http.tls_certs_only([]).no_proxy(),
            (Some(root), _) => http.tls_certs_only(Certificate::from_pem_bundle(root.pem.as_bytes()).map_err(setup)?),
            (None, _) => http,
        };
        let any = faults::bug("any_certificate");
        let http = http.tls_danger_accept_invalid_certs(any).tls_info(true).build().map_err(setup)?;
        let url = url.trim_end_matches('/').to_owned();
        let base = match (&access.socket, url.split_once("://")) {
            (Some(_), Some((_, place))) => format!("http://{place}"),
            _ => url.clone(),
        };
        let pinned = access.root.filter(|root| root.pinned).map(|root| root.file);
        Ok(Self { http, url, base, token: access.token, pinned })
    }

    fn builder() -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("longhaul/", env!("CARGO_PKG_VERSION")))
    }

    /// The root that a gateway tells, PEM, over a connection to whatever answers there: to be believed for its
    /// fingerprint alone. No token is sent.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn root_of(url: &str) -> Result<String, ClientError> {
        let http = Self::builder().tls_danger_accept_invalid_certs(true).build();
        let http = http.map_err(|source| ClientError::Setup { source })?;
        let url = url.trim_end_matches('/').to_owned();
        let unknown = Self { http, base: url.clone(), url, token: None, pinned: None };
        let mut answer = unknown.send(unknown.request(Method::GET, CA_CERTIFICATE), ANSWER).await?;
        let mut text = Vec::new();
        while let Some(piece) = unknown.piece(&mut answer).await? {
            if text.len() + piece.len() > MAX_ROOT {
                return Err(ClientError::NotAGateway { url: unknown.url });
            }
            text.extend_from_slice(&piece);
        }
        String::from_utf8(text).map_err(|_| ClientError::NotAGateway { url: unknown.url })
    }

    /// The certificate that the gateway shows, DER; `None` = it was spoken to in the clear.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn certificate(&self) -> Result<Option<Vec<u8>>, ClientError> {
        let answer = self.send(self.request(Method::GET, "/healthz"), CONNECT).await?;
        let tls = answer.extensions().get::<reqwest::tls::TlsInfo>();
        Ok(tls.and_then(|tls| tls.peer_certificate()).map(<[u8]>::to_vec))
    }
}
