//! Certificates of a hosted service (SMAPI §6, "Service certificates").

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use welkin_base::Sha1Thumbprint;
use zeroize::Zeroizing;

use crate::error::ApiError;
use crate::xml::{Element, Fields, read};

/// The only algorithm of thumbprints, as it stands in paths and answers.
const ALGORITHM: &str = "sha1";

/// What "Add Service Certificate" says. `Debug` shows only the format.
pub struct CertificateFile {
    /// The file's bytes.
    pub data: Zeroizing<Vec<u8>>,
    /// How they are packed.
    pub format: CertificateFormat,
    /// The password of a `pfx` file; clients send one for `cer` too, where it says nothing.
    pub password: Zeroizing<String>,
}

/// How a certificate is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFormat {
    /// PKCS#12, with the private key.
    Pfx,
    /// A certificate alone.
    Cer,
}

impl fmt::Debug for CertificateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateFile").field("format", &self.format).finish_non_exhaustive()
    }
}

impl CertificateFile {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "CertificateFile", |fields| {
            let format = match fields.required("CertificateFormat")?.to_ascii_lowercase().as_str() {
                "pfx" => CertificateFormat::Pfx,
                "cer" => CertificateFormat::Cer,
                _ => return Err(ApiError::bad_request("CertificateFormat must be pfx or cer")),
            };
            let password = fields.one("Password")?.map(Fields::secret).unwrap_or_default();
            let text = fields.one("Data")?.map(Fields::secret).unwrap_or_default();
            Ok(Self { data: decode(&text)?, format, password })
        })
    }
}

fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let mut packed = Zeroizing::new(String::with_capacity(text.len()));
    packed.extend(text.chars().filter(|c| !c.is_ascii_whitespace()));
    if packed.is_empty() {
        return Err(ApiError::bad_request("Data is missing: it must be the certificate file in base64"));
    }
    // Room for all of it, so that nothing is moved and left behind.
    let mut data = Zeroizing::new(Vec::with_capacity(packed.len()));
    STANDARD.decode_vec(packed.as_bytes(), &mut data).map_err(|_| {
        ApiError::bad_request("Data must be the certificate file in base64; it is not base64")
    })?;
    Ok(data)
}

/// The thumbprint at the end of a path: `sha1-<thumbprint>`.
///
/// # Errors
/// When it is not one.
pub fn parse_key(key: &str) -> Result<Sha1Thumbprint, ApiError> {
    let wrong =
        || ApiError::bad_request("a service certificate is named sha1-<thumbprint of 40 hexadecimal digits>");
    let (algorithm, thumbprint) = key.split_once('-').ok_or_else(wrong)?;
    if !algorithm.eq_ignore_ascii_case(ALGORITHM) {
        return Err(wrong());
    }
    thumbprint.parse().map_err(|_| wrong())
}

/// A certificate as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCertificate {
    /// Its own address.
    pub url: String,
    /// Which one.
    pub thumbprint: Sha1Thumbprint,
    /// The certificate in DER; the private key is never shown.
    pub data: Vec<u8>,
}

impl ServiceCertificate {
    /// The entry of "List Service Certificates".
    #[must_use]
    pub fn element(&self) -> Element {
        Element::new("Certificate")
            .with("CertificateUrl", &self.url)
            .with("Thumbprint", self.thumbprint)
            .with("ThumbprintAlgorithm", ALGORITHM)
            .with("Data", STANDARD.encode(&self.data))
    }

    /// The answer of "Get Service Certificate".
    #[must_use]
    pub fn data_element(&self) -> Element {
        Element::new("Certificate").with("Data", STANDARD.encode(&self.data))
    }

    /// The last part of its path.
    #[must_use]
    pub fn key(thumbprint: &Sha1Thumbprint) -> String {
        format!("{ALGORITHM}-{thumbprint}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(data: &str, format: &str, password: &str) -> String {
        format!(
            "<CertificateFile xmlns=\"http://schemas.microsoft.com/windowsazure\"><Data>{data}</Data>\
             <CertificateFormat>{format}</CertificateFormat>{password}</CertificateFile>"
        )
    }

    #[test]
    fn files() {
        let check = |data: &str,
                     format: &str,
                     password: &str,
                     expected: Result<(&[u8], CertificateFormat, &str), &str>| {
            match (CertificateFile::parse(body(data, format, password).as_bytes()), expected) {
                (Ok(file), Ok((data, format, password))) => {
                    assert_eq!((&**file.data, file.format, file.password.as_str()), (data, format, password));
                    assert!(password.is_empty() || !format!("{file:?}").contains(password));
                }
                (Err(error), Err(part)) => assert!(error.message.contains(part), "{error}"),
                (file, expected) => panic!("{file:?}, expected {expected:?}"),
            }
        };
        use CertificateFormat::{Cer, Pfx};
        check("QUJD", "pfx", "<Password>secret &amp; more</Password>", Ok((b"ABC", Pfx, "secret & more")));
        check("QU\r\n JD", "Pfx", "<Password/>", Ok((b"ABC", Pfx, "")));
        // Blanks belong to a password.
        check("QUJD", "PFX", "<Password> a </Password>", Ok((b"ABC", Pfx, " a ")));
        check("QUJD", "cer", "", Ok((b"ABC", Cer, "")));
        check("QUJD", "p7b", "", Err("must be pfx or cer"));
        check("QUJD", "", "", Err("CertificateFormat is missing"));
        check("", "pfx", "", Err("Data is missing"));
        check("%", "pfx", "", Err("not base64"));
        check("QUJD", "pfx", "<Password>a</Password><Password>b</Password>", Err("more than once"));
    }

    #[test]
    fn keys() {
        let thumbprint = "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709";
        for key in [format!("sha1-{thumbprint}"), format!("SHA1-{}", thumbprint.to_lowercase())] {
            assert_eq!(parse_key(&key).unwrap().to_string(), thumbprint);
        }
        for key in [thumbprint, "sha1-", "sha1-12", "md5-DA39A3EE5E6B4B0D3255BFEF95601890AFD80709"] {
            assert!(parse_key(key).is_err(), "{key}");
        }
    }

    #[test]
    fn elements() {
        let thumbprint = "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709".parse().unwrap();
        let certificate =
            ServiceCertificate { url: "https://h/c".to_owned(), thumbprint, data: b"ABC".to_vec() };
        let text = String::from_utf8(certificate.element().to_document()).unwrap();
        assert!(text.contains("<Thumbprint>DA39A3EE5E6B4B0D3255BFEF95601890AFD80709</Thumbprint>"), "{text}");
        assert!(text.contains("<ThumbprintAlgorithm>sha1</ThumbprintAlgorithm><Data>QUJD</Data>"), "{text}");
    }
}
