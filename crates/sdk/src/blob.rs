//! Blobs: files in containers.

use http::header::{CONTENT_TYPE, HeaderName};
use http::{Method, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use welkin_storage_wire::Service;

use crate::account::{Call, StorageAccount};
use crate::error::{StorageError, exists_is_fine};

/// What stays as it is in a blob's path: a slash separates nothing but names.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");

/// A container of blobs.
#[derive(Debug, Clone)]
pub struct Container {
    account: StorageAccount,
    name: String,
}

/// A blob as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its media type.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Container {
    pub(crate) fn new(account: StorageAccount, name: &str) -> Self {
        Self { account, name: name.to_owned() }
    }

    /// Creates the container unless it exists.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn create_if_missing(&self) -> Result<(), StorageError> {
        let path = format!("{}?restype=container", self.name);
        exists_is_fine(self.call(Method::PUT, path, vec![], Some(b"")).map(drop))
    }

    /// Writes a block blob whole, in place of any of that name.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn put(&self, name: &str, content_type: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let headers = vec![(BLOB_TYPE, "BlockBlob".to_owned()), (CONTENT_TYPE, content_type.to_owned())];
        self.call(Method::PUT, self.path(name), headers, Some(bytes)).map(drop)
    }

    /// Reads a blob whole.
    ///
    /// # Errors
    /// See [`StorageError`]; [`StorageError::is_not_found`] when there is none of that name.
    pub fn get(&self, name: &str) -> Result<Blob, StorageError> {
        let (head, bytes) = self.call(Method::GET, self.path(name), vec![], None)?.into_parts();
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(Blob { content_type: content_type.unwrap_or("application/octet-stream").to_owned(), bytes })
    }

    /// Deletes a blob.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.call(Method::DELETE, self.path(name), vec![], None).map(drop)
    }

    /// The names of all blobs that begin with `prefix`, in order.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let (mut names, mut marker) = (Vec::new(), String::new());
        loop {
            let path = format!(
                "{}?restype=container&comp=list&prefix={}&marker={}",
                self.name,
                utf8_percent_encode(prefix, NON_ALPHANUMERIC),
                utf8_percent_encode(&marker, NON_ALPHANUMERIC)
            );
            let answer = self.call(Method::GET, path, vec![], None)?;
            marker = read_list(answer.body(), &mut names)?;
            if marker.is_empty() {
                return Ok(names);
            }
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{}", self.name, utf8_percent_encode(name, PATH))
    }

    fn call(
        &self,
        method: Method,
        path: String,
        headers: Vec<(HeaderName, String)>,
        body: Option<&[u8]>,
    ) -> Result<Response<Vec<u8>>, StorageError> {
        self.account.send(Call { service: Service::Blob, method, path, headers, body })
    }
}

/// Adds the names of one page and returns the marker of the next.
fn read_list(body: &[u8], names: &mut Vec<String>) -> Result<String, StorageError> {
    let malformed = |error: String| StorageError::Malformed(error);
    let text = std::str::from_utf8(body).map_err(|e| malformed(e.to_string()))?;
    let document = roxmltree::Document::parse(text.trim_start_matches('\u{feff}'))
        .map_err(|e| malformed(e.to_string()))?;
    let blobs = document.descendants().filter(|node| node.has_tag_name("Blob"));
    let found = blobs.filter_map(|blob| blob.children().find(|child| child.has_tag_name("Name"))?.text());
    names.extend(found.map(str::to_owned));
    let marker = document.root_element().children().find(|child| child.has_tag_name("NextMarker"));
    Ok(marker.and_then(|node| node.text()).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let check = |body: &str, expected: (&[&str], &str)| {
            let mut names = Vec::new();
            let marker = read_list(body.as_bytes(), &mut names).unwrap();
            assert_eq!(
                (names.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), marker.as_str()),
                expected
            );
        };
        check("\u{feff}<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>", (&[], ""));
        check(
            "<EnumerationResults><Blobs><Blob><Name>a&amp;b</Name></Blob><BlobPrefix><Name>p/</Name></BlobPrefix>\
             <Blob><Name>c</Name></Blob></Blobs><NextMarker>c!1</NextMarker></EnumerationResults>",
            (&["a&b", "c"], "c!1"),
        );
        assert!(read_list(b"<Enum", &mut Vec::new()).is_err());
    }
}
