//! Versions, limits and forms that hold for every operation.

use ureq::http::Method;

use crate::rig::{ALICE, Rig};

#[test]
fn what_holds_for_every_request() {
    let rig = Rig::start();
    let alice = rig.alice();
    let version = ("x-ms-version", "2014-10-01");
    let large = "x".repeat(3 << 20);
    for (method, path, headers, body, status, code) in [
        (Method::GET, "/locations", &[version][..], "", 200, ""),
        (Method::GET, "/locations", &[], "", 400, "MissingOrIncorrectVersionHeader"),
        (Method::GET, "/locations", &[("x-ms-version", "today")], "", 400, "MissingOrIncorrectVersionHeader"),
        (Method::PUT, "/locations", &[version], "", 400, "InvalidHttpVerb"),
        (Method::GET, "/nonsense", &[version], "", 404, "ResourceNotFound"),
        (Method::POST, "/services/hostedservices", &[version], "<a", 400, "InvalidXmlRequest"),
        (Method::POST, "/services/hostedservices", &[version], "<a/>", 400, "InvalidXmlRequest"),
        (Method::POST, "/services/hostedservices", &[version], &large, 413, "RequestBodyTooLarge"),
    ] {
        let answer = alice.raw(&method, path, headers, body.as_bytes());
        let case = format!("{method} {path} {headers:?}: {:.300}", format!("{answer:?}"));
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{case}");
        assert_eq!(answer.content_type, "application/xml; charset=utf-8", "{case}");
        assert!(answer.request_id.len() == 32 && !answer.request_id.contains('-'), "{case}");
    }
}

#[test]
fn what_there_is() {
    let rig = Rig::start();
    let alice = rig.alice();
    for (path, parts) in [
        ("/locations", &["<Name>Earth</Name>", "<AvailableService>Storage</AvailableService>"][..]),
        ("/rolesizes", &["<Name>ExtraSmall</Name>", "<MemoryInMb>768</MemoryInMb>"]),
        ("/operatingsystems", &["<OperatingSystems"]),
        ("", &[ALICE, "<MaxHostedServices>3</MaxHostedServices>", "<CurrentHostedServices>0<"]),
        ("/welkin/fabric-key", &["age1test"]),
        ("/welkin/status", &["\"location\":\"Earth\"", "node0"]),
    ] {
        let answer = alice.get(path);
        assert_eq!(answer.status, 200, "{answer:?}");
        for part in parts {
            assert!(answer.text.contains(part), "{path}: {part}: {}", answer.text);
        }
    }
}
