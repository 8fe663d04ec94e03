//! TLS with a certificate in files, which are read again when they change: renewals need no restart.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What tells that a file is another one than before: when it was changed, its inode, its length.
type State = (SystemTime, u64, u64);

/// A certificate and its key.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    read: Mutex<(Option<[State; 2]>, Arc<ServerConfig>)>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificate {chain} with the key {key} cannot be used: {why}")]
pub struct CertificateError {
    chain: PathBuf,
    key: PathBuf,
    why: String,
}

impl Certificate {
    /// Reads a certificate, with those between it and its authority, and its key; both in PEM.
    ///
    /// # Errors
    /// If they cannot be read, or do not belong together.
    pub fn read(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let changed = changed(chain, key);
        let config = config(chain, key).map_err(|why| CertificateError { chain: chain.to_owned(), key: key.to_owned(), why })?;
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), read: Mutex::new((changed, Arc::new(config))) })
    }

    /// Shakes hands, with the newest certificate that is whole.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.newest()).accept(stream).await
    }

    fn newest(&self) -> Arc<ServerConfig> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = changed(&self.chain, &self.key);
        if changed.is_some() && changed != read.0 {
            read.0 = changed;
            match config(&self.chain, &self.key) {
                Ok(config) => {
                    tracing::info!("the certificate {} has changed and is used from now on", self.chain.display());
                    read.1 = Arc::new(config);
                }
                // The other file may be on its way.
                Err(why) => {
                    tracing::warn!("the certificate {} has changed and cannot be used, so the old one is: {why}", self.chain.display())
                }
            }
        }
        Arc::clone(&read.1)
    }
}

fn changed(chain: &Path, key: &Path) -> Option<[State; 2]> {
    let state = |path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.ino(), metadata.len()))
    };
    Some([state(chain)?, state(key)?])
}

fn config(chain: &Path, key: &Path) -> Result<ServerConfig, String> {
    let certificates =
        CertificateDer::pem_file_iter(chain).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| error.to_string())?;
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.with_no_client_auth().with_single_cert(certificates, key).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
