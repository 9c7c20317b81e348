//! Affinity groups, and what is in them.

use ureq::http::Method;
use welkin_management_wire::answer::{Outcome, text, texts};

use crate::rig::{ALICE, Customer, Rig, account_body, base64, service_body};

const BASE: &str = "/affinitygroups";

fn group_body(name: &str) -> String {
    format!(
        "<CreateAffinityGroup xmlns=\"http://schemas.microsoft.com/windowsazure\"><Name>{name}</Name><Label>{}</Label>\
         <Description>d</Description><Location>Earth</Location></CreateAffinityGroup>",
        base64("label")
    )
}

fn inside(body: &str, group: &str) -> String {
    body.replace("<Location>Earth</Location>", &format!("<AffinityGroup>{group}</AffinityGroup>"))
}

fn names(customer: &Customer) -> Vec<String> {
    texts(&customer.get(BASE).text, &["AffinityGroup", "Name"])
}

#[test]
fn the_life_of_a_group() {
    let rig = Rig::start();
    let (alice, bob) = (rig.alice(), rig.bob());
    let made = alice.post(BASE, &group_body("Near"));
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.location.ends_with(&format!("/subscriptions/{ALICE}/affinitygroup/Near")), "{made:?}");
    assert_eq!(alice.outcome(&made), Outcome::Succeeded);
    assert_eq!(names(&alice), ["Near"]);
    assert!(names(&bob).is_empty());
    assert_eq!(bob.post(BASE, &group_body("Near")).status, 201, "a name is a subscription's own");
    assert_eq!(bob.get(&format!("{BASE}/near")).status, 200);

    assert_eq!(alice.post("/services/hostedservices", &inside(&service_body("first"), "near")).status, 201);
    let accepted = alice.post("/services/storageservices", &inside(&account_body("pictures"), "Near"));
    assert_eq!(alice.outcome(&accepted), Outcome::Succeeded);
    let one = alice.get(&format!("{BASE}/near")).text;
    for (path, expected) in [
        (&["Location"][..], "Earth"),
        (&["Description"], "d"),
        (&["HostedServices", "HostedService", "ServiceName"], "first"),
        (&["StorageServices", "StorageService", "ServiceName"], "pictures"),
    ] {
        assert_eq!(texts(&one, path), [expected], "{one}");
    }
    for (path, properties) in [
        ("/services/hostedservices/first", "HostedServiceProperties"),
        ("/services/storageservices/pictures", "StorageServiceProperties"),
    ] {
        let answer = alice.get(path).text;
        assert_eq!(text(&answer, &[properties, "AffinityGroup"]).as_deref(), Some("Near"), "{answer}");
        assert_eq!(text(&answer, &[properties, "Location"]), None, "{answer}");
    }

    let update = format!("<UpdateAffinityGroup><Label>{}</Label></UpdateAffinityGroup>", base64("new"));
    assert_eq!(alice.call(&Method::PUT, &format!("{BASE}/Near"), &update).status, 200);
    let one = alice.get(&format!("{BASE}/near")).text;
    assert_eq!(text(&one, &["Label"]), Some(base64("new")));
    assert_eq!(text(&one, &["Description"]).as_deref(), Some(""));

    for (path, part) in [
        ("/services/hostedservices/first", "first is in the"),
        ("/services/storageservices/pictures", "pictures"),
    ] {
        let refused = alice.delete(&format!("{BASE}/near"));
        assert!(refused.status == 409 && refused.text.contains(part), "{refused:?}");
        assert_eq!(alice.delete(path).status, 200);
    }
    assert_eq!(alice.delete(&format!("{BASE}/near")).status, 200);
    assert!(names(&alice).is_empty());
    assert_eq!(names(&bob), ["Near"]);
}

#[test]
fn what_is_refused() {
    let rig = Rig::start();
    let alice = rig.alice();
    alice.post(BASE, &group_body("near"));
    let services = "/services/hostedservices";
    for (method, path, body, status) in [
        (Method::POST, BASE, group_body("near"), 409),
        (Method::POST, BASE, group_body("NEAR"), 409),
        (Method::POST, BASE, group_body("a b"), 400),
        (Method::POST, BASE, group_body("far").replace("Earth", "Mars"), 400),
        (Method::GET, "/affinitygroups/far", String::new(), 404),
        (Method::DELETE, "/affinitygroups/far", String::new(), 404),
        (Method::DELETE, "/affinitygroups/a%20b", String::new(), 400),
        (Method::PUT, "/affinitygroups/near", "<UpdateAffinityGroup/>".to_owned(), 400),
        (Method::POST, services, inside(&service_body("a"), "far"), 400),
        (
            Method::POST,
            services,
            service_body("a").replace("<Loc", "<AffinityGroup>near</AffinityGroup><Loc"),
            400,
        ),
    ] {
        let answer = alice.call(&method, path, &body);
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
    }
}

#[test]
fn a_group_is_not_deleted_under_what_comes_into_it() {
    let rig = Rig::start();
    let alice = rig.alice();
    for round in 0..20 {
        assert_eq!(alice.post(BASE, &group_body("near")).status, 201);
        let (made, deleted) = std::thread::scope(|scope| {
            let make = scope.spawn(|| {
                rig.alice().post("/services/hostedservices", &inside(&service_body("inside"), "near")).status
            });
            let delete = scope.spawn(|| rig.alice().delete("/affinitygroups/near").status);
            (make.join().unwrap(), delete.join().unwrap())
        });
        let group = alice.get("/affinitygroups/near").status;
        match made {
            201 => {
                assert_eq!((deleted, group), (409, 200), "round {round}");
                assert_eq!(alice.delete("/services/hostedservices/inside").status, 200);
                assert_eq!(alice.delete("/affinitygroups/near").status, 200);
            }
            _ => assert_eq!((deleted, group), (200, 404), "round {round}: {made}"),
        }
    }
}
