//! Hosted services.

use ureq::http::Method;
use welkin_management_wire::answer::{Outcome, text, texts};

use crate::rig::{Rig, base64, deployment_body, service_body};

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

#[test]
fn all_its_fields() {
    let rig = Rig::start();
    let alice = rig.alice();
    let property = "<ExtendedProperties><ExtendedProperty><Name>a</Name><Value>1</Value></ExtendedProperty>\
        </ExtendedProperties><ReverseDnsFqdn>www.example.org.</ReverseDnsFqdn></CreateHostedService>";
    let body = service_body("full").replace("</CreateHostedService>", property);
    assert_eq!(alice.post(BASE, &body).status, 201);
    let one = alice.get(&format!("{BASE}/full")).text;
    for part in [
        "<Description i:nil=\"true\"/>",
        "<ExtendedProperty><Name>a</Name><Value>1</Value></ExtendedProperty>",
        "<ReverseDnsFqdn>www.example.org.</ReverseDnsFqdn>",
        "<Status>Created</Status>",
    ] {
        assert!(one.contains(part), "{part}: {one}");
    }
    let update = "<UpdateHostedService><Description>d</Description><ReverseDnsFqdn>b.example.org</ReverseDnsFqdn>\
        <ExtendedProperties/></UpdateHostedService>";
    assert_eq!(alice.call(&Method::PUT, &format!("{BASE}/full"), update).status, 200);
    let one = alice.get(&format!("{BASE}/full")).text;
    for part in ["<Description>d</Description>", "<ExtendedProperties/>", "<ReverseDnsFqdn>b.example.org<"] {
        assert!(one.contains(part), "{part}: {one}");
    }
    let nothing = alice.call(&Method::PUT, &format!("{BASE}/full"), "<UpdateHostedService/>");
    assert_eq!(nothing.status, 400, "{nothing:?}");
}

#[test]
fn a_service_goes_with_its_deployments() {
    let mut rig = Rig::start();
    let url = format!("{}/public/c/p.cspkg", rig.storage.blob_endpoint);
    let deploy = |rig: &Rig| {
        let alice = rig.alice();
        assert_eq!(alice.make_service("guestbook").status, 201);
        for slot in ["production", "staging"] {
            let path = format!("{BASE}/guestbook/deploymentslots/{slot}");
            let accepted = alice.post(&path, &deployment_body(slot, &url, "<c/>", true));
            assert_eq!(alice.outcome(&accepted), Outcome::Succeeded);
        }
    };
    let with_media = format!("{BASE}/guestbook?comp=media");
    deploy(&rig);
    assert_eq!(rig.bob().delete(&with_media).status, 404);
    let accepted = rig.alice().delete(&with_media);
    assert_eq!((accepted.status, accepted.text.as_str()), (202, ""), "{accepted:?}");
    assert_eq!(rig.alice().outcome(&accepted), Outcome::Succeeded);
    assert_eq!(rig.alice().get(&format!("{BASE}/guestbook")).status, 404);
    assert!(rig.fabric.goals().is_empty());

    // The fabric controller is silent, and the service ends in the middle.
    deploy(&rig);
    rig.fabric.set_silent(true);
    let accepted = rig.alice().delete(&with_media);
    assert_eq!(accepted.status, 202);
    let one = rig.alice().get(&format!("{BASE}/guestbook")).text;
    assert_eq!(text(&one, &["HostedServiceProperties", "Status"]).as_deref(), Some("Deleting"));
    let path = format!("{BASE}/guestbook/deploymentslots/production");
    let body = deployment_body("more", &url, "<c/>", true);
    for refused in [
        rig.alice().delete(&with_media),
        rig.alice().delete(&format!("{BASE}/guestbook")),
        rig.alice().delete(&path),
        rig.alice().post(&path, &body),
    ] {
        assert!(refused.status == 409 && refused.text.contains(&accepted.request_id), "{refused:?}");
    }
    rig.stop_management();
    rig.fabric.set_silent(false);
    rig.start_management();
    assert_eq!(rig.alice().outcome(&accepted), Outcome::Succeeded);
    assert_eq!(rig.alice().get(&format!("{BASE}/guestbook")).status, 404);
    assert!(rig.fabric.goals().is_empty());
    assert_eq!(text(&rig.alice().get("").text, &["CurrentHostedServices"]).as_deref(), Some("0"));
}
