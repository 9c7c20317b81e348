//! Updates: configuration, package, one domain after the other, the way back; and what else is asked of a deployment.

use http::Method;
use welkin_fabric_wire::{Slot, UpdateMode};
use welkin_management_wire::answer::{Outcome, text, texts, warnings};

use crate::rig::{Answer, Customer, Rig, base64, deployment_body};
use crate::steps::upgrade_body;
use crate::storage::{PACKAGE, PACKAGE_2};

const SERVICE: &str = "/services/hostedservices/guestbook";
const PRODUCTION: &str = "/services/hostedservices/guestbook/deploymentslots/Production";

fn deployed(rig: &Rig) -> Customer {
    let alice = rig.alice();
    alice.make_service("guestbook");
    let url = format!("{}/public/c/p.cspkg", rig.storage.blob_endpoint);
    let configuration = "<S><Role name=\"Web\"><Instances count=\"2\"/></Role></S>";
    let accepted = alice.post(PRODUCTION, &deployment_body("v1", &url, configuration, true));
    assert_eq!(alice.outcome(&accepted), Outcome::Succeeded);
    alice
}

fn configuration_body(text: &str, mode: &str) -> String {
    format!(
        "<ChangeConfiguration><Configuration>{}</Configuration><Mode>{mode}</Mode></ChangeConfiguration>",
        base64(text)
    )
}

fn done(alice: &Customer, accepted: &Answer) {
    assert_eq!((accepted.status, alice.outcome(accepted)), (202, Outcome::Succeeded), "{accepted:?}");
}

fn status(alice: &Customer) -> Option<(String, String, String)> {
    let found = alice.get(PRODUCTION).text;
    let of = |name| text(&found, &["UpgradeStatus", name]);
    Some((of("UpgradeType")?, of("CurrentUpgradeDomainState")?, of("CurrentUpgradeDomain")?))
}

fn said(of: (&str, &str, &str)) -> Option<(String, String, String)> {
    Some((of.0.into(), of.1.into(), of.2.into()))
}

#[test]
fn a_manual_update_walks_when_it_is_told_to() {
    let rig = Rig::start();
    let alice = deployed(&rig);
    let walk = |domain: u32| {
        let body = format!("<WalkUpgradeDomain><UpgradeDomain>{domain}</UpgradeDomain></WalkUpgradeDomain>");
        alice.post(&format!("{PRODUCTION}/?comp=walkupgradedomain"), &body)
    };
    assert_eq!(walk(0).status, 400);
    done(&alice, &alice.post(&format!("{PRODUCTION}/?comp=config"), &configuration_body("<new/>", "Manual")));
    assert_eq!(status(&alice), said(("Manual", "Before", "0")));
    let refused = walk(1);
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("upgrade domain 0 is next"), "{refused:?}");
    done(&alice, &walk(0));
    assert_eq!(rig.fabric.goals()[0].update.mode, UpdateMode::Manual { domain: Some(0) });
    assert_eq!(status(&alice), said(("Manual", "Before", "1")));
    done(&alice, &walk(1));
    assert_eq!(status(&alice), None);
    assert_eq!(text(&alice.get(PRODUCTION).text, &["Configuration"]), Some(base64("<new/>")));
}

#[test]
fn an_upgrade_that_is_stuck_goes_back_or_on() {
    let rig = Rig::start();
    let alice = deployed(&rig);
    let before = rig.fabric.goals().remove(0);
    let back = "<RollbackUpdateOrUpgrade><Mode>auto</Mode><Force>false</Force></RollbackUpdateOrUpgrade>";
    let roll_back = || alice.post(&format!("{PRODUCTION}/?comp=rollback"), back);
    assert_eq!(roll_back().status, 409);
    rig.fabric.set_stuck(true);
    let url = format!("{}/public/c/p2.cspkg", rig.storage.blob_endpoint);
    done(&alice, &alice.post(&format!("{PRODUCTION}/?comp=upgrade"), &upgrade_body(&url)));
    assert!(rig.fabric.packages().iter().any(|package| package == PACKAGE_2));
    let found = alice.get(PRODUCTION).text;
    assert_eq!(status(&alice), said(("Auto", "During", "0")));
    assert_eq!(text(&found, &["RollbackAllowed"]).as_deref(), Some("true"));
    assert_eq!(text(&found, &["Locked"]).as_deref(), Some("false"));
    assert_eq!(text(&found, &["Label"]), Some(base64("upgraded")));

    // Callers of an old version do not lay one update over another; others do, and what is rolled back to stays.
    let path = format!("{PRODUCTION}/?comp=config");
    let body = configuration_body("<over/>", "Auto");
    let old = [("x-ms-version", "2011-08-01")];
    let refused = alice.raw(&Method::POST, &path, &old, body.as_bytes());
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(alice.raw(&Method::DELETE, PRODUCTION, &old, b"").status, 409);
    done(&alice, &alice.post(&path, &body));
    let rolled = roll_back();
    assert_eq!((rolled.status, alice.outcome(&rolled)), (200, Outcome::Succeeded));
    let now = rig.fabric.goals().remove(0);
    assert_eq!((now.package, &now.configuration), (before.package, &before.configuration));
    assert_eq!(text(&alice.get(PRODUCTION).text, &["Label"]), Some(base64("label")));
    assert_eq!(text(&alice.get(PRODUCTION).text, &["RollbackAllowed"]).as_deref(), Some("false"));
    rig.fabric.set_stuck(false);
}

#[test]
fn one_role_alone_is_upgraded() {
    let rig = Rig::start();
    let alice = deployed(&rig);
    let url = format!("{}/public/c/p2.cspkg", rig.storage.blob_endpoint);
    let body = |role: &str| {
        upgrade_body(&url).replace("<Force>", &format!("<RoleToUpgrade>{role}</RoleToUpgrade><Force>"))
    };
    let refused = alice.post(&format!("{PRODUCTION}/?comp=upgrade"), &body("Other"));
    assert_eq!(refused.status, 400, "{refused:?}");
    done(&alice, &alice.post(&format!("{PRODUCTION}/?comp=upgrade"), &body("Web")));
    assert!(rig.fabric.goals()[0].kept.is_empty(), "there is no other role");
}

#[test]
fn what_the_fabric_refuses_changes_nothing() {
    let rig = Rig::start();
    let alice = deployed(&rig);
    let before = alice.get(PRODUCTION).text;
    let accepted =
        alice.post(&format!("{PRODUCTION}/?comp=config"), &configuration_body("<Unknown/>", "Auto"));
    let Outcome::Failed(code, message) = alice.outcome(&accepted) else { panic!("{accepted:?}") };
    assert_eq!(code, "BadRequest");
    assert!(message.contains("the role Unknown"), "{message}");
    let after = alice.get(PRODUCTION).text;
    assert_eq!(text(&before, &["Configuration"]), text(&after, &["Configuration"]));
    done(&alice, &alice.post(&format!("{PRODUCTION}/?comp=config"), &configuration_body("<fine/>", "Auto")));
}

#[test]
fn warnings_are_told_or_refused() {
    let rig = Rig::start();
    let alice = rig.alice();
    alice.make_service("guestbook");
    let url = format!("{}/public/c/p.cspkg", rig.storage.blob_endpoint);
    let strict = |body: String, root: &str| {
        let flag = "<TreatWarningsAsError>true</TreatWarningsAsError>";
        body.replace(&format!("</{root}>"), &format!("{flag}</{root}>"))
    };
    let warning = "line 1: <Useless> has no effect".to_owned();
    let fails = |accepted: Answer| match alice.outcome(&accepted) {
        Outcome::Failed(code, message) => assert_eq!((code.as_str(), &message), ("BadRequest", &warning)),
        other => panic!("{other:?}"),
    };
    let told = |path: &str| warnings(&alice.get(path).text);
    let of = |accepted: &Answer| told(&format!("/operations/{}", accepted.request_id));

    let create = deployment_body("v1", &url, "<Useless/>", true);
    fails(alice.post(PRODUCTION, &strict(create.clone(), "CreateDeployment")));
    assert_eq!(alice.get(PRODUCTION).status, 404);
    let accepted = alice.post(PRODUCTION, &create);
    done(&alice, &accepted);
    assert_eq!((of(&accepted), told(PRODUCTION)), (vec![warning.clone()], vec![warning.clone()]));

    let (config, upgrade) = (format!("{PRODUCTION}/?comp=config"), format!("{PRODUCTION}/?comp=upgrade"));
    let accepted = alice.post(&config, &strict(configuration_body("<c/>", "Auto"), "ChangeConfiguration"));
    done(&alice, &accepted);
    assert_eq!((of(&accepted), told(PRODUCTION)), (Vec::new(), Vec::new()));
    fails(alice.post(&config, &strict(configuration_body("<Useless/>", "Auto"), "ChangeConfiguration")));
    let useless = upgrade_body(&url).replace(&base64("<upgraded/>"), &base64("<Useless/>"));
    fails(alice.post(&upgrade, &strict(useless.clone(), "UpgradeDeployment")));
    assert_eq!(told(PRODUCTION), Vec::<String>::new());
    let accepted = alice.post(&upgrade, &useless);
    done(&alice, &accepted);
    assert_eq!((of(&accepted), told(PRODUCTION)), (vec![warning.clone()], vec![warning]));
    let deleted = alice.delete(PRODUCTION);
    done(&alice, &deleted);
    assert_eq!(of(&deleted), Vec::<String>::new());
}

#[test]
fn instances_are_deleted_by_name() {
    let rig = Rig::start();
    let alice = deployed(&rig);
    let delete = |names: &[&str]| {
        let names: String = names.iter().map(|name| format!("<Name>{name}</Name>")).collect();
        let body = format!("<RoleInstances  xmlns=\"u\">{names}</RoleInstances >");
        alice.post(&format!("{PRODUCTION}/roleinstances/?comp=delete"), &body)
    };
    assert_eq!(delete(&["Web_IN_9"]).status, 404);
    assert_eq!(delete(&["Web_IN_0", "Web_IN_1"]).status, 400);
    done(&alice, &delete(&["Web_IN_0"]));
    let found = alice.get(PRODUCTION).text;
    assert_eq!(texts(&found, &["RoleInstanceList", "RoleInstance", "InstanceName"]), ["Web_IN_1"]);
    let goal = rig.fabric.goals().remove(0);
    assert!(goal.configuration.contains("count=\"1\""), "{}", goal.configuration);
    assert_eq!(goal.removed.iter().map(welkin_base::InstanceName::as_str).collect::<Vec<_>>(), ["Web_IN_0"]);
}

#[test]
fn slots_are_exchanged_by_those_who_know_them() {
    let rig = Rig::start();
    let alice = deployed(&rig);
    let url = format!("{}/public/c/p.cspkg", rig.storage.blob_endpoint);
    let staging = format!("{SERVICE}/deploymentslots/staging");
    done(&alice, &alice.post(&staging, &deployment_body("v2", &url, "<c/>", true)));
    let swap = |production: &str, source: &str| {
        let body = format!("<Swap>{production}<SourceDeployment>{source}</SourceDeployment></Swap>");
        alice.post(SERVICE, &body)
    };
    for (production, source) in [
        ("<Production>v2</Production>", "v1"),
        ("<Production>v1</Production>", "v3"),
        ("<Production>v3</Production>", "v2"),
        ("", "v2"),
    ] {
        let refused = swap(production, source);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "ConflictError"),
            "{production} {source}"
        );
    }
    let addresses = || {
        [PRODUCTION, &staging].map(|path| {
            let found = alice.get(path).text;
            (text(&found, &["Name"]), text(&found, &["VirtualIPs", "VirtualIP", "Address"]))
        })
    };
    let [(one, production), (two, other)] = addresses();
    done(&alice, &swap("<Production>v1</Production>", "v2"));
    assert_eq!(addresses(), [(two, production), (one, other)]);
    let mut slots: Vec<Slot> = rig.fabric.goals().into_iter().map(|goal| goal.slot).collect();
    slots.sort();
    assert_eq!(slots, [Slot::Production, Slot::Staging]);
}

#[test]
fn packages_go_back_to_their_customer() {
    let rig = Rig::start();
    let alice = deployed(&rig);
    alice.make_account("alicesown");
    rig.bob().make_account("bobsown");
    let get = |container: &str, overwrite: bool| {
        let container = format!("{}/{container}", rig.storage.blob_endpoint).replace(':', "%3A");
        let path = format!("{PRODUCTION}/package?containerUri={container}&overwriteExisting={overwrite}");
        alice.post(&path, "")
    };
    done(&alice, &get("alicesown/c", false));
    assert_eq!(rig.storage.written("/alicesown/c/v1.cspkg").unwrap(), PACKAGE);
    let configuration = rig.storage.written("/alicesown/c/v1.cscfg").unwrap();
    assert!(configuration.starts_with(b"<S><Role"));
    assert_eq!(rig.storage.blobs(), ["/alicesown/c/v1.cscfg", "/alicesown/c/v1.cspkg"]);
    done(&alice, &get("alicesown/c", true));
    for (container, part) in [("alicesown/c", "overwriteExisting"), ("bobsown/c", "403")] {
        let Outcome::Failed(_, message) = alice.outcome(&get(container, false)) else {
            panic!("{container}")
        };
        assert!(message.contains(part), "{message}");
    }
    let elsewhere = format!("{PRODUCTION}/package?containerUri=http%3A%2F%2F169.254.169.254%2Fa%2Fc");
    assert_eq!(alice.post(&elsewhere, "").status, 400);
    assert_eq!(alice.post(&format!("{PRODUCTION}/package"), "").status, 400);
}

#[test]
fn events_and_rebuilds() {
    let rig = Rig::start();
    let alice = deployed(&rig);
    let events = |query: &str| {
        let found = alice.get(&format!("{SERVICE}/deployments/v1/events{query}"));
        assert_eq!(found.status, 200, "{found:?}");
        texts(&found.text, &["RebootEvents", "RebootEvent", "InstanceName"])
    };
    assert_eq!(events(""), ["Web_IN_0", "Web_IN_1"]);
    assert_eq!(events("?starttime=2026-11-25&endtime=2026-11-26T00%3A00%3A00Z"), ["Web_IN_1"]);
    assert_eq!(alice.get(&format!("{SERVICE}/deployments/v1/events?starttime=then")).status, 400);
    let rebuild = format!("{PRODUCTION}/roleinstances/Web_IN_1?comp=rebuild&resources=allLocalDrives");
    assert_eq!(alice.post(&rebuild, "").status, 202);
    assert_eq!(rig.fabric.reboots(), ["rebuild Web_IN_1"]);
}
