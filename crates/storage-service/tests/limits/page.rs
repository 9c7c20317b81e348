//! Page blobs.

use super::{Limit, blob_request, letters, limit};

const BAD_HEADER: &str = "400 InvalidHeaderValue";
const BAD_RANGE: &str = "416 InvalidPageRange";

fn put(bytes: i128, number: i128) -> super::Sample {
    let (bytes, number) = (bytes.to_string(), number.to_string());
    let headers = [
        ("x-ms-blob-type", "PageBlob"),
        ("x-ms-blob-content-length", bytes.as_str()),
        ("x-ms-blob-sequence-number", &number),
    ];
    blob_request("PUT", "/container/paged", &headers, "")
}

fn set(headers: &[(&str, &str)]) -> super::Sample {
    blob_request("PUT", "/container/page?comp=properties", headers, "")
}

fn update(first: i128, bytes: i128) -> super::Sample {
    let range = format!("bytes={first}-{}", first + bytes - 1);
    let headers = [("x-ms-page-write", "update"), ("x-ms-range", range.as_str())];
    blob_request("PUT", "/container/page?comp=page", &headers, &letters(bytes))
}

fn clear(first: i128, bytes: i128) -> super::Sample {
    let range = format!("bytes={first}-{}", first + bytes - 1);
    let headers = [("x-ms-page-write", "clear"), ("x-ms-range", range.as_str())];
    blob_request("PUT", "/container/page?comp=page", &headers, "")
}

fn lengths() -> Vec<Limit> {
    const TIB_8: i128 = 8 << 40;
    vec![
        limit(
            "bytes of a page blob",
            "STORAGE, section 3",
            &["storage/blob/page PAGE_BLOB_BYTES_MAX"],
            |n| put(n, 0),
            &[(0, "201"), (TIB_8 - 512, "201"), (TIB_8, "201"), (TIB_8 + 512, BAD_HEADER)],
        )
        .step(512),
        limit(
            "bytes of a page",
            "STORAGE, section 3",
            &[],
            |n| put(n, 0),
            &[(511, BAD_HEADER), (512, "201"), (513, BAD_HEADER)],
        ),
        limit(
            "bytes of a resized page blob",
            "STORAGE, section 3",
            &[],
            |n| set(&[("x-ms-blob-content-length", &n.to_string())]),
            &[(TIB_8 - 512, "200"), (TIB_8, "200"), (TIB_8 + 512, BAD_HEADER), (8_388_608, "200")],
        )
        .step(512),
    ]
}

fn writes() -> Vec<Limit> {
    const MIB_4: i128 = 4 << 20;
    const MIB_8: i128 = 8 << 20;
    vec![
        limit(
            "bytes of Put Page",
            "STORAGE, section 3",
            &["storage/blob/page UPDATE_BYTES_MAX"],
            |n| update(0, n),
            &[(MIB_4 - 512, "201"), (MIB_4, "201"), (MIB_4 + 512, "413 RequestBodyTooLarge")],
        )
        .step(512),
        limit(
            "end of an updated range",
            "STORAGE, section 3",
            &[],
            |n| update(0, n),
            &[(511, BAD_RANGE), (512, "201"), (513, BAD_RANGE)],
        ),
        limit(
            "beginning of an updated range",
            "STORAGE, section 3",
            &[],
            |n| update(n, 512),
            &[(511, BAD_RANGE), (512, "201"), (513, BAD_RANGE)],
        ),
        limit(
            "end of a range within the blob",
            "STORAGE, section 3",
            &[],
            |n| update(n - 512, 512),
            &[(MIB_8 - 512, "201"), (MIB_8, "201"), (MIB_8 + 512, BAD_RANGE)],
        )
        .step(512),
        limit(
            "end of a cleared range",
            "STORAGE, section 3",
            &[],
            |n| clear(0, n),
            &[(MIB_8 - 1, BAD_RANGE), (MIB_8, "201"), (MIB_8 + 1, BAD_RANGE)],
        ),
    ]
}

fn numbers() -> Vec<Limit> {
    const LARGEST: i128 = i64::MAX as i128;
    vec![
        limit(
            "sequence number",
            "Put Blob",
            &["storage/blob/page SEQUENCE_NUMBER_MAX"],
            |n| put(512, n),
            &[
                (-1, BAD_HEADER),
                (0, "201"),
                (1, "201"),
                (LARGEST - 1, "201"),
                (LARGEST, "201"),
                (LARGEST + 1, BAD_HEADER),
            ],
        ),
        limit(
            "sequence number that is set",
            "Set Blob Properties",
            &[],
            |n| {
                set(&[
                    ("x-ms-sequence-number-action", "update"),
                    ("x-ms-blob-sequence-number", &n.to_string()),
                ])
            },
            &[
                (-1, BAD_HEADER),
                (0, "200"),
                (1, "200"),
                (LARGEST + 1, BAD_HEADER),
                (LARGEST, "200"),
                (LARGEST - 1, "200"),
            ],
        ),
        // It is the highest but one by now.
        limit(
            "sequence number that is counted up",
            "Set Blob Properties",
            &[],
            |_| set(&[("x-ms-sequence-number-action", "increment")]),
            &[
                (LARGEST - 1, "200"),
                (LARGEST, "409 SequenceNumberIncrementTooLarge"),
                (LARGEST + 1, "409 SequenceNumberIncrementTooLarge"),
            ],
        ),
    ]
}

pub fn limits() -> Vec<Limit> {
    [lengths(), writes(), numbers()].into_iter().flatten().collect()
}
