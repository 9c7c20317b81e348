use super::*;
use welkin_base::{Generation, InstanceName, NodeName, RoleName};

const GOOD: &str = "<CreateDeployment xmlns=\"http://schemas.microsoft.com/windowsazure\"><Name>v1</Name>\
    <PackageUrl>http://127.0.0.1:10000/a/c/p.cspkg?sv=1&amp;sig=secret</PackageUrl><Label>djE=</Label>\
    <Configuration>PFNlcnZpY2VDb25maWd1cmF0aW9uLz4=</Configuration><StartDeployment>true</StartDeployment>\
    <TreatWarningsAsError>false</TreatWarningsAsError></CreateDeployment>";

#[test]
fn a_request_is_read() {
    let got = CreateDeployment::parse(GOOD.as_bytes()).unwrap();
    assert_eq!(got.package_url, "http://127.0.0.1:10000/a/c/p.cspkg?sv=1&sig=secret");
    assert_eq!((got.name.as_str(), got.label.as_str(), got.start), ("v1", "v1", true));
    assert_eq!(got.configuration, "<ServiceConfiguration/>");
    assert!(!format!("{got:?}").contains("secret"));
    let still = GOOD.replace("<StartDeployment>true</StartDeployment>", "");
    assert!(!CreateDeployment::parse(still.as_bytes()).unwrap().start);
}

#[test]
fn what_is_wrong_is_said() {
    for (from, to, message) in [
        ("<Name>v1</Name>", "", "Name is missing"),
        ("<Name>v1</Name>", "<Name>v 1</Name>", "not a valid deployment name"),
        ("&amp;sig", "&sig", "not well-formed"),
        ("true", "yes", "StartDeployment must be true or false"),
        ("PFNlcnZpY2VDb25maWd1cmF0aW9uLz4=", "<ServiceConfiguration/>", "Configuration is missing or empty"),
        ("PFNlcnZpY2VDb25maWd1cmF0aW9uLz4=", "plain text", "not base64"),
        (
            "</CreateDeployment>",
            "<ExtensionConfiguration><AllRoles/></ExtensionConfiguration></CreateDeployment>",
            "no extensions",
        ),
    ] {
        let error = CreateDeployment::parse(GOOD.replace(from, to).as_bytes()).unwrap_err();
        assert!(error.message.contains(message), "{from} -> {to}: {error}");
    }
}

fn observed(states: &[InstanceState]) -> DeploymentObserved {
    let role = RoleName::new("Web").unwrap();
    let instance = |(index, state): (u32, &InstanceState)| InstanceStatus {
        name: InstanceName::of(&role, index),
        role: role.clone(),
        node: NodeName::new("node0").unwrap(),
        update_domain: index,
        fault_domain: 0,
        size: "Small".to_owned(),
        address: [10, 177, 16, 2].into(),
        state: *state,
        message: String::new(),
        vm_restarts: 0,
        role_restarts: 0,
        instance_endpoints: vec![InputEndpoint {
            role: role.clone(),
            name: "Own".into(),
            protocol: "tcp".into(),
            port: u16::try_from(2_200 + index).unwrap(),
            local_port: 22,
        }],
    };
    DeploymentObserved {
        id: DeploymentId::new("6ba7b8109dad11d180b400c04fd430c8").unwrap(),
        generation: Generation(1),
        deleting: false,
        update_domains: 2,
        roles: vec![RoleObserved { name: role.clone(), size: "Small".into(), guest_os: "G".into() }],
        instances: (0..).zip(states).map(instance).collect(),
        vip: Some([10, 177, 240, 1].into()),
        input_endpoints: vec![InputEndpoint {
            role: role.clone(),
            name: "Http".into(),
            protocol: "http".into(),
            port: 80,
            local_port: 8080,
        }],
        update: None,
        rolled_back: Some("the update went back".into()),
    }
}

const NEW: Version = Version::new("2017-01-01");

fn deployment(phase: Phase, goal: GoalStatus, observed: Option<DeploymentObserved>) -> Deployment {
    let at = Timestamp::parse_rfc3339("2026-11-24T10:00:00Z").unwrap();
    Deployment {
        name: DeploymentName::new("v1").unwrap(),
        slot: Slot::Production,
        id: DeploymentId::new("6ba7b8109dad11d180b400c04fd430c8").unwrap(),
        label: "v1".into(),
        url: "http://10.177.240.1/".into(),
        configuration: "<c/>".into(),
        phase,
        goal,
        observed,
        locked: false,
        rollback_allowed: false,
        created: at,
        modified: at,
        extended_properties: ExtendedProperties::new(),
        warnings: vec!["a < b".to_owned()],
    }
}

#[test]
fn statuses() {
    use GoalStatus::{Running, Suspended};
    use InstanceState as S;
    for (phase, goal, states, expected) in [
        (Phase::Creating, Running, None, "Deploying"),
        (Phase::Created, Running, None, "Deploying"),
        (Phase::Created, Running, Some(&[S::Ready, S::StartingVm][..]), "RunningTransitioning"),
        (Phase::Created, Running, Some(&[S::Ready, S::Busy]), "Running"),
        (Phase::Created, Running, Some(&[S::Cycling, S::Unresponsive]), "Running"),
        (Phase::Created, Suspended, Some(&[S::StoppedVm, S::CreatingVm]), "SuspendedTransitioning"),
        (Phase::Created, Suspended, Some(&[S::StoppedVm, S::StoppedVm]), "Suspended"),
        (Phase::Deleting, Running, Some(&[S::Ready]), "Deleting"),
    ] {
        assert_eq!(deployment(phase, goal, states.map(observed)).status(), expected, "{phase:?} {states:?}");
    }
}

#[test]
fn the_element() {
    let deployment = deployment(Phase::Created, GoalStatus::Running, Some(observed(&[InstanceState::Ready])));
    let text = String::from_utf8(deployment.element(NEW).to_document()).unwrap();
    for part in [
        "<Name>v1</Name><DeploymentSlot>Production</DeploymentSlot>\
         <PrivateID>6ba7b8109dad11d180b400c04fd430c8</PrivateID><Status>Running</Status><Label>djE=</Label>\
         <Url>http://10.177.240.1/</Url><Configuration>PGMvPg==</Configuration>",
        "<RoleInstance><RoleName>Web</RoleName><InstanceName>Web_IN_0</InstanceName>\
         <InstanceStatus>ReadyRole</InstanceStatus><InstanceUpgradeDomain>0</InstanceUpgradeDomain>\
         <InstanceFaultDomain>0</InstanceFaultDomain><InstanceSize>Small</InstanceSize><InstanceStateDetails/>\
         <IpAddress>10.177.16.2</IpAddress><InstanceEndpoints><InstanceEndpoint><Name>Http</Name>\
         <Vip>10.177.240.1</Vip><PublicPort>80</PublicPort><LocalPort>8080</LocalPort>\
         <Protocol>http</Protocol></InstanceEndpoint><InstanceEndpoint><Name>Own</Name>\
         <Vip>10.177.240.1</Vip><PublicPort>2200</PublicPort><LocalPort>22</LocalPort>\
         <Protocol>tcp</Protocol></InstanceEndpoint></InstanceEndpoints><PowerState>Started</PowerState>",
        "<ConfigurationSet i:type=\"NetworkConfigurationSet\">",
        "<CreatedTime>2026-11-24T10:00:00Z</CreatedTime>",
        "<VirtualIPs><VirtualIP><Address>10.177.240.1</Address>",
        "</VirtualIPs><Warnings><Warning>a &lt; b</Warning>\
         <Warning>the update went back</Warning></Warnings></Deployment>",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn an_update_shows_while_it_lasts() {
    let mut observed = observed(&[InstanceState::Ready]);
    let text = |deployment: &Deployment| String::from_utf8(deployment.element(NEW).to_document()).unwrap();
    let none = deployment(Phase::Created, GoalStatus::Running, Some(observed.clone()));
    assert!(!text(&none).contains("UpgradeStatus"));
    observed.update = Some(UpdateObserved {
        mode: welkin_fabric_wire::UpdateMode::Manual { domain: Some(1) },
        domain: 2,
        during: false,
        all_changed: false,
    });
    let shown = Deployment {
        rollback_allowed: true,
        ..deployment(Phase::Created, GoalStatus::Running, Some(observed))
    };
    for part in [
        "</RoleInstanceList><UpgradeStatus><UpgradeType>Manual</UpgradeType>\
         <CurrentUpgradeDomainState>Before</CurrentUpgradeDomainState>\
         <CurrentUpgradeDomain>2</CurrentUpgradeDomain></UpgradeStatus><UpgradeDomainCount>",
        "<RollbackAllowed>true</RollbackAllowed>",
    ] {
        assert!(text(&shown).contains(part), "{part}\n{}", text(&shown));
    }
}

#[test]
fn what_older_versions_have() {
    let observed = observed(&[InstanceState::Cycling]);
    let deployment = deployment(Phase::Created, GoalStatus::Running, Some(observed));
    let text = |version| String::from_utf8(deployment.element(Version::new(version)).to_document()).unwrap();
    for (part, before, since) in [
        ("<UpgradeDomainCount>", "2011-02-25", "2011-06-01"),
        ("<SdkVersion", "2011-02-25", "2011-06-01"),
        ("<InstanceFaultDomain>", "2011-02-25", "2011-06-01"),
        ("<Vip>", "2011-02-25", "2011-06-01"),
        ("<Locked>", "2011-02-25", "2011-06-01"),
        ("<InstanceStateDetails", "2011-08-01", "2011-10-01"),
        ("<IpAddress>", "2011-10-01", "2012-03-01"),
        ("<VirtualIPs>", "2011-10-01", "2012-03-01"),
        ("<ExtendedProperties", "2011-10-01", "2012-03-01"),
        (">RestartingRole<", "2014-02-01", "2014-04-01"),
    ] {
        assert!(!text(before).contains(part), "{part} before {since}");
        assert!(text(since).contains(part), "{part} since {since}");
    }
    assert!(text("2014-02-01").contains(">CyclingRole<"));
}
