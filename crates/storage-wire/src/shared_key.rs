//! Shared Key: a request is signed with one of the account's two keys (STORAGE, section 0.1).
//!
//! A server calls [`verify`]; a client calls [`authorize`]:
//!
//! ```
//! use welkin_storage_wire::{Service, shared_key::{self, AccountKey}};
//! let key = AccountKey::from_base64("c2VjcmV0")?;
//! let mut headers = http::HeaderMap::new();
//! headers.insert("x-ms-date", "Tue, 24 Nov 2026 11:00:00 GMT".parse()?);
//! headers.insert("x-ms-version", "2021-10-04".parse()?);
//! let url = "http://127.0.0.1:10000/account/container/blob?comp=metadata".parse()?;
//! let value = shared_key::authorize("account", &key, Service::Blob, &http::Method::GET, &url, &headers)?;
//! headers.insert("authorization", value.parse()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sign when all other headers are set, `content-length` too (of a body that is not empty).

mod order;

use std::cmp::Ordering;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, Method, Uri, header};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::error::{ErrorCode, ProtocolError};
use crate::operation::Service;
use crate::query::Query;
use crate::request::RequestHead;

/// From this version on an empty body has an empty Content-Length in the text to sign.
const EMPTY_LENGTH_SINCE: &str = "2015-02-21";
/// Before this version Shared Key had the form that is now called Lite.
const FULL_FORM_SINCE: &str = "2009-09-19";

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const MS_DATE: HeaderName = HeaderName::from_static("x-ms-date");

/// People paste keys without their padding, or with stray bits at the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A storage account key. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountKey(Vec<u8>);

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountKey(..)")
    }
}

/// Why a text is not an account key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the storage account key is not base64")]
pub struct KeyError;

impl AccountKey {
    /// Decodes a key as people copy it.
    ///
    /// # Errors
    /// When it is not base64.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        LENIENT.decode(text.trim()).map(Self).map_err(|_| KeyError)
    }

    /// A key of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The HMAC-SHA256 of the text, in base64.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        STANDARD.encode(self.mac(text))
    }

    /// Whether `signature`, in base64, is that of the text. Takes the same time wherever they differ.
    #[must_use]
    pub fn verifies(&self, text: &str, signature: &str) -> bool {
        STANDARD.decode(signature).is_ok_and(|signature| self.has_made(&signature, text))
    }

    fn has_made(&self, signature: &[u8], text: &str) -> bool {
        self.mac(text).ct_eq(signature).into()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn mac(&self, text: &str) -> Vec<u8> {
        // HMAC takes keys of any length, so that the error cannot happen.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return Vec::new();
        };
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

/// The two forms of the text to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `SharedKey`.
    Full,
    /// `SharedKeyLite`.
    Lite,
}

/// What an `Authorization` header says.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The form.
    pub scheme: Scheme,
    /// The account that signs.
    pub account: &'a str,
    /// The signature in base64.
    pub signature: &'a str,
}

impl<'a> Signature<'a> {
    /// Parses `SharedKey account:signature`.
    ///
    /// # Errors
    /// When the value is in another form.
    pub fn parse(value: &'a str) -> Result<Self, ProtocolError> {
        let bad = || ProtocolError::from(ErrorCode::InvalidAuthenticationInfo);
        let (scheme, rest) = value.split_once(' ').ok_or_else(bad)?;
        let scheme = match scheme {
            "SharedKey" => Scheme::Full,
            "SharedKeyLite" => Scheme::Lite,
            _ => return Err(bad()),
        };
        let (account, signature) = rest.trim().split_once(':').ok_or_else(bad)?;
        Ok(Self { scheme, account, signature })
    }
}

/// Whether one of the account's keys signed the request. Every form of the text that a known client signs
/// is tried, the usual one first: which it was is no secret.
#[must_use]
pub fn verify(head: &RequestHead, signature: &Signature<'_>, keys: &[AccountKey]) -> bool {
    let Ok(given) = STANDARD.decode(signature.signature) else { return false };
    let is_signed = |text: &str| keys.iter().fold(false, |any, key| any | key.has_made(&given, text));
    let alternative = head.secondary.then(|| secondary_path(head)).flatten();
    let paths = [Some(head.path.as_str()), alternative.as_deref()];
    let is_signed_with = |path: &str| {
        let RequestHead { service, method, account, query, headers, version, .. } = head;
        let request = Signed { method, account, path, query, headers };
        match (service, signature.scheme) {
            (Service::Table, Scheme::Full) => is_signed(&request.table_full()),
            (Service::Table, Scheme::Lite) => is_signed(&request.table_lite()),
            (_, Scheme::Full) if version.as_str() >= FULL_FORM_SINCE => {
                let zero_length = version.as_str() < EMPTY_LENGTH_SINCE;
                let forms = [(false, false), (true, false), (false, true)].into_iter();
                let mut forms = forms.map(|(weighted_order, language_first)| Form {
                    zero_length,
                    weighted_order,
                    language_first,
                });
                forms.any(|form| is_signed(&request.full(form)))
            }
            (_, Scheme::Full | Scheme::Lite) => is_signed(&request.lite()),
        }
    };
    signature.account == head.account && paths.into_iter().flatten().any(is_signed_with)
}

/// The value of the `Authorization` header of a client's request; see the module's example.
///
/// # Errors
/// When the URL's query cannot be decoded.
pub fn authorize(
    account: &str,
    key: &AccountKey,
    service: Service,
    method: &Method,
    url: &Uri,
    headers: &HeaderMap,
) -> Result<String, ProtocolError> {
    let query = Query::parse(url.query().unwrap_or(""))?;
    let request = Signed { method, account, path: url.path(), query: &query, headers };
    let text = match service {
        Service::Table => request.table_full(),
        Service::Blob | Service::Queue => request.full(Form::default()),
    };
    Ok(format!("SharedKey {account}:{}", key.sign(&text)))
}

/// The path with the account's name in place of `account-secondary`: some clients sign that.
fn secondary_path(head: &RequestHead) -> Option<String> {
    let rest = head.path.strip_prefix(&format!("/{}-secondary", head.account))?;
    head.is_path_style().then(|| format!("/{}{rest}", head.account))
}

/// Where clients differ in the full form.
#[derive(Debug, Clone, Copy, Default)]
struct Form {
    /// An empty body is `0`, not nothing.
    zero_length: bool,
    /// Headers are in the service's own order, not that of bytes.
    weighted_order: bool,
    /// Content-Language comes before Content-Encoding.
    language_first: bool,
}

/// What a signature covers.
struct Signed<'a> {
    method: &'a Method,
    account: &'a str,
    path: &'a str,
    query: &'a Query,
    headers: &'a HeaderMap,
}

impl Signed<'_> {
    fn full(&self, form: Form) -> String {
        let length = match self.header(header::CONTENT_LENGTH) {
            "0" if !form.zero_length => "",
            length => length,
        };
        let (first, second) = match form.language_first {
            true => (header::CONTENT_LANGUAGE, header::CONTENT_ENCODING),
            false => (header::CONTENT_ENCODING, header::CONTENT_LANGUAGE),
        };
        let lines = [
            self.method.as_str(),
            self.header(first),
            self.header(second),
            length,
            self.header(CONTENT_MD5),
            self.header(header::CONTENT_TYPE),
            self.date_unless_ms(),
            self.header(header::IF_MODIFIED_SINCE),
            self.header(header::IF_MATCH),
            self.header(header::IF_NONE_MATCH),
            self.header(header::IF_UNMODIFIED_SINCE),
            self.header(header::RANGE),
        ];
        let headers = self.canonical_headers(form.weighted_order);
        format!("{}\n{headers}{}", lines.join("\n"), self.canonical_resource())
    }

    fn lite(&self) -> String {
        let lines = [
            self.method.as_str(),
            self.header(CONTENT_MD5),
            self.header(header::CONTENT_TYPE),
            self.date_unless_ms(),
        ];
        let headers = self.canonical_headers(false);
        format!("{}\n{headers}{}", lines.join("\n"), self.plain_resource())
    }

    fn table_full(&self) -> String {
        let lines = [
            self.method.as_str(),
            self.header(CONTENT_MD5),
            self.header(header::CONTENT_TYPE),
            self.date(),
            &self.plain_resource(),
        ];
        lines.join("\n")
    }

    fn table_lite(&self) -> String {
        format!("{}\n{}", self.date(), self.plain_resource())
    }

    fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").trim()
    }

    fn date(&self) -> &str {
        match self.header(MS_DATE) {
            "" => self.header(header::DATE),
            date => date,
        }
    }

    fn date_unless_ms(&self) -> &str {
        if self.headers.contains_key(MS_DATE) { "" } else { self.header(header::DATE) }
    }

    fn canonical_headers(&self, weighted_order: bool) -> String {
        let mut names: Vec<&HeaderName> =
            self.headers.keys().filter(|name| name.as_str().starts_with("x-ms-")).collect();
        let by: fn(&str, &str) -> Ordering = if weighted_order { order::weighted } else { Ord::cmp };
        names.sort_by(|a, b| by(a.as_str(), b.as_str()));
        let mut lines = String::new();
        for name in names {
            lines.push_str(name.as_str());
            // Values of a header are folded to one line. Bytes outside ASCII count as UTF-8, as clients sign them.
            for (at, value) in self.headers.get_all(name).iter().enumerate() {
                lines.push(if at == 0 { ':' } else { ',' });
                lines.push_str(String::from_utf8_lossy(value.as_bytes()).trim());
            }
            lines.push('\n');
        }
        lines
    }

    fn canonical_resource(&self) -> String {
        let mut pairs: Vec<(String, &str)> =
            self.query.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        pairs.sort();
        let mut text = format!("/{}{}", self.account, self.path);
        let mut last: Option<String> = None;
        for (name, value) in pairs {
            if last.as_ref() == Some(&name) {
                text.push(',');
            } else {
                text.push_str(&format!("\n{name}:"));
                last = Some(name);
            }
            text.push_str(value);
        }
        text
    }

    /// The resource with only `comp` of the query: the Lite and the table forms.
    fn plain_resource(&self) -> String {
        let comp = self.query.get("comp").map(|comp| format!("?comp={comp}")).unwrap_or_default();
        format!("/{}{}{comp}", self.account, self.path)
    }
}

#[cfg(test)]
mod tests;
