//! Lists of containers and of blobs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{ErrorCode, ProtocolError};
use crate::query::Query;
use crate::xml::Xml;

/// Lines of one page, at most and by default.
pub const RESULTS_MAX: usize = 5000;

/// What a listing request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Names begin with this.
    pub prefix: String,
    /// Rolls names up.
    pub delimiter: Option<String>,
    /// Where to go on, decoded.
    pub marker: Option<Vec<u8>>,
    /// Lines of the page.
    pub results_max: usize,
    /// What the client said of the number; repeated in the answer.
    pub results_asked: Option<i64>,
    /// The first name.
    pub start_from: Option<String>,
    /// Only names before this one.
    pub end_before: Option<String>,
    /// `showonly`, in lower case.
    pub show_only: Option<String>,
    /// What to include, in lower case.
    pub include: Vec<String>,
}

impl ListQuery {
    /// Reads a listing's query.
    ///
    /// # Errors
    /// When the marker was not made here, or the number is out of range.
    pub fn of(query: &Query) -> Result<Self, ProtocolError> {
        let results_asked = query.number("maxresults")?;
        let results_max = match results_asked {
            None => RESULTS_MAX,
            Some(n @ 1..) => usize::try_from(n).unwrap_or(RESULTS_MAX).min(RESULTS_MAX),
            Some(n) => {
                return Err(ProtocolError::from(ErrorCode::OutOfRangeQueryParameterValue)
                    .with_detail("QueryParameterName", "maxresults")
                    .with_detail("QueryParameterValue", &n.to_string()));
            }
        };
        let decode =
            |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| ProtocolError::query("marker", text));
        let include = query.get("include").unwrap_or("");
        Ok(Self {
            prefix: query.get("prefix").unwrap_or("").to_owned(),
            delimiter: query.get_filled("delimiter").map(str::to_owned),
            marker: query.get_filled("marker").map(decode).transpose()?,
            results_max,
            results_asked,
            start_from: query.get_filled("startfrom").map(str::to_owned),
            end_before: query.get_filled("endbefore").map(str::to_owned),
            show_only: query.get_filled("showonly").map(str::to_ascii_lowercase),
            include: include.split(',').map(|part| part.trim().to_ascii_lowercase()).collect(),
        })
    }

    /// Whether the client wants this included.
    #[must_use]
    pub fn includes(&self, what: &str) -> bool {
        self.include.iter().any(|part| part == what)
    }

    fn write_echo(&self, xml: &mut Xml) {
        if !self.prefix.is_empty() {
            xml.name("Prefix", &self.prefix);
        }
        xml.optional("Marker", self.marker.as_ref().map(|m| URL_SAFE_NO_PAD.encode(m)).as_deref());
        xml.optional("MaxResults", self.results_asked.map(|n| n.to_string()).as_deref());
        xml.optional("Delimiter", self.delimiter.as_deref());
    }
}

/// A line of a list: a name, and what is said of it, each in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// `Container`, `Blob` or `BlobPrefix`.
    pub element: &'static str,
    /// The name.
    pub name: String,
    /// Elements between the name and the properties, such as `Snapshot`.
    pub marks: Vec<(&'static str, String)>,
    /// Elements of `Properties`.
    pub properties: Vec<(&'static str, String)>,
    /// Elements of `Metadata`.
    pub metadata: Option<Vec<(String, String)>>,
    /// Index tags.
    pub tags: Option<Vec<(String, String)>>,
    /// There are only versions left of the blob.
    pub only_versions: bool,
}

/// Writes a page of a list. `container` is the container whose blobs are listed.
#[must_use]
pub fn write(
    endpoint: &str,
    container: Option<&str>,
    query: &ListQuery,
    lines: &[Line],
    next: Option<&[u8]>,
) -> String {
    let mut attributes = vec![("ServiceEndpoint", endpoint)];
    attributes.extend(container.map(|name| ("ContainerName", name)));
    let collection = if container.is_some() { "Blobs" } else { "Containers" };
    let mut xml = Xml::new();
    xml.element_with("EnumerationResults", &attributes, |xml| {
        query.write_echo(xml);
        xml.element(collection, |xml| lines.iter().for_each(|line| write_line(xml, line)));
        xml.text("NextMarker", &next.map(|next| URL_SAFE_NO_PAD.encode(next)).unwrap_or_default());
    });
    xml.finish()
}

fn write_line(xml: &mut Xml, line: &Line) {
    xml.element(line.element, |xml| {
        xml.name("Name", &line.name);
        line.marks.iter().for_each(|(name, value)| xml.text(name, value));
        if !line.properties.is_empty() {
            xml.element("Properties", |xml| {
                line.properties.iter().for_each(|(name, value)| xml.text(name, value));
            });
        }
        if let Some(metadata) = &line.metadata {
            xml.element("Metadata", |xml| metadata.iter().for_each(|(name, value)| xml.text(name, value)));
        }
        if let Some(tags) = line.tags.as_ref().filter(|tags| !tags.is_empty()) {
            let tag = |xml: &mut Xml, (key, value): &(String, String)| {
                xml.element("Tag", |xml| {
                    xml.text("Key", key);
                    xml.text("Value", value);
                });
            };
            let set = |xml: &mut Xml| tags.iter().for_each(|pair| tag(xml, pair));
            xml.element("Tags", |xml| xml.element("TagSet", set));
        }
        if line.only_versions {
            xml.text("HasVersionsOnly", "true");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        for (text, expected) in [
            ("", "5000"),
            ("maxresults=7", "7"),
            ("maxresults=5001", "5000"),
            ("maxresults=0", "OutOfRangeQueryParameterValue"),
            ("maxresults=x", "InvalidQueryParameterValue"),
            ("marker=%21", "InvalidQueryParameterValue"),
        ] {
            let found = Query::parse(text).and_then(|query| ListQuery::of(&query));
            let told = found.map_or_else(|e| e.code().to_string(), |ask| ask.results_max.to_string());
            assert_eq!(told, expected, "{text}");
        }
    }
}
