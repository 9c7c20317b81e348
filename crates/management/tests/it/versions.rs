//! What older versions of the API do not have.

use ureq::http::Method;
use welkin_management_wire::answer::text;

use crate::rig::{Answer, Rig};

#[test]
fn operations_and_fields_came_later() {
    let rig = Rig::start();
    let alice = rig.alice();
    alice.make_service("guestbook");
    alice.make_account("pictures");
    let get = |version: &str, path: &str| -> Answer {
        alice.raw(&Method::GET, path, &[("x-ms-version", version)], b"")
    };
    for (path, before, since) in [
        ("", "2011-08-01", "2011-10-01"),
        ("/certificates", "2011-10-01", "2012-03-01"),
        ("/services/hostedservices/operations/isavailable/a", "2011-10-01", "2012-03-01"),
        ("/services/storageservices/operations/isavailable/abc", "2011-10-01", "2012-03-01"),
    ] {
        let refused = get(before, path);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "MissingOrIncorrectVersionHeader"),
            "{path}"
        );
        assert!(refused.text.contains(since), "{refused:?}");
        assert_eq!(get(since, path).status, 200, "{path}");
    }
    let service = "/services/hostedservices/guestbook";
    let account = "/services/storageservices/pictures";
    let taken = "/services/hostedservices/operations/isavailable/guestbook";
    for (path, field, before, since) in [
        (service, &["HostedServiceProperties", "Status"][..], "2011-10-01", "2012-03-01"),
        (service, &["HostedServiceProperties", "DateCreated"], "2011-10-01", "2012-03-01"),
        (service, &["HostedServiceProperties", "ExtendedProperties"], "2011-10-01", "2012-03-01"),
        (account, &["ExtendedProperties"], "2011-10-01", "2012-03-01"),
        (taken, &["Reason"], "2012-12-01", "2013-03-01"),
    ] {
        for (version, there) in [(before, false), (since, true)] {
            let answer = get(version, path);
            assert_eq!(text(&answer.text, field).is_some(), there, "{path} {field:?} {version}: {answer:?}");
        }
    }
}
