//! How TLS is set: version 1.3 alone, a post-quantum key exchange, a certificate from each side.
//!
//! The verifiers check that the other side holds the private key of the certificate that it shows. They do not check
//! who that is: names, issuers and dates in the certificate mean nothing, its key is looked up among the pins.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage, ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};
use sha2::{Digest, Sha256};

use super::channel::Fingerprint;

/// The protocol inside, as TLS names it: not `h2`, so that HTTP over TLS for clients can have the same port and another
/// certificate.
pub(super) const SPOKEN: &[u8] = b"longhaul";

/// The fingerprint of a certificate's key.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> Result<Fingerprint, Error> {
    let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    Ok(Fingerprint(Sha256::digest(key.as_ref()).into()))
}

pub(super) fn client(
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(HoldsItsKey(provider)))
        .with_client_auth_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))?;
    config.alpn_protocols = vec![SPOKEN.to_vec()];
    // Every connection shows its keys itself.
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

pub(super) fn server(
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(HoldsItsKey(provider)))
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))?;
    config.alpn_protocols = vec![SPOKEN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[derive(Debug)]
struct HoldsItsKey(Arc<CryptoProvider>);

/// The methods on signatures that both verifier traits require, in the same words.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("TLS 1.3 alone is spoken".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for HoldsItsKey {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        fingerprint(certificate).map(|_| ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for HoldsItsKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        fingerprint(certificate).map(|_| ClientCertVerified::assertion())
    }

    signatures!();
}
