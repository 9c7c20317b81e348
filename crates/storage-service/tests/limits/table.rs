//! Entities, queries of them, and entity group transactions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Limit, Service, letters, limit, of, padded};

const JSON: [(&str, &str); 3] =
    [("content-type", "application/json"), ("accept", "application/json"), ("prefer", "return-no-content")];
const TOO_LARGE: &str = "413 RequestBodyTooLarge";

/// Inserts an entity whose properties are these, each name and value in JSON. The row keeps it apart from others.
fn insert(row: &str, properties: &[(String, String)]) -> super::Sample {
    insert_keyed("p", row, properties)
}

fn insert_keyed(partition: &str, row: &str, properties: &[(String, String)]) -> super::Sample {
    let own: String = properties.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
    let body = format!("{{\"PartitionKey\":\"{partition}\",\"RowKey\":\"{row}\"{own}}}");
    of(Service::Table, "POST", "/table", &JSON, &body)
}

fn binary(name: &str, bytes: i128) -> [(String, String); 2] {
    [
        (format!("{name}@odata.type"), "\"Edm.Binary\"".to_owned()),
        (name.to_owned(), format!("\"{}\"", STANDARD.encode(letters(bytes)))),
    ]
}

/// An entity of this many bytes as the documentation counts them: 4, two for each character of the keys, and for each
/// property 8, two for each character of its name, and its value; a value of binary is 4 and its bytes.
fn entity_of(bytes: i128) -> super::Sample {
    const FULL: i128 = 65_536;
    let own = bytes - (4 + 2 + 2 * 4);
    let each = 8 + 2 * 3 + 4;
    let (full, rest) = (own / (each + FULL), own % (each + FULL));
    let mut properties: Vec<_> = (0..full).flat_map(|n| binary(&format!("p{n:02}"), FULL)).collect();
    properties.extend(binary("end", rest - each));
    insert("size", &properties).with("x-ms-client-request-id", bytes.to_string())
}

/// A transaction that inserts or replaces this many entities.
fn transaction(count: i128) -> String {
    let part = |n| {
        format!(
            "--c\r\nContent-Type: application/http\r\n\r\nPUT http://127.0.0.1/devstoreaccount1/table(PartitionKey='g',RowKey='{n}') \
             HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{{}}\r\n"
        )
    };
    let parts: String = (0..count).map(part).collect();
    format!("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n{parts}--c--\r\n\r\n--b--\r\n")
}

fn batch(body: &str) -> super::Sample {
    of(Service::Table, "POST", "/$batch", &[("content-type", "multipart/mixed; boundary=b")], body)
}

fn query(options: &str) -> super::Sample {
    of(Service::Table, "GET", &format!("/table()?{options}"), &JSON[1..2], "")
}

fn properties() -> Vec<Limit> {
    vec![
        limit(
            "properties of an entity",
            "STORAGE, section 7",
            &["storage-wire/table/entity PROPERTIES_MAX"],
            |n| {
                insert(
                    &format!("n{n}"),
                    &(0..n).map(|p| (format!("p{p}"), "1".to_owned())).collect::<Vec<_>>(),
                )
            },
            &[(0, "204"), (251, "204"), (252, "204"), (253, "400 TooManyProperties")],
        ),
        limit(
            "characters of a property's name",
            "STORAGE, section 7",
            &["storage-wire/table/entity NAME_CHARS_MAX"],
            |n| insert(&format!("name{n}"), &[(letters(n), "1".to_owned())]),
            &[
                (0, "400 PropertyNameInvalid"),
                (1, "204"),
                (2, "204"),
                (254, "204"),
                (255, "204"),
                (256, "400 PropertyNameTooLong"),
            ],
        ),
        limit(
            "characters of a text: 64 KiB in UTF-16",
            "STORAGE, section 7",
            &["storage-wire/table/entity VALUE_BYTES_MAX"],
            |n| insert(&format!("text{n}"), &[("p".to_owned(), format!("\"{}\"", letters(n)))]),
            &[(32_767, "204"), (32_768, "204"), (32_769, "400 PropertyValueTooLarge")],
        ),
        limit(
            "bytes of binary",
            "STORAGE, section 7",
            &[],
            |n| insert(&format!("binary{n}"), &binary("p", n)),
            &[(65_535, "204"), (65_536, "204"), (65_537, "400 PropertyValueTooLarge")],
        ),
        limit(
            "year of a date",
            "Understanding the Table service data model",
            &["storage-wire/table/entity DATE_TIME_SECONDS_MIN"],
            |n| {
                let date = ("d".to_owned(), format!("\"{n}-12-31T23:59:59Z\""));
                insert(
                    &format!("date{n}"),
                    &[("d@odata.type".to_owned(), "\"Edm.DateTime\"".to_owned()), date],
                )
            },
            &[
                (1599, "400 OutOfRangeInput"),
                (1600, "400 OutOfRangeInput"),
                (1601, "204"),
                (9998, "204"),
                (9999, "204"),
                (10_000, "400 InvalidInput"),
            ],
        ),
    ]
}

fn entities() -> Vec<Limit> {
    const MIB: i128 = 1 << 20;
    const KEYS: &[(i128, &str)] = &[(0, "204"), (511, "204"), (512, "204"), (513, "400 KeyValueTooLarge")];
    vec![
        limit(
            "characters of a partition key: 1 KiB in UTF-16",
            "STORAGE, section 7",
            &["storage-wire/table/key KEY_UNITS_MAX"],
            |n| insert_keyed(&letters(n), "key", &[]),
            KEYS,
        ),
        limit(
            "characters of a row key: 1 KiB in UTF-16",
            "STORAGE, section 7",
            &[],
            |n| insert_keyed("key", &letters(n), &[]),
            KEYS,
        ),
        limit(
            "characters of a key, each of two units of UTF-16",
            "STORAGE, section 7",
            &[],
            |n| insert_keyed("pair", &"\u{1F4A9}".repeat(usize::try_from(n).unwrap()), &[]),
            &[(255, "204"), (256, "204"), (257, "400 KeyValueTooLarge")],
        ),
        limit(
            "bytes of an entity",
            "STORAGE, section 7",
            &["storage-wire/table/entity ENTITY_BYTES_MAX"],
            |n| {
                let sample = entity_of(n);
                super::Sample {
                    body: String::from_utf8(sample.body.clone())
                        .unwrap()
                        .replace("\"size\"", &format!("\"{:04}\"", n % 10_000))
                        .into_bytes(),
                    ..sample
                }
            },
            &[(MIB - 1, "204"), (MIB, "204"), (MIB + 1, "400 EntityTooLarge")],
        ),
        limit(
            "bytes of an entity in JSON",
            "none: 1 MiB of which every character is escaped",
            &["storage-wire/table/entity BODY_BYTES_MAX"],
            |n| {
                let body = format!("{{\"PartitionKey\":\"body\",\"RowKey\":\"{n}\"}}");
                of(Service::Table, "POST", "/table", &JSON, &padded(&body, n))
            },
            &[(4_194_303, "204"), (4_194_304, "204"), (4_194_305, TOO_LARGE)],
        ),
        limit(
            "bytes of a table's name in JSON",
            "none: longer than any that means something",
            &["storage-service/table/collection BODY_BYTES_MAX"],
            |n| {
                let body = format!("{{\"TableName\":\"padded{n}\"}}");
                of(Service::Table, "POST", "/Tables", &JSON, &padded(&body, n))
            },
            &[(65_535, "204"), (65_536, "204"), (65_537, TOO_LARGE)],
        ),
    ]
}

fn transactions() -> Vec<Limit> {
    vec![
        limit(
            "changes of an entity group transaction",
            "STORAGE, section 7",
            &["storage-wire/table/batch OPERATIONS_MAX"],
            |n| batch(&transaction(n)),
            &[
                (0, "400 InvalidInput"),
                (1, "202: 1 x 204"),
                (2, "202: 2 x 204"),
                (99, "202: 99 x 204"),
                (100, "202: 100 x 204"),
                (101, "400 InvalidInput"),
            ],
        ),
        limit(
            "bytes of an entity group transaction",
            "STORAGE, section 7",
            &["storage-wire/table/batch BODY_BYTES_MAX"],
            |n| batch(&padded(&transaction(1), n)),
            &[(4_194_303, "202: 1 x 204"), (4_194_304, "202: 1 x 204"), (4_194_305, TOO_LARGE)],
        ),
    ]
}

fn queries() -> Vec<Limit> {
    const BAD: &str = "400 InvalidQueryParameterValue";
    vec![
        limit(
            "rows of a query",
            "STORAGE, section 7",
            &["storage-wire/table/query PAGE_ROWS_MAX"],
            |n| query(&format!("$top={n}")),
            &[(-1, BAD), (0, BAD), (1, "200"), (2, "200"), (999, "200"), (1000, "200"), (1001, BAD)],
        ),
        limit(
            "properties that a query selects",
            "STORAGE, section 7: as many as an entity has",
            &["storage-wire/table/query SELECTED_MAX"],
            |n| query(&format!("$select={}", (0..n).map(|name| format!("p{name},")).collect::<String>())),
            &[(254, "200"), (255, "200"), (256, BAD)],
        ),
        limit(
            "depth of a filter",
            "none: deeper than any that people or clients write",
            &["storage-wire/table/filter/parse DEPTH_MAX"],
            |n| {
                let depth = usize::try_from(n).unwrap();
                query(&format!("$filter={}a%20eq%201{}", "(".repeat(depth), ")".repeat(depth)))
            },
            &[(48, "200"), (49, "200"), (50, "400 InvalidInput")],
        ),
        limit(
            "characters of a filter",
            "none: a URL is not much longer",
            &["storage-wire/table/filter/parse CHARS_MAX"],
            |n| query(&format!("$filter=a%20eq%20%27{}%27", letters(n - 7))),
            &[(32_767, "200"), (32_768, "200"), (32_769, "400 InvalidInput")],
        ),
    ]
}

pub fn limits() -> Vec<Limit> {
    [properties(), entities(), transactions(), queries()].into_iter().flatten().collect()
}
