//! Reads the body of Set Service Properties, strictly: an element that the service does not have, one given twice
//! or one that is missing within another is an error.

use roxmltree::Node;

use super::{CorsRule, DeleteRetention, Logging, Metrics, ServiceChange, StaticWebsite};
use crate::error::{ErrorCode, ProtocolError};
use crate::operation::Service;
use crate::request::ApiVersion;
use crate::xml;

/// CORS rules of one service (STORAGE, section 0).
pub const CORS_RULES_MAX: usize = 5;
/// Text of all CORS rules together, without tags (Set Blob Service Properties).
pub const CORS_BYTES_MAX: usize = 2048;
/// Length of an origin or a header's name in a CORS rule.
pub const CORS_NAME_CHARS_MAX: usize = 256;
/// Origins of a rule, and headers of a list that are named in full.
pub const CORS_NAMES_MAX: usize = 64;
/// Headers of a list that end with `*`.
pub const CORS_PREFIXES_MAX: usize = 2;
/// Days of a retention (STORAGE, section 1).
pub const RETENTION_DAYS_MAX: u32 = 365;
/// Elements within one, each once: the service properties themselves have the most.
const PARTS_MAX: usize = 8;
/// Methods that a CORS rule may name.
const CORS_METHODS: [&str; 8] = ["DELETE", "GET", "HEAD", "MERGE", "PATCH", "POST", "OPTIONS", "PUT"];
/// Versions of logging and metrics.
const ANALYTICS_VERSIONS: [&str; 2] = ["1.0", "2.0"];

/// Reads the body.
///
/// # Errors
/// When it is no such document, or breaks one of the limits.
pub fn parse(body: &[u8], service: Service) -> Result<ServiceChange, ProtocolError> {
    xml::read(body, "StorageServiceProperties", |root| {
        let mut change = ServiceChange::default();
        for part in Parts::of(root)?.0 {
            match (part.tag_name().name(), service) {
                ("Logging", _) => change.logging = Some(logging(part)?),
                // `Metrics` is what versions before 2013-08-15 call them.
                ("HourMetrics" | "Metrics", _) => change.hour_metrics = Some(metrics(part)?),
                ("MinuteMetrics", _) => change.minute_metrics = Some(metrics(part)?),
                ("Cors", _) => change.cors = Some(cors(part)?),
                ("DefaultServiceVersion", Service::Blob) => change.default_version = Some(version(part)?),
                ("DeleteRetentionPolicy", Service::Blob) => change.delete_retention = Some(retention(part)?),
                ("StaticWebsite", Service::Blob) => change.static_website = Some(website(part)?),
                _ => return Err(ErrorCode::InvalidXmlDocument.into()),
            }
        }
        Ok(change)
    })
}

/// The elements within one, each name once.
struct Parts<'a, 'i>(Vec<Node<'a, 'i>>);

impl<'a, 'i> Parts<'a, 'i> {
    fn of(node: Node<'a, 'i>) -> Result<Self, ProtocolError> {
        let parts: Vec<_> = node.children().filter(Node::is_element).take(PARTS_MAX + 1).collect();
        let twice = |(n, part): (usize, &Node<'_, '_>)| {
            parts.iter().take(n).any(|other| other.tag_name().name() == part.tag_name().name())
        };
        match parts.len() > PARTS_MAX || parts.iter().enumerate().any(twice) {
            true => Err(ErrorCode::InvalidXmlDocument.into()),
            false => Ok(Self(parts)),
        }
    }

    /// The elements within one that has no others than these.
    fn among(node: Node<'a, 'i>, names: &[&str]) -> Result<Self, ProtocolError> {
        let parts = Self::of(node)?;
        match parts.0.iter().all(|part| names.contains(&part.tag_name().name())) {
            true => Ok(parts),
            false => Err(ErrorCode::InvalidXmlDocument.into()),
        }
    }

    fn find(&self, name: &str) -> Option<Node<'a, 'i>> {
        self.0.iter().find(|part| part.tag_name().name() == name).copied()
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.find(name).map(|part| part.text().unwrap_or("").trim())
    }

    fn required(&self, name: &'static str) -> Result<&'a str, ProtocolError> {
        self.text(name).ok_or_else(|| {
            ProtocolError::from(ErrorCode::MissingRequiredXmlNode).with_detail("XmlNodeName", name)
        })
    }

    fn flag(&self, name: &'static str) -> Result<bool, ProtocolError> {
        flag(name, self.required(name)?)
    }

    fn optional_flag(&self, name: &'static str) -> Result<Option<bool>, ProtocolError> {
        self.text(name).map(|text| flag(name, text)).transpose()
    }
}

fn invalid(name: &str, value: &str) -> ProtocolError {
    ProtocolError::from(ErrorCode::InvalidXmlNodeValue)
        .with_detail("XmlNodeName", name)
        .with_detail("XmlNodeValue", value)
}

fn flag(name: &str, text: &str) -> Result<bool, ProtocolError> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Ok(true),
        _ if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(invalid(name, text)),
    }
}

fn logging(node: Node<'_, '_>) -> Result<Logging, ProtocolError> {
    let parts = Parts::among(node, &["Version", "Delete", "Read", "Write", "RetentionPolicy"])?;
    Ok(Logging {
        version: analytics_version(&parts)?,
        delete: parts.flag("Delete")?,
        read: parts.flag("Read")?,
        write: parts.flag("Write")?,
        retention_days: retention_days(&parts)?,
    })
}

fn metrics(node: Node<'_, '_>) -> Result<Metrics, ProtocolError> {
    let parts = Parts::among(node, &["Version", "Enabled", "IncludeAPIs", "RetentionPolicy"])?;
    let enabled = parts.flag("Enabled")?;
    if enabled {
        parts.required("IncludeAPIs")?;
    }
    Ok(Metrics {
        version: analytics_version(&parts)?,
        enabled,
        include_apis: parts.optional_flag("IncludeAPIs")?.filter(|_| enabled),
        retention_days: retention_days(&parts)?,
    })
}

fn analytics_version(parts: &Parts<'_, '_>) -> Result<String, ProtocolError> {
    let version = parts.required("Version")?;
    match ANALYTICS_VERSIONS.contains(&version) {
        true => Ok(version.to_owned()),
        false => Err(invalid("Version", version)),
    }
}

/// `RetentionPolicy` of logs and metrics; without one, they are kept.
fn retention_days(parts: &Parts<'_, '_>) -> Result<Option<u32>, ProtocolError> {
    let Some(node) = parts.find("RetentionPolicy") else {
        return Ok(None);
    };
    let parts = Parts::among(node, &["Enabled", "Days"])?;
    if parts.flag("Enabled")? { days(&parts).map(Some) } else { Ok(None) }
}

fn days(parts: &Parts<'_, '_>) -> Result<u32, ProtocolError> {
    let text = parts.required("Days")?;
    let days = text.parse().ok().filter(|days| (1..=RETENTION_DAYS_MAX).contains(days));
    days.ok_or_else(|| invalid("Days", text))
}

fn version(node: Node<'_, '_>) -> Result<String, ProtocolError> {
    let text = node.text().unwrap_or("").trim();
    let version = ApiVersion::parse(text).map_err(|_| invalid("DefaultServiceVersion", text))?;
    Ok(version.as_str().to_owned())
}

fn retention(node: Node<'_, '_>) -> Result<Option<DeleteRetention>, ProtocolError> {
    let parts = Parts::among(node, &["Enabled", "Days", "AllowPermanentDelete"])?;
    if !parts.flag("Enabled")? {
        return Ok(None);
    }
    let allow_permanent_delete = parts.optional_flag("AllowPermanentDelete")?.unwrap_or(false);
    Ok(Some(DeleteRetention { days: days(&parts)?, allow_permanent_delete }))
}

fn website(node: Node<'_, '_>) -> Result<Option<StaticWebsite>, ProtocolError> {
    const INDEX: &str = "IndexDocument";
    const DEFAULT: &str = "DefaultIndexDocumentPath";
    const ERROR: &str = "ErrorDocument404Path";
    let parts = Parts::among(node, &["Enabled", INDEX, DEFAULT, ERROR])?;
    if !parts.flag("Enabled")? {
        return Ok(None);
    }
    let text = |name| parts.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let website = StaticWebsite {
        index_document: text(INDEX),
        default_index_document_path: text(DEFAULT),
        error_document_404_path: text(ERROR),
    };
    if website.index_document.as_deref().is_some_and(|index| index.contains('/')) {
        return Err(invalid(INDEX, parts.text(INDEX).unwrap_or("")));
    }
    if website.index_document.is_some() && website.default_index_document_path.is_some() {
        return Err(invalid(DEFAULT, parts.text(DEFAULT).unwrap_or("")));
    }
    Ok(Some(website))
}

fn cors(node: Node<'_, '_>) -> Result<Vec<CorsRule>, ProtocolError> {
    let rules: Vec<_> = node.children().filter(Node::is_element).collect();
    if rules.len() > CORS_RULES_MAX || rules.iter().any(|rule| rule.tag_name().name() != "CorsRule") {
        return Err(ErrorCode::InvalidXmlDocument.into());
    }
    let text_bytes = rules
        .iter()
        .flat_map(Node::descendants)
        .filter_map(|node| if node.is_text() { node.text() } else { None });
    if text_bytes.map(|text| text.trim().len()).sum::<usize>() > CORS_BYTES_MAX {
        return Err(ErrorCode::InvalidXmlDocument.into());
    }
    rules.into_iter().map(cors_rule).collect()
}

fn cors_rule(node: Node<'_, '_>) -> Result<CorsRule, ProtocolError> {
    const ORIGINS: &str = "AllowedOrigins";
    const METHODS: &str = "AllowedMethods";
    const HEADERS: &str = "AllowedHeaders";
    const EXPOSED: &str = "ExposedHeaders";
    const AGE: &str = "MaxAgeInSeconds";
    let parts = Parts::among(node, &[ORIGINS, METHODS, HEADERS, EXPOSED, AGE])?;
    let origins = list(ORIGINS, parts.required(ORIGINS)?)?;
    let methods = list(METHODS, parts.required(METHODS)?)?;
    let known = methods.iter().all(|method| CORS_METHODS.contains(&method.as_str()));
    for (name, valid) in [
        (ORIGINS, !origins.is_empty() && origins.len() <= CORS_NAMES_MAX),
        (METHODS, !methods.is_empty() && known),
    ] {
        if !valid {
            return Err(invalid(name, parts.required(name)?));
        }
    }
    let age = parts.required(AGE)?;
    Ok(CorsRule {
        allowed_origins: origins,
        allowed_methods: methods,
        allowed_headers: headers(HEADERS, parts.required(HEADERS)?)?,
        exposed_headers: headers(EXPOSED, parts.required(EXPOSED)?)?,
        max_age_seconds: age
            .parse()
            .ok()
            .filter(|age| i32::try_from(*age).is_ok())
            .ok_or_else(|| invalid(AGE, age))?,
    })
}

/// Names apart by commas.
fn list(element: &str, text: &str) -> Result<Vec<String>, ProtocolError> {
    let names: Vec<_> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    match names.iter().all(|name| name.chars().count() <= CORS_NAME_CHARS_MAX) {
        true => Ok(names),
        false => Err(invalid(element, text)),
    }
}

fn headers(element: &str, text: &str) -> Result<Vec<String>, ProtocolError> {
    let names = list(element, text)?;
    let prefixes = names.iter().filter(|name| name.ends_with('*')).count();
    let valid = prefixes <= CORS_PREFIXES_MAX
        && names.len() - prefixes <= CORS_NAMES_MAX
        && names.iter().all(|name| !name.trim_end_matches('*').contains('*'));
    if valid { Ok(names) } else { Err(invalid(element, text)) }
}

#[cfg(test)]
mod tests;
