//! Hosted services.

use ureq::http::Method;
use welkin_management_wire::answer::{Outcome, text, texts};

use crate::rig::{Rig, base64, service_body};

const BASE: &str = "/services/hostedservices";

#[test]
fn the_life_of_a_hosted_service() {
    let rig = Rig::start();
    let alice = rig.alice();
    let created = alice.make_service("Guestbook");
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(alice.outcome(&created), Outcome::Succeeded);
    assert_eq!(alice.make_service("second").status, 201);
    let listed = alice.get(BASE);
    assert_eq!(texts(&listed.text, &["HostedService", "ServiceName"]), ["Guestbook", "second"]);

    // A DNS name has no case.
    let one = alice.get(&format!("{BASE}/guestbook"));
    let property = |name| text(&one.text, &["HostedServiceProperties", name]).unwrap();
    assert_eq!((property("Location"), property("Label")), ("Earth".to_owned(), base64("label")));
    let url = text(&one.text, &["Url"]).unwrap();
    assert!(
        url.starts_with("https://127.0.0.1:") && url.ends_with("/services/hostedservices/Guestbook"),
        "{url}"
    );

    let body = format!("<UpdateHostedService><Label>{}</Label></UpdateHostedService>", base64("new"));
    let updated = alice.call(&Method::PUT, &format!("{BASE}/Guestbook"), &body);
    assert_eq!(updated.status, 200, "{updated:?}");
    let one = alice.get(&format!("{BASE}/Guestbook?embed-detail=true"));
    assert_eq!(text(&one.text, &["HostedServiceProperties", "Label"]).unwrap(), base64("new"));
    assert!(one.text.contains("<Deployments/>"), "{}", one.text);

    assert_eq!(alice.delete(&format!("{BASE}/Guestbook")).status, 200);
    assert_eq!(alice.get(&format!("{BASE}/Guestbook")).status, 404);
    assert_eq!(alice.delete(&format!("{BASE}/Guestbook")).status, 404);
    assert_eq!(texts(&alice.get(BASE).text, &["HostedService", "ServiceName"]), ["second"]);
    assert_eq!(alice.make_service("Guestbook").status, 201);
}

#[test]
fn names_are_for_everybody_and_services_for_one() {
    let rig = Rig::start();
    let (alice, bob) = (rig.alice(), rig.bob());
    assert_eq!(alice.make_service("guestbook").status, 201);
    let refused = bob.make_service("GUESTBOOK");
    assert_eq!((refused.status, refused.code().as_str()), (409, "ConflictError"));
    assert_eq!(texts(&bob.get(BASE).text, &["HostedService"]).len(), 0);
    for (method, body) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::PUT, "<UpdateHostedService><Label>YQ==</Label></UpdateHostedService>"),
    ] {
        let answer = bob.call(&method, &format!("{BASE}/guestbook"), body);
        assert_eq!((answer.status, answer.code().as_str()), (404, "ResourceNotFound"), "{method}");
    }
    for (name, result, reason) in [
        ("guestbook", "false", Some("HostedServiceAlreadyExists")),
        ("other", "true", None),
        ("-x-", "false", Some("HostedServiceNameNotValid")),
    ] {
        let answer = bob.get(&format!("{BASE}/operations/isavailable/{name}"));
        assert_eq!(text(&answer.text, &["Result"]).as_deref(), Some(result), "{name}");
        assert_eq!(text(&answer.text, &["Reason"]).as_deref(), reason, "{name}");
    }
}

#[test]
fn what_is_refused() {
    let rig = Rig::start();
    let alice = rig.alice();
    for (body, status, part) in [
        (service_body("a b"), 400, "hosted service name"),
        (service_body("a").replace("Earth", "Mars"), 400, "only location is &quot;Earth&quot;"),
        (service_body("a").replace("<Location>Earth</Location>", ""), 400, "give a Location"),
        (service_body("one"), 201, ""),
        (service_body("two"), 201, ""),
        (service_body("three"), 201, ""),
        (service_body("four"), 409, "may have 3 hosted services"),
    ] {
        let answer = alice.post(BASE, &body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.text.contains(part), "{body}: {answer:?}");
    }
}
