//! A certificate and its key, read from disk.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// The longest file that is read, bytes: chains have a few certificates of some KiB each.
const MAX_FILE: u64 = 1 << 20;

/// A certificate with those that vouch for it, and its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path}: {cause}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A file is longer than any chain.
    #[error("{0}: longer than {MAX_FILE} bytes: no certificate or key")]
    Long(PathBuf),
    /// A file is not in PEM.
    #[error("{path}: {cause}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: pem::Error,
    },
    /// The certificate's file has none.
    #[error("{0}: has no certificate (a block that begins with -----BEGIN CERTIFICATE-----)")]
    NoCertificate(PathBuf),
    /// The key's file has none.
    #[error("{0}: has no private key in PKCS#8, SEC1 or PKCS#1")]
    NoKey(PathBuf),
    /// The key is of a kind that is not known, or the certificate cannot be read.
    #[error("{key} and {certificate}: {cause}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        cause: rustls::Error,
    },
    /// The two are not one pair.
    #[error("{key} is not the key of the first certificate in {certificate}")]
    NoPair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

impl Certificate {
    /// Reads both files. The first certificate is the server's own.
    ///
    /// # Errors
    /// Where one of them cannot be used, or they do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let pem = |path: &Path| {
            let path = path.to_owned();
            |cause| CertificateError::Pem { path, cause }
        };
        let text = bounded(certificate)?;
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(pem(certificate))?;
        if chain.is_empty() {
            return Err(CertificateError::NoCertificate(certificate.to_owned()));
        }
        let secret = match PrivateKeyDer::from_pem_slice(&bounded(key)?) {
            Ok(secret) => secret,
            Err(pem::Error::NoItemsFound) => return Err(CertificateError::NoKey(key.to_owned())),
            Err(cause) => return Err(pem(key)(cause)),
        };
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        match CertifiedKey::from_der(chain, secret, &default_provider()) {
            Ok(pair) => Ok(Self { key: Arc::new(pair) }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::NoPair { certificate, key }),
            Err(cause) => Err(CertificateError::Unusable { certificate, key, cause }),
        }
    }
}

fn bounded(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
        .map_err(|cause| CertificateError::Read { path: path.to_owned(), cause })?;
    if text.len() as u64 > MAX_FILE {
        return Err(CertificateError::Long(path.to_owned()));
    }
    Ok(text)
}
