//! Whom to trust at the other end of a line.

use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// Trusts the authorities that the system trusts, among them people's own; and uses the cryptography that we have anyway.
pub(super) fn tls(endpoint: &str) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if !endpoint.starts_with("http:") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
