//! Vectors made with the official Python clients (azure-storage-blob 12.31.1, azure-data-tables 12.7.0).

use super::*;

const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn head(service: Service, method: &str, target: &str, more: &[(&'static str, &str)]) -> RequestHead {
    let mut headers = HeaderMap::new();
    let dated = [("x-ms-date", "Tue, 24 Nov 2026 11:00:00 GMT"), ("x-ms-version", "2021-10-04")];
    for (name, value) in dated.iter().chain(more) {
        headers.insert(*name, value.parse().unwrap());
    }
    let uri = format!("/devstoreaccount1{target}").parse().unwrap();
    RequestHead::parse(service, method.parse().unwrap(), &uri, headers, &[]).unwrap()
}

fn check(head: &RequestHead, signature: &str, valid: bool) {
    let value = format!("SharedKey devstoreaccount1:{signature}");
    let keys = [AccountKey::from_base64("b3RoZXI=").unwrap(), AccountKey::from_base64(KEY).unwrap()];
    assert_eq!(verify(head, &Signature::parse(&value).unwrap(), &keys), valid, "{}", head.path);
}

#[test]
fn blob_vectors() {
    type Headers = [(&'static str, &'static str)];
    let rows: &[(&str, &str, &Headers, &str)] = &[
        (
            "GET",
            "/?comp=list&prefix=a%20b&include=metadata",
            &[],
            "FB22LYqVFQ+Bt5H39y+OPU58B5f1VxtNFwT2WEFY5gs=",
        ),
        (
            "PUT",
            "/c/b%20%C3%A9",
            &[
                ("content-length", "5"),
                ("content-type", "text/plain"),
                ("x-ms-blob-type", "BlockBlob"),
                ("if-none-match", "*"),
                ("x-ms-meta-ab", "1"),
                ("x-ms-meta-a_c", "2"),
            ],
            "s2B2UNszBSeuZs4CnJXWmjoXeSWDeEiKIAvsNqRPMQM=",
        ),
        (
            "PUT",
            "/c?restype=container",
            &[("content-length", "0")],
            "H1uOrXohbM8M818xCefZUKCdGV6cbnSqq/hUi/szoEA=",
        ),
        (
            "PUT",
            "/c/b",
            &[
                ("x-ms-meta-a-b", "1"),
                ("x-ms-meta-ab", "2"),
                ("x-ms-meta-a1", "3"),
                ("x-ms-meta-a_b", "4"),
                ("x-ms-blob-type", "BlockBlob"),
                ("x-ms-blob-content-type", "a"),
            ],
            "WI7dZlFF2qz27kTvf05Ns5sDARKNnH5bTtyL5+czoVM=",
        ),
    ];
    for (method, target, headers, signature) in rows {
        check(&head(Service::Blob, method, target, headers), signature, true);
        check(&head(Service::Blob, "DELETE", target, headers), signature, false);
    }
}

#[test]
fn table_vectors() {
    let typed: &[(&'static str, &str)] =
        &[("content-type", "application/json;odata=nometadata"), ("content-length", "3")];
    let created = head(Service::Table, "POST", "/Tables", typed);
    check(&created, "juTXY/4q7tHK2tDv39dJFOyOnV2XwSM3HYM7vtizb74=", true);
    let acl = head(Service::Table, "GET", "/t()?comp=acl&$top=3", &[]);
    check(&acl, "fq0pB5RZWplCsOFHATjKR38OZ+1GTnG+ElxGzk6k1Z4=", true);
    check(&created, "fq0pB5RZWplCsOFHATjKR38OZ+1GTnG+ElxGzk6k1Z4=", false);
}

#[test]
fn what_a_client_signs_is_verified() {
    let key = AccountKey::from_base64(KEY).unwrap();
    for service in [Service::Blob, Service::Queue, Service::Table] {
        let head = head(service, "PUT", "/c/b?timeout=3&comp=block&comp=a", &[("content-length", "3")]);
        let url = "/devstoreaccount1/c/b?timeout=3&comp=block&comp=a".parse().unwrap();
        let value = authorize("devstoreaccount1", &key, service, &head.method, &url, &head.headers).unwrap();
        assert!(verify(&head, &Signature::parse(&value).unwrap(), std::slice::from_ref(&key)));
        let other = AccountKey::from_bytes(vec![1; 64]);
        assert!(!verify(&head, &Signature::parse(&value).unwrap(), &[other]));
    }
}

#[test]
fn secondary_is_signed_in_two_ways() {
    let key = AccountKey::from_base64(KEY).unwrap();
    for path in ["/devstoreaccount1-secondary/c", "/devstoreaccount1/c"] {
        let head = head(Service::Blob, "GET", "-secondary/c", &[]);
        assert!(head.secondary);
        let url = path.parse().unwrap();
        let value =
            authorize("devstoreaccount1", &key, Service::Blob, &head.method, &url, &head.headers).unwrap();
        assert!(verify(&head, &Signature::parse(&value).unwrap(), std::slice::from_ref(&key)), "{path}");
    }
}

#[test]
fn malformed_authorization() {
    for value in ["", "SharedKey", "SharedKey abc", "Bearer x:y", "sharedkey a:b"] {
        assert!(Signature::parse(value).is_err(), "{value}");
    }
    assert!(AccountKey::from_base64("no base64!").is_err());
    assert_eq!(format!("{:?}", AccountKey::from_base64(KEY).unwrap()), "AccountKey(..)");
}
