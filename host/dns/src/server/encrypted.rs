//! Listeners and threads of encrypted transports: one thread for each transport that is wanted, beside the one for TCP.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use weir_core::dns::answer::Transport;

use super::{Server, StartError};
use crate::certificate::Certificate;
use crate::tcp::{self, Speech};
use crate::thread::Limits;
use crate::tls::{self, Current};
use crate::{listen, quic};

/// What is listened to over TLS, HTTPS and QUIC.
#[derive(Debug)]
pub struct Encrypted {
    /// What clients are shown at first.
    pub certificate: Certificate,
    /// Addresses for TLS.
    pub tls: Vec<SocketAddr>,
    /// Addresses for HTTPS.
    pub https: Vec<SocketAddr>,
    /// The path of queries over HTTPS, from `/` on.
    pub https_path: String,
    /// Addresses for QUIC, over UDP.
    pub quic: Vec<SocketAddr>,
    /// How long a connection may take until it is encrypted.
    pub handshake: Duration,
}

impl Encrypted {
    /// How many transports there are.
    pub(super) fn transports(&self) -> usize {
        [&self.tls, &self.https, &self.quic].iter().filter(|list| !list.is_empty()).count()
    }

    /// Opens the sockets.
    pub(super) fn bind(self, limits: Limits) -> Result<Bound, StartError> {
        let at = |field| move |address: SocketAddr| move |cause| StartError::Listen { field, address, cause };
        let streams = |addresses: &[SocketAddr], field| {
            let open = |address: &SocketAddr| listen::stream(*address).map_err(at(field)(*address));
            addresses.iter().map(open).collect::<Result<Vec<_>, _>>()
        };
        let current = Current::new(self.certificate);
        let mut threads = Vec::new();
        let tls = streams(&self.tls, "dns.tls.listen")?;
        if !tls.is_empty() {
            let config = tls::config(&current, tls::STREAM_VERSIONS, tls::DOT)?;
            threads.push(Loop::Streams(Transport::Tls, tls, Speech::tls(config)));
        }
        let https = streams(&self.https, "dns.tls.https")?;
        if !https.is_empty() {
            let config = tls::config(&current, tls::STREAM_VERSIONS, tls::HTTP2)?;
            threads.push(Loop::Streams(
                Transport::Https,
                https,
                Speech::https(config, self.https_path.into()),
            ));
        }
        let open = |address: &SocketAddr| listen::quic(*address).map_err(at("dns.tls.quic")(*address));
        let quic = self.quic.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        if !quic.is_empty() {
            let config = tls::config(&current, tls::QUIC_VERSIONS, tls::DOQ)?;
            let config = quic::config(config, limits.idle);
            let config = config.ok_or_else(|| rustls::Error::General("QUIC cannot be had".to_owned()))?;
            threads.push(Loop::Quic(quic, config));
        }
        let mut listening = Vec::new();
        for thread in &threads {
            thread.listening(&mut listening)?;
        }
        Ok(Bound { current: Some(current), threads, listening })
    }
}

/// Sockets that are open, and the certificate that is shown there.
#[derive(Default)]
pub(super) struct Bound {
    current: Option<Arc<Current>>,
    threads: Vec<Loop>,
    listening: Vec<(Transport, SocketAddr)>,
}

/// What one thread is going to do.
enum Loop {
    Streams(Transport, Vec<TcpListener>, Speech),
    Quic(Vec<UdpSocket>, quinn::ServerConfig),
}

impl Loop {
    fn listening(&self, listening: &mut Vec<(Transport, SocketAddr)>) -> Result<(), StartError> {
        match self {
            Self::Streams(transport, listeners, _) => {
                for listener in listeners {
                    listening.push((*transport, listener.local_addr()?));
                }
            }
            Self::Quic(sockets, _) => {
                for socket in sockets {
                    listening.push((Transport::Quic, socket.local_addr()?));
                }
            }
        }
        Ok(())
    }
}

impl Bound {
    pub(super) fn listening(&self) -> &[(Transport, SocketAddr)] {
        &self.listening
    }

    pub(super) fn set_certificate(&self, certificate: Certificate) {
        if let Some(current) = &self.current {
            current.set(certificate);
        }
    }
}

impl Server {
    /// Starts the threads.
    pub(super) fn run_encrypted(&mut self) -> Result<(), StartError> {
        for thread in std::mem::take(&mut self.encrypted.threads) {
            match thread {
                Loop::Streams(transport, listeners, speech) => {
                    let name = format!("dns {}", transport.as_str());
                    self.spawn(&name, transport, move |thread, stop| async move {
                        tcp::run(listeners, thread, speech, &stop).await;
                    })?;
                }
                Loop::Quic(sockets, config) => {
                    self.spawn("dns quic", Transport::Quic, move |thread, stop| async move {
                        quic::run(sockets, thread, config, &stop).await;
                    })?;
                }
            }
        }
        Ok(())
    }
}
