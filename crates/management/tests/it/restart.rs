//! A service that ends in the middle of an operation goes on with it when it starts again.

use welkin_management_wire::answer::{Outcome, text};

use crate::rig::{Rig, deployment_body};

const PRODUCTION: &str = "/services/hostedservices/guestbook/deploymentslots/Production";

#[test]
fn operations_go_on_after_a_restart() {
    let mut rig = Rig::start();
    rig.alice().make_service("guestbook");
    let url = format!("{}/public/c/p.cspkg", rig.storage.blob_endpoint);

    rig.fabric.set_silent(true);
    let created = rig.alice().post(PRODUCTION, &deployment_body("v1", &url, "<c/>", true));
    assert_eq!(created.status, 202);
    rig.stop_management();
    rig.fabric.set_silent(false);
    assert!(rig.fabric.goals().is_empty());
    rig.start_management();
    assert_eq!(rig.alice().outcome(&created), Outcome::Succeeded);
    assert_eq!(text(&rig.alice().get(PRODUCTION).text, &["Name"]).as_deref(), Some("v1"));

    rig.fabric.set_silent(true);
    let deleted = rig.alice().delete(PRODUCTION);
    assert_eq!(deleted.status, 202);
    rig.stop_management();
    rig.fabric.set_silent(false);
    rig.start_management();
    assert_eq!(rig.alice().outcome(&deleted), Outcome::Succeeded);
    assert!(rig.fabric.goals().is_empty());
    assert_eq!(rig.alice().get(PRODUCTION).status, 404);
}
