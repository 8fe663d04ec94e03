//! HTTP: one client for all requests of a store, which counts them and notes the server's time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use http::{Method, Request, Response};
use opendal::{Buffer, HttpBody, HttpTransport, HttpTransporter};
use opendal_http_transport_reqwest::ReqwestTransport;
use rustls::{ClientConfig, RootCertStore};

use crate::store::requests::{Counter, RequestKind, Requests};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(20);
/// How long what was sent may stay unacknowledged before the line counts as dead.
const DEAD: Duration = Duration::from_secs(60);
/// How often a silent connection is probed.
const PROBE: Duration = Duration::from_secs(20);

/// The client. Clones share connections and counts.
#[derive(Clone)]
pub(super) struct Transport {
    inner: ReqwestTransport,
    counter: Arc<Counter>,
    /// The server's time in its latest answer, in seconds since 1970.
    date: Arc<AtomicI64>,
}

/// No answer so far told a time.
const UNKNOWN: i64 = i64::MIN;

impl Transport {
    /// A client for a server.
    pub(super) fn new(endpoint: &str) -> io::Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(endpoint)?)
            .connect_timeout(CONNECT)
            .tcp_keepalive(PROBE)
            .tcp_user_timeout(DEAD)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("hearth-backup/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { inner: ReqwestTransport::new(client), counter: Arc::default(), date: Arc::new(AtomicI64::new(UNKNOWN)) })
    }

    /// As the library wants it.
    pub(super) fn erased(&self) -> HttpTransporter {
        HttpTransporter::new(self.clone())
    }

    /// The requests so far.
    pub(super) fn requests(&self) -> Requests {
        self.counter.read()
    }

    /// The server's time in its latest answer.
    pub(super) fn date(&self) -> Option<SystemTime> {
        let seconds = u64::try_from(self.date.load(Ordering::Relaxed)).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        self.counter.add(kind(&request));
        tracing::trace!("{} {}", request.method(), request.uri());
        let response = self.inner.fetch(request).await?;
        let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) {
            self.date.store(date.timestamp().as_second(), Ordering::Relaxed);
        }
        Ok(response)
    }
}

/// What a request is for, and how services bill it.
fn kind(request: &Request<Buffer>) -> RequestKind {
    let query = request.uri().query().unwrap_or_default();
    match *request.method() {
        Method::GET if query.contains("list-type=") => RequestKind::List,
        Method::GET => RequestKind::Get,
        Method::HEAD => RequestKind::Head,
        Method::DELETE => RequestKind::Delete,
        Method::POST if query.split('&').any(|word| word.trim_end_matches('=') == "delete") => RequestKind::Delete,
        _ => RequestKind::Put,
    }
}

/// Trusts the authorities that the system trusts, among them people's own; and uses the cryptography that we have anyway.
fn tls(endpoint: &str) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if endpoint.starts_with("https:") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
