//! Nobody does anything with a certificate that is not registered on the subscription. The walk is over the table
//! of operations, so an operation that is added is walked too.

use welkin_management_wire::answer::Outcome;
use welkin_management_wire::{Operation, Row, TABLE};
use welkin_pki::Identity;

use crate::rig::{ALICE, BOB, LIMIT, Rig, base64, deployment_body};

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

/// What Bob is answered on his own subscription when he names what Alice has. Whoever adds an operation says it here, or the
/// test does not compile.
fn for_bob(operation: Operation) -> (u16, &'static str) {
    use Operation as O;
    const NOT_THERE: (u16, &str) = (404, "ResourceNotFound");
    match operation {
        // Lists have his own things only, and he has none.
        O::ListSubscriptions
        | O::GetSubscription
        | O::ListLocations
        | O::ListRoleSizes
        | O::ListOperatingSystems
        | O::ListOperatingSystemFamilies
        | O::ListAffinityGroups
        | O::ListManagementCertificates
        | O::ListStorageAccounts
        | O::ListHostedServices
        | O::GetFabricKey
        | O::GetCloudStatus => (200, ""),
        // Names of services and accounts are for everybody: that one is taken is all that is told.
        O::CheckStorageAccountName | O::CheckHostedServiceName => (200, ""),
        // They want a time or a body that says more, and look at nothing before.
        O::ListSubscriptionOperations => (400, "MissingOrInvalidRequiredQueryParameter"),
        O::CreateAffinityGroup
        | O::AddManagementCertificate
        | O::CreateStorageAccount
        | O::CreateHostedService => (400, "InvalidXmlRequest"),
        O::GetOperationStatus
        | O::GetAffinityGroup
        | O::UpdateAffinityGroup
        | O::DeleteAffinityGroup
        | O::GetManagementCertificate
        | O::DeleteManagementCertificate
        | O::GetStorageAccount
        | O::UpdateStorageAccount
        | O::DeleteStorageAccount
        | O::GetStorageAccountKeys
        | O::RegenerateStorageAccountKeys
        | O::GetHostedService
        | O::UpdateHostedService
        | O::DeleteHostedService
        | O::DeleteHostedServiceWithMedia
        | O::SwapDeployment
        | O::GetDeployment
        | O::CreateDeployment
        | O::DeleteDeployment
        | O::ChangeDeploymentConfiguration
        | O::UpdateDeploymentStatus
        | O::UpgradeDeployment
        | O::WalkUpgradeDomain
        | O::RollbackUpdateOrUpgrade
        | O::GetPackage
        | O::ListDeploymentEvents
        | O::RebootRoleInstance
        | O::ReimageRoleInstance
        | O::RebuildRoleInstance
        | O::DeleteRoleInstances
        | O::ListServiceCertificates
        | O::GetServiceCertificate
        | O::AddServiceCertificate
        | O::DeleteServiceCertificate
        | O::GetInstanceLog => NOT_THERE,
    }
}

/// A body that the operation takes, so that nothing but the owner is wrong.
fn good_body(operation: Operation, url: &str) -> String {
    use Operation as O;
    let configuration = base64("<c/>");
    match operation {
        O::UpdateAffinityGroup => "<UpdateAffinityGroup><Label>YQ==</Label></UpdateAffinityGroup>".to_owned(),
        O::UpdateStorageAccount => "<UpdateStorageServiceInput/>".to_owned(),
        O::RegenerateStorageAccountKeys => {
            "<RegenerateKeys><KeyType>Primary</KeyType></RegenerateKeys>".to_owned()
        }
        O::UpdateHostedService => "<UpdateHostedService><Label>YQ==</Label></UpdateHostedService>".to_owned(),
        O::SwapDeployment => {
            "<Swap><Production>a</Production><SourceDeployment>b</SourceDeployment></Swap>".to_owned()
        }
        O::CreateDeployment => deployment_body("v2", url, "<c/>", true),
        O::ChangeDeploymentConfiguration => {
            format!(
                "<ChangeConfiguration><Configuration>{configuration}</Configuration></ChangeConfiguration>"
            )
        }
        O::UpdateDeploymentStatus => {
            "<UpdateDeploymentStatus><Status>Suspended</Status></UpdateDeploymentStatus>".to_owned()
        }
        O::UpgradeDeployment => format!(
            "<UpgradeDeployment><Mode>Auto</Mode><PackageUrl>{url}</PackageUrl>\
             <Configuration>{configuration}</Configuration><Label>YQ==</Label><Force>false</Force></UpgradeDeployment>"
        ),
        O::WalkUpgradeDomain => {
            "<WalkUpgradeDomain><UpgradeDomain>0</UpgradeDomain></WalkUpgradeDomain>".to_owned()
        }
        O::RollbackUpdateOrUpgrade => {
            "<RollbackUpdateOrUpgrade><Mode>Auto</Mode><Force>true</Force></RollbackUpdateOrUpgrade>"
                .to_owned()
        }
        O::DeleteRoleInstances => "<RoleInstances><Name>Web_IN_0</Name></RoleInstances>".to_owned(),
        O::AddServiceCertificate => {
            "<CertificateFile><Data>YQ==</Data><CertificateFormat>pfx</CertificateFormat>\
            <Password>x</Password></CertificateFile>"
                .to_owned()
        }
        _ => String::new(),
    }
}

#[test]
fn nobody_sees_or_touches_what_another_has() {
    let rig = Rig::start();
    let (alice, bob) = (rig.alice(), rig.bob());
    let url = format!("{}/public/c/p.cspkg", rig.storage.blob_endpoint);
    // What the examples of the table name.
    assert_eq!(alice.make_service("example").status, 201);
    alice.make_account("exampleaccount");
    let group = "<CreateAffinityGroup><Name>example</Name><Label>YQ==</Label><Location>Earth</Location>\
        </CreateAffinityGroup>";
    assert_eq!(alice.post("/affinitygroups", group).status, 201);
    let production = "/services/hostedservices/example/deploymentslots/Production";
    let made = alice.post(production, &deployment_body("v1", &url, "<c/>", true));
    assert_eq!(alice.outcome(&made), Outcome::Succeeded);
    let settled = |text: &str| !text.contains("CreatingVM");
    let end = std::time::Instant::now() + LIMIT;
    while !settled(&alice.get(production).text) {
        assert!(std::time::Instant::now() < end);
    }
    let seen = || {
        [
            "/services/hostedservices/example?embed-detail=true",
            "/services/storageservices/exampleaccount/keys",
            "/affinitygroups/example",
            "/certificates",
        ]
        .map(|path| alice.get(path).text)
    };
    let before = seen();
    let thumbprint = rig.alice.sha1_thumbprint().to_string();
    for row in TABLE {
        // It names no subscription, and the walk above has it.
        if row.operation == Operation::ListSubscriptions {
            continue;
        }
        let path = row
            .example("")
            .trim_start_matches('/')
            .replace("6ba7b8109dad11d180b400c04fd430c8", &made.request_id);
        let path = match row.operation {
            Operation::GetManagementCertificate | Operation::DeleteManagementCertificate => {
                path.replace("example", &thumbprint)
            }
            Operation::GetPackage => {
                format!("{path}?containerUri={}/public/c&overwriteExisting=true", rig.storage.blob_endpoint)
            }
            Operation::GetServiceCertificate | Operation::DeleteServiceCertificate => {
                path.replace("certificates/example", &format!("certificates/sha1-{thumbprint}"))
            }
            Operation::ListDeploymentEvents => format!("{path}?starttime=2026-01-01&endtime=2026-01-02"),
            _ => path,
        };
        let answer = bob.call(&row.method, &format!("/{path}"), &good_body(row.operation, &url));
        let case = format!("{:?}: {answer:?}", row.operation);
        let (status, code) = for_bob(row.operation);
        let built = answer.status != 501;
        assert!(!built || (answer.status, answer.code().as_str()) == (status, code), "{case}");
        for secret in [ALICE, ">v1<", "Web_IN_0", thumbprint.as_str(), made.request_id.as_str()] {
            assert!(answer.status == 404 || !answer.text.contains(secret), "{secret} is told: {case}");
        }
    }
    assert_eq!(seen(), before, "what Alice has is as it was");
    assert_eq!(rig.fabric.goals().len(), 1);
    assert!(rig.fabric.reboots().is_empty());
}

#[test]
fn every_operation_knows_its_customer() {
    let rig = Rig::start();
    let customer = rig.client(Some(&rig.alice));
    let mut table = String::new();
    for row in TABLE {
        let answer = customer.call(&row.method, &row.example(ALICE), "<nonsense");
        assert_ne!(answer.status, 403, "{:?}: {answer:?}", row.operation);
        // What is wrong is the request, never the service.
        let built = answer.status != 501;
        assert!(!built || answer.status < 500, "{:?}: {answer:?}", row.operation);
        assert!(built || answer.code() == "NotImplemented", "{:?}: {answer:?}", row.operation);
        table.push_str(&line(row, built));
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/management.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(&table), "docs/management.md must say what is built:\n{table}");
}

/// The row's line in the manual.
fn line(row: &Row, built: bool) -> String {
    let query: Vec<String> = row.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let built = if built { "yes" } else { "no" };
    format!("| `{:?}` | `{} {}{query}` | {built} |\n", row.operation, row.method, row.template)
}
