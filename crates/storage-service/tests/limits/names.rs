//! Names of resources, and what a request says of itself.

use super::{Limit, Service, blob_request, letters, limit, of, put_blob};

fn container(name: &str) -> super::Sample {
    blob_request("PUT", &format!("/{name}?restype=container"), &[], "")
}

fn table(name: &str) -> super::Sample {
    let json = [("content-type", "application/json"), ("accept", "application/json")];
    of(Service::Table, "POST", "/Tables", &json, &format!("{{\"TableName\":\"{name}\"}}"))
}

/// A blob whose name is this many of a character, percent-encoded.
fn blob_of(character: &'static str) -> impl Fn(i128) -> super::Sample {
    move |count| {
        put_blob(&format!("/container/{}", character.repeat(usize::try_from(count).unwrap())), &[], "")
    }
}

/// Names that are long enough, each with what is answered.
const CHARACTERS: &[(Service, &str, &str)] = &[
    (Service::Blob, "$root", "201"),
    (Service::Blob, "$web", "201"),
    (Service::Blob, "$logs", "201"),
    (Service::Blob, "$other", "400 InvalidResourceName"),
    (Service::Blob, "0-1-a", "201"),
    (Service::Blob, "a--b", "400 InvalidResourceName"),
    (Service::Blob, "-ab", "400 InvalidResourceName"),
    (Service::Blob, "ab-", "400 InvalidResourceName"),
    (Service::Blob, "Abc", "400 InvalidResourceName"),
    (Service::Blob, "a_c", "400 InvalidResourceName"),
    (Service::Blob, "a.c", "400 InvalidResourceName"),
    (Service::Blob, "%C3%A9%C3%A9%C3%A9", "400 InvalidResourceName"),
    (Service::Queue, "0-1-q", "201"),
    (Service::Queue, "q--b", "400 InvalidResourceName"),
    (Service::Queue, "-qb", "400 InvalidResourceName"),
    (Service::Queue, "qb-", "400 InvalidResourceName"),
    (Service::Queue, "Qbc", "400 InvalidResourceName"),
    (Service::Queue, "q.c", "400 InvalidResourceName"),
    (Service::Queue, "%C3%A9%C3%A9%C3%A9", "400 InvalidResourceName"),
    (Service::Table, "aB0", "201"),
    (Service::Table, "0ab", "400 InvalidResourceName"),
    (Service::Table, "a-b", "400 InvalidResourceName"),
    (Service::Table, "a_b", "400 InvalidResourceName"),
    (Service::Table, "ééé", "400 InvalidResourceName"),
    (Service::Table, "Tables", "400 InvalidResourceName"),
];

#[tokio::test]
async fn characters() {
    let rig = super::Rig::start(|_| {}).await;
    for (service, name, expected) in CHARACTERS {
        let request = match service {
            Service::Blob => container(name),
            Service::Queue => of(Service::Queue, "PUT", &format!("/{name}"), &[], ""),
            Service::Table => table(name),
        };
        let reply = rig.send(&request.signed(&super::dev_key())).await;
        assert_eq!(format!("{} {}", reply.status, reply.code).trim_end(), *expected, "{service:?} {name}");
    }
    rig.end().await;
}

/// An id is given back up to this length, and is left out beyond; the request is answered in both cases.
#[tokio::test]
async fn echo_of_the_clients_request_id() {
    let rig = super::Rig::start(|_| {}).await;
    for (length, echoed) in [(1023, true), (1024, true), (1025, false)] {
        let request = blob_request("GET", "/?comp=list", &[("x-ms-client-request-id", &letters(length))], "");
        let reply = rig.send(&request.signed(&super::dev_key())).await;
        assert_eq!(
            (reply.status, reply.head.contains("x-ms-client-request-id: ")),
            (200, echoed),
            "{length}"
        );
    }
    rig.end().await;
}

pub fn limits() -> Vec<Limit> {
    const SHORT: &str = "400 OutOfRangeInput";
    vec![
        limit(
            "characters of a container's name",
            "STORAGE, section 2",
            &[
                "storage-service/blob/container NAME_CHARS_MIN",
                "storage-service/blob/container NAME_CHARS_MAX",
            ],
            |n| container(&letters(n)),
            &[(2, SHORT), (3, "201"), (4, "201"), (62, "201"), (63, "201"), (64, SHORT)],
        ),
        limit(
            "characters of a queue's name",
            "STORAGE, section 6",
            &["storage-wire/queue/list NAME_CHARS_MIN", "storage-wire/queue/list NAME_CHARS_MAX"],
            |n| of(Service::Queue, "PUT", &format!("/{}", letters(n)), &[], ""),
            &[(2, SHORT), (3, "201"), (4, "201"), (62, "201"), (63, "201"), (64, SHORT)],
        ),
        limit(
            "characters of a table's name",
            "STORAGE, section 7",
            &["storage-wire/table/key TABLE_NAME_CHARS_MIN", "storage-wire/table/key TABLE_NAME_CHARS_MAX"],
            |n| table(&letters(n)),
            &[(2, SHORT), (3, "201"), (4, "201"), (62, "201"), (63, "201"), (64, SHORT)],
        ),
        limit(
            "characters of a blob's name",
            "STORAGE, section 3",
            &["storage-service/blob/write NAME_CHARS_MAX"],
            blob_of("n"),
            &[(1, "201"), (1023, "201"), (1024, "201"), (1025, "400 InvalidResourceName")],
        ),
        limit(
            "characters of a blob's name, each of two bytes",
            "STORAGE, section 3",
            &[],
            blob_of("%C3%A9"),
            &[(1023, "201"), (1024, "201"), (1025, "400 InvalidResourceName")],
        ),
        limit(
            "characters of a blob's name, each of four bytes",
            "STORAGE, section 3",
            &[],
            blob_of("%F0%9F%92%A9"),
            &[(1023, "201"), (1024, "201"), (1025, "400 InvalidResourceName")],
        ),
        limit(
            "segments of a blob's name",
            "Naming and Referencing Containers, Blobs, and Metadata",
            &["storage-service/blob/write NAME_SEGMENTS_MAX"],
            |n| put_blob(&format!("/container{}", "/s".repeat(usize::try_from(n).unwrap())), &[], ""),
            &[(253, "201"), (254, "201"), (255, "400 InvalidResourceName")],
        ),
        limit(
            "parameters of a query",
            "none: no operation has more than thirty",
            &["storage-wire/query PARAMETERS_MAX"],
            |n| {
                blob_request(
                    "GET",
                    &format!("/?comp=list{}", "&x=1".repeat(usize::try_from(n - 1).unwrap())),
                    &[],
                    "",
                )
            },
            &[(99, "200"), (100, "200"), (101, "400 RequestUrlFailedToParse")],
        ),
        limit(
            "first day of the version of the protocol",
            "STORAGE, section 0",
            &["storage-wire/request VERSION_MIN"],
            |n| blob_request("GET", "/?comp=list", &[("x-ms-version", &format!("2009-04-{n}"))], ""),
            &[(13, "400 InvalidHeaderValue"), (14, "200"), (15, "200")],
        ),
        limit(
            "seconds of timeout",
            "Setting timeouts for Blob service operations",
            &[],
            |n| blob_request("GET", &format!("/?comp=list&timeout={n}"), &[], ""),
            &[(-1, "400 InvalidQueryParameterValue"), (0, "200"), (1, "200")],
        ),
    ]
}
