//! Others' clients of encrypted transports: what `dig` and `kdig` of Debian make of our TLS, HTTPS and QUIC.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::command;
use crate::fleet::DnsTls;
use crate::install::{Unpacked, unpacked};

/// The name in the certificate.
const HOST: &str = "dns.test";

/// What is asked with which options, over what, and what must be in the output. `dig` prints sizes and options in its own words, `kdig`
/// in others, and pads unless it is told not to.
const ASKED: [(Client, Over, &[&str], &[&str]); 11] = [
    (Client::Dig, Over::Tls, &[], &["status: NOERROR", "192.0.2.1", "(TLS)"]),
    (
        Client::Dig,
        Over::Tls,
        &["+keepalive", "+padding=64"],
        &["TCP KEEPALIVE: 30.0 secs", "; PAD", "rcvd: 468"],
    ),
    (Client::Dig, Over::Https("+https"), &[], &["status: NOERROR", "192.0.2.1", "(HTTPS)"]),
    (Client::Dig, Over::Https("+https-post"), &["+padding=64"], &["192.0.2.1", "; PAD", "rcvd: 468"]),
    (Client::Dig, Over::Https("+https-get"), &[], &["status: NOERROR", "192.0.2.1", "(HTTPS-GET)"]),
    (
        Client::Kdig,
        Over::Tls,
        &[],
        &["TLS, The certificate is trusted", "192.0.2.1", "PADDING:", "Received 468 B"],
    ),
    (Client::Kdig, Over::Tls, &["+nopadding"], &["TLS session (TLS1.3)", "192.0.2.1", "Received 49 B"]),
    (
        Client::Kdig,
        Over::Https("+https"),
        &[],
        &["(HTTP/2-POST)-(dns.test/dns-query)-(status: 200)", "192.0.2.1"],
    ),
    (
        Client::Kdig,
        Over::Https("+https-get"),
        &[],
        &["(HTTP/2-GET)-(dns.test/dns-query)-(status: 200)", "192.0.2.1"],
    ),
    (Client::Kdig, Over::Quic, &[], &["QUIC session (QUICv1)", "192.0.2.1", "PADDING:", "Received 468 B"]),
    (
        Client::Kdig,
        Over::Quic,
        &["+nopadding"],
        &["TLS, The certificate is trusted", "192.0.2.1", "Received 49 B"],
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Dig,
    Kdig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Tls,
    /// By this option.
    Https(&'static str),
    Quic,
}

/// The programs.
pub(crate) struct Programs {
    openssl: Unpacked,
    dig: Unpacked,
    kdig: Unpacked,
}

impl Programs {
    /// Finds or unpacks them.
    pub(crate) fn get() -> Result<Self> {
        let found =
            unpacked(&[("openssl", "openssl"), ("bind9-dnsutils", "dig"), ("knot-dnsutils", "kdig")])?;
        let [openssl, dig, kdig] = found.as_slice() else { bail!("three programs were asked for") };
        Ok(Self { openssl: openssl.clone(), dig: dig.clone(), kdig: kdig.clone() })
    }

    /// Makes a certificate in this folder, for a server that listens here.
    pub(crate) fn certificate(&self, folder: &Path, [tls, https, quic]: [SocketAddr; 3]) -> Result<DnsTls> {
        let (certificate, key) = (folder.join("dns.crt"), folder.join("dns.key"));
        let mut openssl = Command::new(&self.openssl.program);
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-days", "2", "-subj", &format!("/CN={HOST}")]);
        openssl.args(["-addext", &format!("subjectAltName=DNS:{HOST}")]);
        openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        self.openssl.put_into(&mut openssl);
        command::successful(&mut openssl, &folder.join("openssl.log"))?;
        Ok(DnsTls { certificate, key, listen: vec![tls], https: vec![https], quic: vec![quic] })
    }

    /// Asks for an address of `name`, which is 192.0.2.1, in all ways. Returns in how many.
    pub(crate) fn ask(&self, name: &str, server: &DnsTls, log: &Path) -> Result<usize> {
        for (client, over, options, wanted) in ASKED {
            let ports = match over {
                Over::Tls => &server.listen,
                Over::Https(_) => &server.https,
                Over::Quic => &server.quic,
            };
            let at = ports.first().context("nothing is listened to")?;
            let program = match client {
                Client::Dig => &self.dig,
                Client::Kdig => &self.kdig,
            };
            let mut asking = Command::new(&program.program);
            program.put_into(&mut asking);
            asking.arg(format!("@{}", at.ip())).args(["-p", &at.port().to_string(), name, "A"]);
            // With these a certificate that is not ours is an error.
            asking.arg(format!("+tls-ca={}", server.certificate.display()));
            asking.arg(format!("+tls-hostname={HOST}")).args(options);
            // Last: to kdig an option of TLS means TLS over TCP.
            asking.arg(match over {
                Over::Tls => "+tls",
                Over::Https(option) => option,
                Over::Quic => "+quic",
            });
            if client == Client::Kdig {
                asking.arg("-d");
            }
            let said = command::successful(&mut asking, log)?.text;
            for words in wanted {
                ensure!(said.contains(words), "{} lacks `{words}`:\n{said}", command::shown(&asking));
            }
        }
        Ok(ASKED.len())
    }
}
