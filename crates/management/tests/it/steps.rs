//! Every step of every operation that has several: it fails, its answer is lost, it is refused, the service ends before
//! it and after it. The operation ends as done or as not done, all of what it is about is as it was or as it is to be,
//! and the next operation works.

use welkin_management_wire::answer::{Outcome, text, texts};

use crate::fabric::Trap;
use crate::rig::{Answer, Customer, Rig, base64, deployment_body};

const SERVICE: &str = "/services/hostedservices/guestbook";
const PRODUCTION: &str = "/services/hostedservices/guestbook/deploymentslots/Production";
const STAGING: &str = "/services/hostedservices/guestbook/deploymentslots/Staging";
const TRAPS: [Trap; 5] = [Trap::Fails, Trap::Lost, Trap::Refused, Trap::EndsBefore, Trap::EndsAfter];
/// More steps than any operation has.
const STEPS_MAX: u32 = 20;

/// Which deployments there are when an operation begins.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    Nothing,
    Both,
    StagingOnly,
}

fn package(rig: &Rig, name: &str) -> String {
    format!("{}/public/c/{name}", rig.storage.blob_endpoint)
}

fn prepare(rig: &Rig, start: Start) {
    let alice = rig.alice();
    // The name of a service that was deleted is free a moment after the operation's end.
    let end = std::time::Instant::now() + crate::rig::LIMIT;
    while alice.make_service("guestbook").status != 201 {
        assert!(std::time::Instant::now() < end, "the name is never free");
    }
    for (path, name, wanted) in
        [(PRODUCTION, "v1", start == Start::Both), (STAGING, "v2", start != Start::Nothing)]
    {
        if wanted {
            let body = deployment_body(name, &package(rig, "p.cspkg"), &format!("<{name}/>"), true);
            assert_eq!(alice.outcome(&alice.post(path, &body)), Outcome::Succeeded);
        }
    }
}

/// All that a customer and the FC can tell of the service.
fn snapshot(rig: &Rig) -> Vec<String> {
    let alice = rig.alice();
    let mut lines = vec![format!("service {}", alice.get(SERVICE).status)];
    for path in [PRODUCTION, STAGING] {
        let found = alice.get(path);
        let of = |name| text(&found.text, &[name]);
        let address = text(&found.text, &["VirtualIPs", "VirtualIP", "Address"]);
        let instances = texts(&found.text, &["RoleInstanceList", "RoleInstance", "InstanceName"]);
        lines.push(format!(
            "{path} {} {:?} {:?} {:?} {:?} {address:?} {instances:?}",
            found.status,
            of("Name"),
            of("Label"),
            of("Configuration"),
            of("Locked"),
        ));
    }
    let mut goals: Vec<String> = rig
        .fabric
        .goals()
        .into_iter()
        .map(|goal| format!("{:?} {} {} {:?}", goal.slot, goal.package, goal.configuration, goal.status))
        .collect();
    goals.sort();
    lines.extend(goals);
    lines
}

/// Nothing is held or left, so the next operation works; then all is removed.
fn clean(rig: &Rig) {
    let alice = rig.alice();
    let body = "<UpdateDeploymentStatus><Status>Running</Status></UpdateDeploymentStatus>";
    for path in [PRODUCTION, STAGING] {
        if alice.get(path).status == 200 {
            let accepted = alice.post(&format!("{path}?comp=status"), body);
            assert_eq!((accepted.status, alice.outcome(&accepted)), (202, Outcome::Succeeded));
        }
    }
    if alice.get(SERVICE).status == 200 {
        let accepted = alice.delete(&format!("{SERVICE}?comp=media"));
        assert_eq!((accepted.status, alice.outcome(&accepted)), (202, Outcome::Succeeded));
    }
    assert_eq!(alice.get(SERVICE).status, 404);
    assert!(rig.fabric.goals().is_empty());
    let left: Vec<_> = std::fs::read_dir(rig.folder().join("data/packages")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

fn check(start: Start, operation: impl Fn(&Customer, &Rig) -> Answer) {
    let mut rig = Rig::start();
    rig.fabric.set_quick();
    prepare(&rig, start);
    let before = snapshot(&rig);
    let accepted = operation(&rig.alice(), &rig);
    assert_eq!(rig.alice().outcome(&accepted), Outcome::Succeeded, "{accepted:?}");
    let after = snapshot(&rig);
    assert_ne!(before, after);
    clean(&rig);
    for trap in TRAPS {
        for step in 0..STEPS_MAX {
            prepare(&rig, start);
            assert_eq!(snapshot(&rig), before);
            rig.fabric.set_trap(step, trap);
            let accepted = operation(&rig.alice(), &rig);
            assert!(matches!(accepted.status, 200 | 202), "{trap:?} {step}: {accepted:?}");
            if matches!(trap, Trap::EndsBefore | Trap::EndsAfter) {
                let status = || rig.alice().get(&format!("/operations/{}", accepted.request_id)).text;
                while !rig.fabric.is_caught() && status().contains("InProgress") {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                if rig.fabric.is_caught() {
                    rig.stop_management();
                    rig.start_management();
                }
            }
            let outcome = rig.alice().outcome(&accepted);
            let caught = rig.fabric.is_caught();
            rig.fabric.remove_trap();
            let expected = if outcome == Outcome::Succeeded { &after } else { &before };
            assert_eq!(&snapshot(&rig), expected, "{trap:?} at step {step}: {outcome:?}");
            assert!(
                outcome == Outcome::Succeeded || trap == Trap::Refused,
                "{trap:?} at {step}: {outcome:?}"
            );
            clean(&rig);
            if !caught {
                assert!(step > 0, "the operation has no step");
                break;
            }
        }
    }
}

#[test]
fn create() {
    check(Start::Nothing, |alice, rig| {
        alice.post(PRODUCTION, &deployment_body("v1", &package(rig, "p.cspkg"), "<c/>", true))
    });
}

#[test]
fn change_configuration() {
    check(Start::Both, |alice, _| {
        let body = format!(
            "<ChangeConfiguration><Configuration>{}</Configuration></ChangeConfiguration>",
            base64("<changed/>")
        );
        alice.post(&format!("{PRODUCTION}/?comp=config"), &body)
    });
}

#[test]
fn upgrade() {
    check(Start::Both, |alice, rig| {
        alice.post(&format!("{PRODUCTION}/?comp=upgrade"), &upgrade_body(&package(rig, "p2.cspkg")))
    });
}

pub fn upgrade_body(url: &str) -> String {
    format!(
        "<UpgradeDeployment><Mode>Auto</Mode><PackageUrl>{url}</PackageUrl><Configuration>{}</Configuration>\
         <Label>{}</Label><Force>false</Force></UpgradeDeployment>",
        base64("<upgraded/>"),
        base64("upgraded")
    )
}

#[test]
fn delete() {
    check(Start::Both, |alice, _| alice.delete(PRODUCTION));
}

#[test]
fn delete_instances() {
    check(Start::Both, |alice, _| {
        let body = "<RoleInstances><Name>Web_IN_0</Name></RoleInstances>";
        alice.post(&format!("{PRODUCTION}/roleinstances/?comp=delete"), body)
    });
}

#[test]
fn swap() {
    check(Start::Both, |alice, _| {
        let body = "<Swap><Production>v1</Production><SourceDeployment>v2</SourceDeployment></Swap>";
        alice.post(SERVICE, body)
    });
}

#[test]
fn promote() {
    check(Start::StagingOnly, |alice, _| {
        alice.post(SERVICE, "<Swap><SourceDeployment>v2</SourceDeployment></Swap>")
    });
}

#[test]
fn delete_service() {
    check(Start::Both, |alice, _| alice.delete(&format!("{SERVICE}?comp=media")));
}
