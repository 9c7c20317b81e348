//! Hashes of content in headers: MD5 and CRC-64 (STORAGE, section 3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use welkin_storage::blob::hash::{Hasher, Hashes, Wanted};
use welkin_storage_wire::blob::copy;
use welkin_storage_wire::{ErrorCode, ProtocolError, RequestHead};
use welkin_transport::Body;

use super::properties::{md5, md5_text};
use crate::answer::set;

/// What a client says of the content that it sends, or that is read from a URL in its stead.
pub(super) fn announced(head: &RequestHead) -> Result<Hashes, ProtocolError> {
    let (md5_name, crc64_name) = match head.headers.contains_key(copy::SOURCE) {
        true => ("x-ms-source-content-md5", "x-ms-source-content-crc64"),
        false => ("content-md5", "x-ms-content-crc64"),
    };
    let hashes = Hashes { md5: md5(head, md5_name)?, crc64: crc64(head, crc64_name)? };
    match hashes {
        Hashes { md5: Some(_), crc64: Some(_) } => {
            let why = "Content-MD5 and x-ms-content-crc64 exclude each other.";
            Err(ProtocolError::saying(ErrorCode::InvalidInput, why))
        }
        hashes => Ok(hashes),
    }
}

/// Which hashes are to be computed: the one that the client says, or else CRC-64, which costs little.
pub(super) fn wanted(announced: &Hashes) -> Wanted {
    Wanted { md5: announced.md5.is_some(), crc64: announced.md5.is_none() }
}

/// Whether what arrived has the hashes that the client said.
pub(super) fn check(announced: &Hashes, found: &Hashes) -> Result<(), ProtocolError> {
    if announced.md5.is_some() && announced.md5 != found.md5 {
        return Err(ErrorCode::Md5Mismatch.into());
    }
    if announced.crc64.is_some() && announced.crc64 != found.crc64 {
        return Err(ErrorCode::Crc64Mismatch.into());
    }
    Ok(())
}

/// The hash of a body that was read whole, checked.
pub(super) fn of_body(head: &RequestHead, body: &[u8]) -> Result<Hashes, ProtocolError> {
    let announced = announced(head)?;
    let found = Hasher::of(wanted(&announced), body);
    check(&announced, &found).map(|()| found)
}

/// Tells hashes of what was sent, or of the part that is read.
pub(super) fn tell(response: &mut Response<Body>, hashes: &Hashes) {
    if let Some(md5) = &hashes.md5 {
        set(response, "content-md5", &md5_text(md5));
    }
    if let Some(crc64) = &hashes.crc64 {
        set(response, "x-ms-content-crc64", &STANDARD.encode(crc64));
    }
}

fn crc64(head: &RequestHead, name: &'static str) -> Result<Option<[u8; 8]>, ProtocolError> {
    let Some(text) = head.header(name)?.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Some).ok_or_else(|| ProtocolError::header(name, text))
}
