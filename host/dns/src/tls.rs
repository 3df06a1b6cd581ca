//! The certificate that is shown, and what is agreed on before a byte of DNS.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::certificate::Certificate;

/// What clients may agree on (ALPN): DNS over TLS, HTTP/2, DNS over QUIC.
pub(crate) const DOT: &[u8] = b"dot";
pub(crate) const HTTP2: &[u8] = b"h2";
pub(crate) const DOQ: &[u8] = b"doq";

/// TLS 1.2 is what older resolvers have; QUIC is made on 1.3.
pub(crate) const STREAM_VERSIONS: &[&SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];
pub(crate) const QUIC_VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The certificate of now. Handshakes look at it without a lock.
#[derive(Debug)]
pub(crate) struct Current(ArcSwap<CertifiedKey>);

impl Current {
    pub(crate) fn new(certificate: Certificate) -> Arc<Self> {
        Arc::new(Self(ArcSwap::new(certificate.key)))
    }

    /// Shows this one from the next handshake on.
    pub(crate) fn set(&self, certificate: Certificate) {
        self.0.store(certificate.key);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// What one thread agrees on with its clients. No data comes before the handshake is over (0-RTT): it could be sent again by others.
///
/// # Errors
/// Where the machine has no random numbers.
pub(crate) fn config(
    current: &Arc<Current>,
    versions: &[&'static SupportedProtocolVersion],
    protocol: &[u8],
) -> Result<ServerConfig, rustls::Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth();
    let mut config = config.with_cert_resolver(Arc::clone(current) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![protocol.to_vec()];
    // Sessions are kept by clients: resolvers come again for days, and a list of them here would be a lock and a limit.
    config.ticketer = Ticketer::new()?;
    Ok(config)
}
