//! Sources on other servers: read over HTTP, without redirects, and from public addresses only, unless the
//! configuration permits others. Whoever may copy must not reach by it what only this server can reach.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc;
use welkin_pki::{ServerAuth, client_config};
use welkin_storage::blob::read::ByteRange;
use welkin_storage_wire::blob::copy::{self, SourceUrl};
use welkin_storage_wire::{ErrorCode, ProtocolError};

use super::CopiesError;
use crate::config::CopyConfig;

/// A connection to a source is made within this time.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// A source that sends nothing for this long is given up.
const READ_TIME_MAX: Duration = Duration::from_secs(60);
/// Pieces that are read ahead.
const READ_AHEAD: usize = 2;
/// Addresses that are not public (the registries of special-purpose addresses, RFC 6890), multicast ones, and those
/// that carry an address of IPv4 within.
const NOT_PUBLIC: [&str; 23] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    // Of IPv6, only 2000::/3 is given out, and not all of it.
    "::/3",
    "4000::/2",
    "8000::/1",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3ffe::/16",
    "3fff::/20",
];
static NETS: LazyLock<Vec<IpNet>> =
    LazyLock::new(|| NOT_PUBLIC.iter().filter_map(|net| net.parse().ok()).collect());

/// Which addresses may be asked.
#[derive(Debug, Clone)]
struct Permitted(Arc<Vec<IpNet>>);

impl Permitted {
    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        within(&self.0) || !within(&NETS)
    }
}

/// Only these addresses of a name are connected to, so that what was checked is what is asked.
impl Resolve for Permitted {
    fn resolve(&self, name: Name) -> Resolving {
        let permitted = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.filter(|address| permitted.has(address.ip())).collect();
            match addresses.is_empty() {
                true => Err(Box::<dyn Error + Send + Sync>::from(NOT_PERMITTED)),
                false => Ok(Box::new(addresses.into_iter()) as Addrs),
            }
        })
    }
}

const NOT_PERMITTED: &str = "its address is not one that this server may ask";

/// Reads sources on other servers.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    client: reqwest::Client,
    permitted: Permitted,
}

/// The answer of a source, whose body has not been read yet.
#[derive(Debug)]
pub(crate) struct Answer(reqwest::Response);

impl Client {
    pub(super) fn new(config: &CopyConfig) -> Result<Self, CopiesError> {
        let permitted = Permitted(Arc::new(config.private_sources.clone()));
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(config.authority.as_deref())?)
            .dns_resolver(permitted.clone())
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIME_MAX)
            .read_timeout(READ_TIME_MAX)
            .build();
        let client = client.map_err(|error| CopiesError::Client(error.to_string()))?;
        Ok(Self { client, permitted })
    }

    /// Asks for a source; `headers` are conditions, a range and a token.
    ///
    /// # Errors
    /// With what the source's server says, or why it cannot be asked.
    pub(crate) async fn get(
        &self,
        url: &SourceUrl,
        mut headers: HeaderMap,
        range: Option<ByteRange>,
    ) -> Result<Answer, ProtocolError> {
        let unreadable = |why: &str| {
            let message = format!("The source of the copy cannot be read: {why}.");
            ProtocolError::saying(ErrorCode::CannotVerifyCopySource, message)
        };
        let url =
            reqwest::Url::parse(&url.uri().to_string()).map_err(|error| unreadable(&error.to_string()))?;
        let literal = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if literal.is_some_and(|address| !self.permitted.has(address)) {
            return Err(unreadable(NOT_PERMITTED));
        }
        if let Some(range) = range {
            let last = range.last.map(|last| last.to_string()).unwrap_or_default();
            let value = format!("bytes={}-{last}", range.first).parse();
            headers.insert(header::RANGE, value.map_err(|_| ErrorCode::InvalidInput)?);
        }
        // An error of the client names the URL, which holds secrets.
        let sent = self.client.get(url).headers(headers).send().await.map_err(reqwest::Error::without_url);
        let answer = sent.map_err(|error| {
            // What a connection fails of would tell the client about hosts that it cannot reach itself.
            tracing::info!(why = innermost(&error), "the source of a copy cannot be reached");
            unreadable("it cannot be reached")
        })?;
        match (answer.status(), range) {
            (StatusCode::OK, None) => Ok(Answer(answer)),
            (StatusCode::PARTIAL_CONTENT, Some(range)) if has_range(answer.headers(), range) => {
                Ok(Answer(answer))
            }
            (StatusCode::OK | StatusCode::PARTIAL_CONTENT, Some(_)) => {
                Err(unreadable("its server does not send the range that it is asked for"))
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => Err(ErrorCode::InvalidRange.into()),
            (StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED, _) => {
                Err(ErrorCode::SourceConditionNotMet.into())
            }
            (status, _) => {
                let error = unreadable(&format!("its server answers {status}"));
                let code = answer.headers().get("x-ms-error-code").and_then(|code| code.to_str().ok());
                Err(copy::of_source(error, status, code))
            }
        }
    }
}

/// Whether an answer says that it has the range: from its first byte on, and not beyond its last.
fn has_range(headers: &HeaderMap, range: ByteRange) -> bool {
    let told =
        headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("bytes "));
    let ends = told.and_then(|told| told.split_once('/')?.0.split_once('-'));
    let Some((Ok(first), Ok(last))) = ends.map(|(first, last)| (first.parse::<u64>(), last.parse::<u64>()))
    else {
        return false;
    };
    first == range.first && range.last.is_none_or(|asked| last <= asked)
}

/// What is at the bottom of an error; those above it say only that something failed.
fn innermost(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => innermost(source),
        None => error.to_string(),
    }
}

impl Answer {
    /// Its headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// How long the body is, where the server says it.
    pub(crate) fn length_bytes(&self) -> Option<u64> {
        self.0.content_length()
    }

    /// The body, read a little ahead. One that breaks off is an error.
    pub(crate) fn body(mut self) -> mpsc::Receiver<io::Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        tokio::spawn(async move {
            loop {
                let piece = match self.0.chunk().await {
                    Ok(Some(bytes)) => Ok(bytes),
                    Ok(None) => return,
                    Err(error) => Err(io::Error::other(innermost(&error.without_url()))),
                };
                let failed = piece.is_err();
                if sender.send(piece).await.is_err() || failed {
                    return;
                }
            }
        });
        receiver
    }
}

/// TLS with the authority of the configuration, or those that the system trusts.
fn tls(authority: Option<&Path>) -> Result<ClientConfig, CopiesError> {
    if let Some(path) = authority {
        let failed = |source| CopiesError::File { path: path.to_owned(), source };
        let pem = std::fs::read_to_string(path).map_err(failed)?;
        return Ok(client_config(None, ServerAuth::Authority(pem))?.as_ref().clone());
    }
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(CopiesError::NoAuthority);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| CopiesError::Client(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(NETS.len(), NOT_PUBLIC.len());
        let permitted = Permitted(Arc::new(vec!["10.1.0.0/16".parse().unwrap(), "::1/128".parse().unwrap()]));
        for (address, expected) in [
            ("8.8.8.8", true),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("10.1.2.3", true),
            ("169.254.169.254", false),
            ("172.31.255.255", false),
            ("172.32.0.0", true),
            ("192.168.1.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("::1", true),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::7f00:1", false),
            ("2002:7f00:1::", false),
            ("::ffff:0:7f00:1", false),
            ("5f00::1", false),
            ("ff02::1", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("2606:4700::1111", true),
        ] {
            assert_eq!(permitted.has(address.parse().unwrap()), expected, "{address}");
        }
        let none = Permitted(Arc::new(Vec::new()));
        assert!(!none.has(Ipv6Addr::LOCALHOST.into()));
    }
}
