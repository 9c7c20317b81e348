//! How much a body may have, by the version of the protocol (STORAGE, section 3; the versions' notes tell which
//! raised what).

use welkin_storage_wire::ApiVersion;

const MIB: u64 = 1024 * 1024;

/// The largest body of Put Blob.
pub(super) fn put_blob_bytes_max(version: &ApiVersion) -> u64 {
    let mib = match version.as_str() {
        since if since >= "2019-12-12" => 5000,
        since if since >= "2016-05-31" => 256,
        _ => 64,
    };
    mib * MIB
}

/// The largest block.
pub(super) fn block_bytes_max(version: &ApiVersion) -> u64 {
    let mib = match version.as_str() {
        since if since >= "2019-12-12" => 4000,
        since if since >= "2016-05-31" => 100,
        _ => 4,
    };
    mib * MIB
}

/// The largest block that is appended.
pub(super) fn appended_bytes_max(version: &ApiVersion) -> u64 {
    let mib = if version.as_str() >= "2022-11-02" { 100 } else { 4 };
    mib * MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        for (version, put, block, appended) in [
            ("2015-02-21", 64, 4, 4),
            ("2016-05-30", 64, 4, 4),
            ("2016-05-31", 256, 100, 4),
            ("2019-12-11", 256, 100, 4),
            ("2019-12-12", 5000, 4000, 4),
            ("2022-11-02", 5000, 4000, 100),
            ("2026-10-06", 5000, 4000, 100),
        ] {
            let version = ApiVersion::parse(version).unwrap();
            let found =
                [put_blob_bytes_max(&version), block_bytes_max(&version), appended_bytes_max(&version)];
            assert_eq!(found.map(|bytes| bytes / MIB), [put, block, appended], "{}", version.as_str());
        }
    }
}
