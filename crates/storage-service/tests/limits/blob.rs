//! Metadata, properties, tags, leases, conditions and ranges.

use super::{Limit, Service, blob_request, letters, limit, of, put_blob};

const TOO_MUCH: &str = "400 MetadataTooLarge";
const BAD_HEADER: &str = "400 InvalidHeaderValue";
/// All of metadata: names and values.
const METADATA: &[(i128, &str)] = &[(8191, "200"), (8192, "200"), (8193, TOO_MUCH)];

fn metadata(service: Service, target: &'static str) -> impl Fn(i128) -> super::Sample {
    move |bytes| {
        let (first, second) = (letters(4000), letters(bytes - 4002));
        let headers =
            [("x-ms-meta-a", first.as_str()), ("x-ms-meta-b", &second), ("x-ms-blob-type", "BlockBlob")];
        of(service, "PUT", target, &headers, "")
    }
}

fn tags(count: i128) -> Vec<(String, String)> {
    (0..count).map(|n| (format!("k{n}"), "v".to_owned())).collect()
}

fn set_tags(tags: &[(String, String)]) -> super::Sample {
    let tag = |(key, value): &(String, String)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    let tags: String = tags.iter().map(tag).collect();
    blob_request("PUT", "/container/blob?comp=tags", &[], &format!("<Tags><TagSet>{tags}</TagSet></Tags>"))
}

fn put_with_tags(tags: &[(String, String)]) -> super::Sample {
    let text: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    put_blob("/container/tagged", &[("x-ms-tags", &text.join("&"))], "")
}

fn lease(action: &str, name: &str, value: i128) -> super::Sample {
    let id = ("x-ms-proposed-lease-id", "11111111-2222-3333-4444-555555555555");
    let headers = [("x-ms-lease-action", action), (name, &value.to_string()), id];
    blob_request("PUT", "/container?restype=container&comp=lease", &headers, "")
}

fn conditions(count: i128) -> super::Sample {
    let date = "Tue, 24 Nov 2026 11:00:00 GMT";
    let all = [
        ("if-match", "*"),
        ("if-unmodified-since", "Tue, 24 Nov 2099 11:00:00 GMT"),
        ("if-modified-since", "Tue, 24 Nov 2009 11:00:00 GMT"),
        ("if-none-match", date),
    ];
    blob_request("GET", "/container/blob", &all[..usize::try_from(count).unwrap()], "")
}

fn hashed(header: &'static str) -> impl Fn(i128) -> super::Sample {
    move |bytes| {
        let range = format!("bytes=0-{}", bytes - 1);
        blob_request("GET", "/container/four-mib", &[("x-ms-range", &range), (header, "true")], "")
    }
}

fn properties() -> Vec<Limit> {
    vec![
        limit(
            "bytes of metadata of a blob that is put",
            "STORAGE, section 3",
            &["storage-wire/metadata METADATA_BYTES_MAX"],
            metadata(Service::Blob, "/container/metadata"),
            &[(8191, "201"), (8192, "201"), (8193, TOO_MUCH)],
        ),
        limit(
            "bytes of metadata of a blob",
            "STORAGE, section 3",
            &[],
            metadata(Service::Blob, "/container/blob?comp=metadata"),
            METADATA,
        ),
        limit(
            "bytes of metadata of a container",
            "STORAGE, section 2",
            &[],
            metadata(Service::Blob, "/container?restype=container&comp=metadata"),
            METADATA,
        ),
        limit(
            "bytes of metadata of a queue",
            "STORAGE, section 6",
            &[],
            metadata(Service::Queue, "/queue?comp=metadata"),
            &[(8191, "204"), (8192, "204"), (8193, TOO_MUCH)],
        ),
        limit(
            "characters of a property",
            "Put Blob",
            &["storage-service/blob/properties PROPERTY_CHARS_MAX"],
            |n| put_blob("/container/property", &[("x-ms-blob-content-type", &letters(n))], ""),
            &[(1023, "201"), (1024, "201"), (1025, BAD_HEADER)],
        ),
        limit(
            "conditions of a request",
            "STORAGE, section 4",
            &["storage-wire/condition CONDITIONS_MAX"],
            conditions,
            &[(1, "200"), (2, "200"), (3, "400 MultipleConditionHeadersNotSupported")],
        ),
        limit(
            "bytes of a range with its MD5",
            "STORAGE, section 3",
            &["storage-service/blob/read RANGE_HASH_BYTES_MAX"],
            hashed("x-ms-range-get-content-md5"),
            &[(4_194_303, "206"), (4_194_304, "206"), (4_194_305, BAD_HEADER)],
        ),
        limit(
            "bytes of a range with its CRC64",
            "STORAGE, section 3",
            &[],
            hashed("x-ms-range-get-content-crc64"),
            &[(4_194_303, "206"), (4_194_304, "206"), (4_194_305, BAD_HEADER)],
        ),
    ]
}

fn of_tags() -> Vec<Limit> {
    const LARGE: &str = "400 TagsTooLarge";
    vec![
        limit(
            "tags of a blob",
            "STORAGE, section 3",
            &["storage-wire/blob/tags TAGS_MAX"],
            |n| set_tags(&tags(n)),
            &[(0, "204"), (9, "204"), (10, "204"), (11, LARGE)],
        ),
        limit(
            "tags in a header",
            "STORAGE, section 3",
            &[],
            |n| put_with_tags(&tags(n)),
            &[(9, "201"), (10, "201"), (11, LARGE)],
        ),
        limit(
            "characters of a tag's key",
            "STORAGE, section 3",
            &["storage-wire/blob/tags KEY_CHARS_MAX"],
            |n| set_tags(&[(letters(n), "v".to_owned())]),
            &[(0, "400 EmptyTagName"), (1, "204"), (2, "204"), (127, "204"), (128, "204"), (129, LARGE)],
        ),
        limit(
            "characters of a tag's value",
            "STORAGE, section 3",
            &["storage-wire/blob/tags VALUE_CHARS_MAX"],
            |n| set_tags(&[("k".to_owned(), letters(n))]),
            &[(0, "204"), (255, "204"), (256, "204"), (257, LARGE)],
        ),
        limit(
            "characters of a tag's value in a header",
            "STORAGE, section 3",
            &[],
            |n| put_with_tags(&[("k".to_owned(), letters(n))]),
            &[(0, "201"), (255, "201"), (256, "201"), (257, LARGE)],
        ),
    ]
}

fn of_leases() -> Vec<Limit> {
    vec![
        limit(
            "seconds of a lease",
            "STORAGE, section 5",
            &["storage/blob/lease DURATION_MIN_SECONDS", "storage/blob/lease DURATION_MAX_SECONDS"],
            |n| lease("acquire", "x-ms-lease-duration", n),
            &[
                (-2, BAD_HEADER),
                (-1, "201"),
                (0, BAD_HEADER),
                (14, BAD_HEADER),
                (15, "201"),
                (16, "201"),
                (59, "201"),
                (60, "201"),
                (61, BAD_HEADER),
            ],
        ),
        limit(
            "seconds until a lease is broken",
            "STORAGE, section 5",
            &["storage/blob/lease BREAK_MAX_SECONDS"],
            |n| lease("break", "x-ms-lease-break-period", n),
            &[(61, BAD_HEADER), (60, "202"), (59, "202"), (1, "202"), (0, "202"), (-1, BAD_HEADER)],
        ),
    ]
}

pub fn limits() -> Vec<Limit> {
    [properties(), of_tags(), of_leases()].into_iter().flatten().collect()
}
