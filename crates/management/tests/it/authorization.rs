//! Nobody does anything with a certificate that is not registered on the subscription. The walk is over the table
//! of operations, so an operation that is added is walked too.

use welkin_management_wire::{Operation, TABLE};
use welkin_pki::Identity;

use crate::rig::{ALICE, BOB, Rig};

#[test]
fn every_operation_refuses_strangers() {
    let rig = Rig::start();
    let stranger = Identity::self_signed("stranger").unwrap();
    for (who, identity) in [
        ("without a certificate", None),
        ("with an unknown certificate", Some(&stranger)),
        ("with another subscription's certificate", Some(&rig.bob)),
    ] {
        let customer = rig.client(identity);
        for row in TABLE {
            let answer = customer.call(&row.method, &row.example(ALICE), "<nonsense");
            let case = format!("{:?} {who}: {answer:?}", row.operation);
            if row.operation == Operation::ListSubscriptions
                && identity.is_some_and(|own| own.thumbprint() == rig.bob.thumbprint())
            {
                assert_eq!(answer.status, 200, "{case}");
                assert!(answer.text.contains(BOB) && !answer.text.contains(ALICE), "{case}");
                continue;
            }
            assert_eq!((answer.status, answer.code().as_str()), (403, "ForbiddenError"), "{case}");
            assert_eq!(answer.request_id.len(), 32, "{case}");
        }
    }
}

#[test]
fn every_operation_knows_its_customer() {
    let rig = Rig::start();
    let customer = rig.client(Some(&rig.alice));
    let mut not_built = Vec::new();
    for row in TABLE {
        let answer = customer.call(&row.method, &row.example(ALICE), "<nonsense");
        assert_ne!(answer.status, 403, "{:?}: {answer:?}", row.operation);
        if answer.status == 501 {
            assert_eq!(answer.code(), "NotImplemented");
            not_built.push(row.operation);
        } else {
            // What is wrong is the request, never the service.
            assert!(answer.status < 500, "{:?}: {answer:?}", row.operation);
        }
    }
    assert_eq!(not_built.len(), 25, "docs/management.md lists what is built: {not_built:?}");
}
