//! Vectors made with the official Python clients (azure-storage-blob 12.31.1, azure-storage-queue 12.18.1,
//! azure-data-tables 12.7.0).

use super::vectors::{self, KEY_OF_USER, Vector};
use super::*;
use crate::operation::Operation;

const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const ACCOUNT: &str = "se=2030-01-02T03%3A04%3A05Z&sp=rwl&sip=127.0.0.1&spr=https%2Chttp&sv=2026-10-06&ss=b&srt=sco&sig=dzUIO0MhRFdPv%2B84lqtnkFQ93LWdnYGusV14IGVY7oo%3D";
const BLOB: &str = "se=2030-01-02T03%3A04%3A05Z&sp=r&sv=2026-10-06&sr=b&rsct=text/x&sig=3%2BqYcGS2nkr0oS0tni2u7isV0cGe0E01jT0r1gDf13s%3D";
const CONTAINER: &str = "se=2030-01-02T03%3A04%3A05Z&sp=rl&sv=2026-10-06&si=p&sr=c&sig=uoN6tR2wLhiWmO5UR5LTqWTsOeH37ILkWVk1WQctXIc%3D";
const QUEUE: &str =
    "se=2030-01-02T03%3A04%3A05Z&sp=rap&sv=2026-10-06&sig=Kh5g2ZHwmb01l3MFcCwR3A3SnzlxfCEHy1Xr70Y2tf0%3D";
const TABLE: &str = "se=2030-01-02T03%3A04%3A05Z&sp=r&sv=2019-02-02&tn=MyTable&spk=a&epk=b&sig=DZzZEVLoiyoKi5yBDK3dszr%2BlD2GxUp6CXM0EjDwlrs%3D";

fn head(service: Service, method: &str, target: &str) -> RequestHead {
    let mut headers = http::HeaderMap::new();
    headers.insert("x-ms-blob-type", "BlockBlob".parse().unwrap());
    let uri = format!("/devstoreaccount1{target}").parse().unwrap();
    RequestHead::parse(service, method.parse().unwrap(), &uri, headers, &[]).unwrap()
}

fn arrival(now: &str) -> Arrival {
    let now = Timestamp::parse_rfc3339(now).unwrap();
    Arrival { now, address: "127.0.0.1".parse().unwrap(), https: false }
}

/// `expected` is an error code, or nothing where the request is permitted.
fn check(service: Service, request: &str, sas: &str, arrival: Arrival, expected: &str) {
    let (method, target) = request.split_once(' ').unwrap();
    let joint = if target.contains('?') { '&' } else { '?' };
    let head = head(service, method, &format!("{target}{joint}{sas}"));
    let keys = [AccountKey::from_base64(KEY).unwrap()];
    let result = Sas::of(&head).and_then(|sas| {
        let sas = sas.unwrap();
        if !sas.verify(&keys)? {
            return Err(ErrorCode::AuthenticationFailed.into());
        }
        sas.check(Operation::route(&head)?.spec(), arrival)
    });
    let code = result.err().map_or("", |error| error.code().as_str());
    assert_eq!(code, expected, "{request} {sas}");
}

#[test]
fn vectors() {
    let now = arrival("2029-01-01T00:00:00Z");
    for (service, request, sas, expected) in [
        (Service::Blob, "GET /c/b", ACCOUNT, ""),
        (Service::Blob, "GET /?comp=list", ACCOUNT, ""),
        (Service::Blob, "DELETE /c/b", ACCOUNT, "AuthorizationPermissionMismatch"),
        (Service::Queue, "GET /q/messages", ACCOUNT, "AuthorizationServiceMismatch"),
        (Service::Blob, "GET /c/b%20%C3%A9/x", BLOB, ""),
        (Service::Blob, "GET /c/other", BLOB, "AuthenticationFailed"),
        (Service::Blob, "PUT /c/b%20%C3%A9/x", BLOB, "AuthorizationPermissionMismatch"),
        (Service::Blob, "GET /c?restype=container&comp=list", BLOB, "AuthorizationFailure"),
        (Service::Blob, "GET /c?restype=container&comp=list", CONTAINER, ""),
        (Service::Blob, "GET /c/anything", CONTAINER, ""),
        (Service::Blob, "GET /d/anything", CONTAINER, "AuthenticationFailed"),
        (Service::Blob, "PUT /c?restype=container", CONTAINER, "AuthorizationPermissionMismatch"),
        (Service::Queue, "GET /q/messages", QUEUE, ""),
        (Service::Queue, "GET /other/messages", QUEUE, "AuthenticationFailed"),
        (Service::Queue, "PUT /q", QUEUE, "AuthorizationPermissionMismatch"),
        (Service::Table, "GET /MyTable()", TABLE, ""),
        (Service::Table, "GET /mytable(PartitionKey='a',RowKey='b')", TABLE, ""),
        (Service::Table, "GET /Other()", TABLE, "AuthorizationFailure"),
        (Service::Table, "GET /Tables", TABLE, "AuthorizationFailure"),
    ] {
        check(service, request, sas, now, expected);
    }
}

/// What is answered to the request of a vector when one of its parameters has another value; nothing where it is
/// permitted.
fn answer(vector: Vector, changed: Option<(&str, &str)>) -> String {
    let (method, target) = vector.request.split_once(' ').unwrap();
    let joint = if target.contains('?') { '&' } else { '?' };
    let parts: Vec<String> = vector
        .sas
        .split('&')
        .map(|part| match changed {
            Some((name, value)) if part.starts_with(&format!("{name}=")) => format!("{name}={value}"),
            _ => part.to_owned(),
        })
        .collect();
    let head = head(vector.service, method, &format!("{target}{joint}{}", parts.join("&")));
    let keys = [KEY, KEY_OF_USER].map(|key| AccountKey::from_base64(key).unwrap());
    let result = Sas::of(&head).and_then(|sas| {
        let sas = sas.unwrap();
        let delegated = sas.delegation_key(arrival("2029-01-01T00:00:00Z").now)?.is_some();
        if !sas.verify(&keys[usize::from(delegated)..][..1])? {
            return Err(ErrorCode::AuthenticationFailed.into());
        }
        sas.check(Operation::route(&head)?.spec(), arrival("2029-01-01T00:00:00Z"))
    });
    result.err().map_or(String::new(), |error| error.code().to_string())
}

#[test]
fn signatures_of_every_age() {
    // What each field may say instead: then the signature is not that of the request.
    let changes = [
        ("sp", "rwdl"),
        ("st", "2020-01-01"),
        ("se", "2031-01-01"),
        ("si", "other"),
        ("sip", "127.0.0.1-127.0.0.2"),
        ("spr", "http,https"),
        ("sv", "2013-08-16"),
        ("sr", "b"),
        ("ss", "bqt"),
        ("srt", "s"),
        ("rscc", "none"),
        ("rsct", "text/html"),
        ("ses", "other"),
        ("skoid", "other"),
        ("sktid", "other"),
        ("skt", "2020-01-01T00:00:00Z"),
        ("ske", "2030-01-01T00:00:00Z"),
        ("skv", "2026-01-01"),
        ("skdutid", "other"),
        ("saoid", "other"),
        ("suoid", "other"),
        ("scid", "other"),
        ("sduoid", "other"),
        ("spk", "b"),
        ("epk", "c"),
        ("srk", "b"),
        ("erk", "c"),
        ("srh", "x-ms-version"),
        ("srq", "comp"),
    ];
    for vector in vectors::all() {
        assert_eq!(answer(vector, None), "", "{}: {vector:?}", vector.client);
        for (name, value) in changes {
            if vector.field(name).is_some_and(|own| own != value) {
                assert_ne!(answer(vector, Some((name, value))), "", "{vector:?} with {name}={value}");
            }
        }
    }
}

/// The versions in which the text changed, and the one before each, are among the vectors.
#[test]
fn vectors_of_every_form() {
    let versions = |delegated: bool| {
        let of =
            vectors::all().into_iter().filter(move |vector| vector.field("skoid").is_some() == delegated);
        of.map(|vector| vector.field("sv").unwrap_or("")).collect::<std::collections::BTreeSet<_>>()
    };
    // No client made any between these and the next.
    const EMPTY: [&str; 2] = ["2015-02-21", "2025-07-05"];
    for (forms, delegated) in [
        (
            &["", "2012-02-12", "2013-08-15", "2015-02-21", "2015-04-05", "2018-11-09", "2020-12-06"][..],
            false,
        ),
        (&["2018-11-09", "2020-02-10", "2020-12-06", "2025-07-05", "2026-04-06"], true),
    ] {
        for (number, since) in forms.iter().enumerate() {
            let next = forms.get(number + 1).copied().unwrap_or("9999");
            let found = versions(delegated).into_iter().any(|version| (*since..next).contains(&version));
            assert!(found || EMPTY.contains(since), "no vector from {since} on");
        }
    }
}

#[test]
fn time_address_and_protocol() {
    let at = |address: &str| Arrival { address: address.parse().unwrap(), ..arrival("2029-01-01T00:00:00Z") };
    check(Service::Blob, "GET /c/b", ACCOUNT, arrival("2030-01-02T03:04:05Z"), "AuthenticationFailed");
    check(Service::Blob, "GET /c/b", ACCOUNT, at("127.0.0.2"), "AuthorizationSourceIPMismatch");
    check(Service::Blob, "GET /c/b", ACCOUNT, at("::ffff:127.0.0.1"), "");
    check(Service::Blob, "GET /c/b", "sig=x&sr=q", at("127.0.0.1"), "AuthenticationFailed");
    check(Service::Blob, "GET /c/b", "sig=x&sr=d&sdd=1", at("127.0.0.1"), "AuthenticationFailed");
    check(Service::Blob, "GET /c/b", "sig=x&sr=b&se=soon", at("127.0.0.1"), "AuthenticationFailed");
}

#[test]
fn what_is_made_is_verified() {
    let key = AccountKey::from_base64(KEY).unwrap();
    let expiry = Timestamp::parse_rfc3339("2030-01-01T00:00:00Z").unwrap();
    let query = blob_read_query("devstoreaccount1", &key, "c", "a b/é", expiry);
    let now = arrival("2029-01-01T00:00:00Z");
    check(Service::Blob, "GET /c/a%20b/%C3%A9", &query, now, "");
    check(Service::Blob, "HEAD /c/a%20b/%C3%A9", &query, now, "");
    check(Service::Blob, "DELETE /c/a%20b/%C3%A9", &query, now, "AuthorizationPermissionMismatch");
}

#[test]
fn stored_access_policies() {
    let head = head(Service::Blob, "GET", &format!("/c/b?{CONTAINER}"));
    let sas = Sas::of(&head).unwrap().unwrap();
    assert_eq!(sas.policy_id(), Some("p"));
    assert!(sas.clone().with_policy(None).is_err());
    assert!(sas.clone().with_policy(Some(&StoredAccessPolicy::default())).is_ok());
    let doubled = StoredAccessPolicy { permissions: Some("r".to_owned()), ..StoredAccessPolicy::default() };
    assert!(sas.with_policy(Some(&doubled)).is_err());
}

#[test]
fn moments() {
    for (text, valid) in [
        ("2030-01-02", true),
        ("2030-01-02T03:04Z", true),
        ("2030-01-02T03:04:05Z", true),
        ("2030-01-02T03:04:05.1234567Z", true),
        ("tomorrow", false),
    ] {
        assert_eq!(parse_moment("se", text).is_ok(), valid, "{text}");
    }
}
