//! The answer of Find Blobs by Tags.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::blob::tags::write_element;
use crate::xml::Xml;

/// A blob that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its container.
    pub container: String,
    /// Its name.
    pub name: String,
    /// Its tags of which the expression speaks.
    pub tags: Vec<(String, String)>,
}

/// Writes a page of what was found.
#[must_use]
pub fn write(endpoint: &str, expression: &str, found: &[Found], next: Option<&[u8]>) -> String {
    let mut xml = Xml::new();
    xml.element_with("EnumerationResults", &[("ServiceEndpoint", endpoint)], |xml| {
        xml.text("Where", expression);
        xml.element("Blobs", |xml| {
            for blob in found {
                xml.element("Blob", |xml| {
                    xml.name("Name", &blob.name);
                    xml.text("ContainerName", &blob.container);
                    write_element(xml, &blob.tags);
                });
            }
        });
        xml.text("NextMarker", &next.map(|marker| URL_SAFE_NO_PAD.encode(marker)).unwrap_or_default());
    });
    xml.finish()
}
