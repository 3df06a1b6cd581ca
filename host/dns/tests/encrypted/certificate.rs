//! Certificates: read from disk, swapped while connections are open.

use std::fs;
use std::path::Path;

use weir_dns::certificate::{Certificate, CertificateError};

use crate::clients::{ask, encrypted, framed, https, post, quic, request, stream, tls, www};
use crate::serve::{Fixture, Pair};
use weir_core::dns::answer::Transport;

#[tokio::test]
async fn new_connections_see_the_new_certificate_and_open_ones_go_on() {
    let mut fixture = Fixture::start();
    let (mut over_tls, mut over_https, over_quic) =
        (tls(&fixture).await, https(&fixture).await, quic(&fixture).await);
    let new = Pair::new();
    fixture.server.set_certificate(new.read());
    // Who believes the old one only, is not served by the new one.
    for (transport, protocol) in [(Transport::Tls, &b"dot"[..]), (Transport::Https, b"h2")] {
        assert!(encrypted(&fixture, transport, &[protocol]).await.is_err());
    }
    fixture.pair = new;
    assert!(ask(&mut tls(&fixture).await, &www(1)).await.is_ok());
    assert_eq!(request(&mut https(&fixture).await, post(), &www(1)).await.unwrap().status, 200);
    assert!(stream(&quic(&fixture).await.1, &framed(&www(0))).await.is_ok());

    assert!(ask(&mut over_tls, &www(1)).await.is_ok());
    assert_eq!(request(&mut over_https, post(), &www(1)).await.unwrap().status, 200);
    assert!(stream(&over_quic.1, &framed(&www(0))).await.is_ok());
}

#[test]
fn what_is_no_pair_of_certificate_and_key_is_refused_and_named() {
    let (one, other) = (Pair::new(), Pair::new());
    let file = |pair: &Pair, name: &str| pair.folder.path().join(name);
    let (certificate, key) = (file(&one, "crt"), file(&one, "key"));
    let refused = |certificate: &Path, key: &Path| Certificate::read(certificate, key).unwrap_err();

    let error = refused(&certificate, &file(&other, "key"));
    assert!(matches!(error, CertificateError::NoPair { .. }), "{error}");
    assert!(error.to_string().contains("is not the key of the first certificate in"), "{error}");
    let error = refused(&file(&one, "none"), &key);
    assert!(matches!(&error, CertificateError::Read { path, .. } if path.ends_with("none")), "{error}");
    // The two in each other's place.
    assert!(matches!(refused(&key, &key), CertificateError::NoCertificate(_)));
    assert!(matches!(refused(&certificate, &certificate), CertificateError::NoKey(_)));

    let bad = file(&one, "bad");
    for (text, why) in [
        ("", "nothing"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate within"),
        ("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "no base64"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "cut short"),
    ] {
        fs::write(&bad, text).unwrap();
        assert!(Certificate::read(&bad, &key).is_err(), "{why}");
    }
    fs::write(&bad, vec![b'x'; (1 << 20) + 1]).unwrap();
    assert!(matches!(refused(&bad, &key), CertificateError::Long(_)));
}

#[test]
fn keys_of_all_usual_forms_are_read_and_a_chain_with_them() {
    // Made with `openssl`, which has the older forms.
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let openssl = |line: &str| {
        let output =
            std::process::Command::new("openssl").args(line.split(' ')).current_dir(&folder).output();
        let Ok(output) = output else { return false };
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        true
    };
    if !openssl("ecparam -name prime256v1 -genkey -noout -out sec1") {
        return;
    }
    openssl("pkcs8 -topk8 -nocrypt -in sec1 -out pkcs8");
    openssl("req -x509 -new -key sec1 -subj /CN=dns.test -out crt");
    openssl("genrsa -traditional -out pkcs1 2048");
    openssl("req -x509 -new -key pkcs1 -subj /CN=dns.test -out crt-rsa");
    for (certificate, key) in [("crt", "sec1"), ("crt", "pkcs8"), ("crt-rsa", "pkcs1")] {
        assert!(Certificate::read(&at(certificate), &at(key)).is_ok(), "{key}");
    }
    fs::write(at("chain"), [fs::read(at("crt")).unwrap(), fs::read(at("crt-rsa")).unwrap()].concat())
        .unwrap();
    assert!(Certificate::read(&at("chain"), &at("sec1")).is_ok());
    assert!(matches!(Certificate::read(&at("chain"), &at("pkcs1")), Err(CertificateError::NoPair { .. })));
}
