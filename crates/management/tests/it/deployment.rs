//! Deployments: from a package's URL to a goal of the fabric controller, and back to nothing.

use std::time::{Duration, Instant};

use welkin_fabric_wire::GoalStatus;
use welkin_management_wire::answer::{Outcome, text, texts};

use crate::rig::{Customer, LIMIT, Rig, deployment_body};
use crate::storage::PACKAGE;

const SERVICE: &str = "/services/hostedservices/guestbook";
const PRODUCTION: &str = "/services/hostedservices/guestbook/deploymentslots/Production";

fn status_becomes(customer: &Customer, path: &str, expected: &str) -> String {
    let end = Instant::now() + LIMIT;
    loop {
        let answer = customer.get(path);
        if text(&answer.text, &["Status"]).as_deref() == Some(expected) {
            return answer.text;
        }
        assert!(Instant::now() < end, "never {expected}: {answer:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_life_of_a_deployment() {
    let rig = Rig::start();
    let alice = rig.alice();
    assert_eq!(alice.make_service("guestbook").status, 201);
    assert_eq!(alice.get(PRODUCTION).status, 404);
    let url = format!("{}/public/c/p.cspkg", rig.storage.blob_endpoint);
    let accepted = alice.post(PRODUCTION, &deployment_body("v1", &url, "<c/>", true));
    assert_eq!((accepted.status, accepted.text.as_str()), (202, ""), "{accepted:?}");
    assert_eq!(alice.outcome(&accepted), Outcome::Succeeded);
    assert_eq!(rig.fabric.packages(), [PACKAGE]);
    let goal = &rig.fabric.goals()[0];
    assert_eq!((goal.configuration.as_str(), goal.status), ("<c/>", GoalStatus::Running));
    assert_eq!(rig.fabric.cores_max().as_deref(), Some("8"), "the quota, which the FC holds");

    let by_name = format!("{SERVICE}/deployments/v1");
    let running = status_becomes(&alice, &by_name, "Running");
    assert_eq!(
        texts(&running, &["RoleInstanceList", "RoleInstance", "InstanceName"]),
        ["Web_IN_0", "Web_IN_1"]
    );
    assert_eq!(
        texts(&running, &["RoleInstanceList", "RoleInstance", "InstanceStatus"]),
        ["ReadyRole", "ReadyRole"]
    );
    assert_eq!(text(&running, &["VirtualIPs", "VirtualIP", "Address"]).as_deref(), Some("10.177.240.1"));
    assert_eq!(text(&running, &["Locked"]).as_deref(), Some("false"));
    let embedded = alice.get(&format!("{SERVICE}?embed-detail=true"));
    assert_eq!(texts(&embedded.text, &["Deployments", "Deployment", "Name"]), ["v1"]);
    assert_eq!(text(&alice.get("").text, &["CurrentCoreCount"]).as_deref(), Some("2"));
    let status = alice.get("/welkin/status").text;
    assert!(status.contains("http://10.177.240.1/") && status.contains("Web_IN_1"), "{status}");

    let refused = alice.delete(SERVICE);
    assert_eq!((refused.status, refused.code().as_str()), (409, "ConflictError"));
    let deleted = alice.delete(PRODUCTION);
    assert_eq!(deleted.status, 202);
    assert_eq!(alice.outcome(&deleted), Outcome::Succeeded);
    assert_eq!(alice.get(&by_name).status, 404);
    assert!(rig.fabric.goals().is_empty());
    assert_eq!(alice.delete(SERVICE).status, 200);
}

#[test]
fn suspended_and_started() {
    let rig = Rig::start();
    let alice = rig.alice();
    alice.make_service("guestbook");
    let url = format!("{}/public/c/p.cspkg", rig.storage.blob_endpoint);
    let accepted = alice.post(PRODUCTION, &deployment_body("v1", &url, "<c/>", false));
    assert_eq!(alice.outcome(&accepted), Outcome::Succeeded);
    status_becomes(&alice, PRODUCTION, "Suspended");
    for (status, expected) in [("Running", "Running"), ("Suspended", "Suspended")] {
        let body = format!("<UpdateDeploymentStatus><Status>{status}</Status></UpdateDeploymentStatus>");
        let accepted = alice.post(&format!("{PRODUCTION}/?comp=status"), &body);
        assert_eq!(accepted.status, 202, "{accepted:?}");
        assert_eq!(alice.outcome(&accepted), Outcome::Succeeded);
        status_becomes(&alice, PRODUCTION, expected);
    }
    assert_eq!(rig.fabric.goals()[0].generation.0, 3);
    assert_eq!(alice.post(&format!("{PRODUCTION}/roleinstances/Web_IN_1?comp=reboot"), "").status, 202);
    assert_eq!(alice.post(&format!("{PRODUCTION}/roleinstances/Web_IN_9?comp=reimage"), "").status, 404);
    assert_eq!(rig.fabric.reboots(), ["reboot Web_IN_1"]);
    let log = "/welkin/services/guestbook/slots/production/instances/Web_IN_0/log";
    assert_eq!(alice.get(log).text, "hello from the console\n");
    assert_eq!(rig.bob().get(log).status, 404);
}

#[test]
fn packages_and_who_may_read_them() {
    let rig = Rig::start();
    let (alice, bob) = (rig.alice(), rig.bob());
    alice.make_account("alicesown");
    bob.make_account("bobsown");
    alice.make_service("guestbook");
    let base = rig.storage.blob_endpoint.clone();
    for (path, configuration, expected) in [
        ("/signed/c/p.cspkg?sv=1&sig=right", "<c/>", Ok(())),
        ("/alicesown/c/p.cspkg", "<c/>", Ok(())),
        ("/signed/c/p.cspkg?sv=1&sig=wrong", "<c/>", Err("403")),
        ("/bobsown/c/p.cspkg", "<c/>", Err("403")),
        ("/public/c/other.cspkg", "<c/>", Err("404")),
        (
            "/public/c/p.cspkg",
            "<Unknown/>",
            Err("line 1: the role Unknown is not in the definition\nand more"),
        ),
    ] {
        let accepted =
            alice.post(PRODUCTION, &deployment_body("v1", &format!("{base}{path}"), configuration, true));
        assert_eq!(accepted.status, 202, "{path}: {accepted:?}");
        match (alice.outcome(&accepted), expected) {
            (Outcome::Succeeded, Ok(())) => {
                let deleted = alice.delete(PRODUCTION);
                assert_eq!(alice.outcome(&deleted), Outcome::Succeeded);
            }
            (Outcome::Failed(code, message), Err(part)) => {
                assert_eq!(code, "BadRequest");
                assert!(message.contains(part) && !message.contains("sig="), "{path}: {message}");
                // Nothing is left of it.
                assert_eq!(alice.get(PRODUCTION).status, 404);
                assert!(rig.fabric.goals().is_empty());
            }
            (outcome, _) => panic!("{path}: {outcome:?}"),
        }
    }
    let left: Vec<_> = std::fs::read_dir(rig.folder().join("data/packages")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_is_refused_at_once() {
    let rig = Rig::start();
    let alice = rig.alice();
    alice.make_service("guestbook");
    let url = format!("{}/public/c/p.cspkg", rig.storage.blob_endpoint);
    let good = deployment_body("v1", &url, "<c/>", true);
    let administration =
        deployment_body("v1", &format!("http://{}/v1/accounts/x", rig.storage.address), "<c/>", true);
    let accepted = alice.post(PRODUCTION, &good);
    assert_eq!(alice.outcome(&accepted), Outcome::Succeeded);
    let staging = "/services/hostedservices/guestbook/deploymentslots/staging";
    let other = "/services/hostedservices/other/deploymentslots/staging";
    for (path, body, status, part) in [
        (PRODUCTION, &good, 409, "the production slot of guestbook has a deployment"),
        (staging, &good, 409, "a deployment named v1 in its other slot"),
        (other, &good, 404, "no hosted service other"),
        (staging, &administration, 400, "must be of a blob in this cloud's storage"),
        (staging, &good.replace("v1", "v 1"), 400, "deployment name"),
        ("/services/hostedservices/guestbook/deploymentslots/blue", &good, 400, "not a slot"),
    ] {
        let answer = alice.post(path, body);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.text.replace("&apos;", "'").contains(part), "{path}: {answer:?}");
    }
}

#[test]
fn one_write_at_a_time() {
    let rig = Rig::start();
    let alice = rig.alice();
    alice.make_service("guestbook");
    rig.fabric.set_silent(true);
    let url = format!("{}/public/c/p.cspkg", rig.storage.blob_endpoint);
    let accepted = alice.post(PRODUCTION, &deployment_body("v1", &url, "<c/>", true));
    assert_eq!(accepted.status, 202);
    let body = "<UpdateDeploymentStatus><Status>Running</Status></UpdateDeploymentStatus>";
    for refused in [alice.delete(PRODUCTION), alice.post(&format!("{PRODUCTION}/?comp=status"), body)] {
        assert_eq!((refused.status, refused.code().as_str()), (409, "ConflictError"));
        assert!(refused.text.contains(&accepted.request_id), "{refused:?}");
    }
    let busy = alice.get(PRODUCTION);
    assert_eq!((busy.status, busy.code().as_str()), (503, "ServerBusy"));
    assert!(alice.get("/welkin/status").text.contains("\"trouble\":\"the fabric"));
    rig.fabric.set_silent(false);
    assert_eq!(alice.outcome(&accepted), Outcome::Succeeded);
}
