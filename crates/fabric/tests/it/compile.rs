use std::collections::BTreeMap;

use welkin_agent_wire::AccessRule;
use welkin_agent_wire::guest::TaskKind;
use welkin_base::RoleName;
use welkin_fabric::compile::{Application, not_built, roles};
use welkin_fabric::{Need, Reach, Value};
use welkin_service_model::{ServiceConfiguration, ServiceDefinition, ServiceModel, validate};

use crate::fixture::{digest, guest_os};

const DEFINITION: &str = r#"<ServiceDefinition name="Shop"
    xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition">
  <WebRole name="Web" vmsize="Small">
    <ConfigurationSettings><Setting name="Color"/></ConfigurationSettings>
    <Endpoints>
      <InputEndpoint name="Http" protocol="http" port="80" localPort="8080"/>
      <InternalEndpoint name="Gossip" protocol="tcp"/>
      <!--more endpoints-->
    </Endpoints>
    <LocalResources><LocalStorage name="Cache" sizeInMB="50" cleanOnRoleRecycle="false"/></LocalResources>
    <Startup><Task commandLine="setup.sh" executionContext="elevated" taskType="background">
      <Environment><Variable name="WHO"><RoleInstanceValue xpath="/RoleEnvironment/CurrentInstance/@id"/></Variable></Environment>
    </Task></Startup>
    <Runtime><EntryPoint><ProgramEntryPoint commandLine="web" setReadyOnProcessStart="true"/></EntryPoint></Runtime>
    <!--more-->
  </WebRole>
</ServiceDefinition>"#;

const CONFIGURATION: &str = r#"<ServiceConfiguration serviceName="Shop"
    xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration">
  <Role name="Web"><Instances count="2"/>
    <ConfigurationSettings><Setting name="Color" value="blue"/></ConfigurationSettings></Role>
</ServiceConfiguration>"#;

fn service(definition: &str, configuration: &str) -> ServiceModel {
    let definition = ServiceDefinition::parse(definition).unwrap();
    let configuration = ServiceConfiguration::parse(configuration).unwrap();
    validate(&definition, &configuration).unwrap()
}

#[test]
fn a_role_is_resolved() {
    let service = service(DEFINITION, CONFIGURATION);
    let applications = BTreeMap::from([(
        RoleName::new("Web").unwrap(),
        Application { package: digest(7), image: digest(9) },
    )]);
    let roles = roles(&service, &guest_os(), &applications).unwrap();
    let web = &roles[0];
    assert_eq!(
        (web.name.as_str(), web.size.as_str(), web.count, web.application),
        ("Web", "Small", 2, digest(9))
    );
    assert_eq!(web.need, Need { cores: 1, memory_mib: 1_792, disk_mib: 50 + 256 + 1_024 });
    assert_eq!(web.scratch_mib, 306);
    assert_eq!(web.settings["Color"], "blue");
    let endpoints: Vec<_> =
        web.endpoints.iter().map(|e| (e.name.as_str(), e.local_port, e.reach.clone())).collect();
    let input = Reach::Input { port: 80, ignore_status: false };
    assert_eq!(endpoints, [("Http", 8080, input), ("Gossip", 20_000, Reach::Internal)]);
    assert_eq!(web.local_resources[0].path, "/local/resources/Cache");
    let task = &web.startup_tasks[0];
    assert_eq!((task.kind, task.elevated), (TaskKind::Background, true));
    assert!(matches!(task.variables["WHO"], Value::Instance(_)));
    assert!(web.program.as_ref().unwrap().ready_on_start);
}

/// Puts `what` into the definition (after a comment that marks the place) and expects one complaint.
fn check(mark: &str, what: &str, configuration: (&str, &str), expected: &str) {
    let definition = DEFINITION.replace(&format!("<!--{mark}-->"), what);
    let configuration = CONFIGURATION.replace(configuration.0, configuration.1);
    let lines = not_built(&service(&definition, &configuration), &guest_os());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(expected), "{lines:?}");
}

#[test]
fn access_controls_become_rules_in_their_order() {
    let with = |rules: &str| {
        let network = format!(
            "<NetworkConfiguration><AccessControls><AccessControl name=\"A\">{rules}</AccessControl></AccessControls>\
             <EndpointAcls><EndpointAcl role=\"Web\" endpoint=\"Http\" accessControl=\"A\"/></EndpointAcls>\
             </NetworkConfiguration></ServiceConfiguration>"
        );
        let service = service(DEFINITION, &CONFIGURATION.replace("</ServiceConfiguration>", &network));
        let application = Application { package: digest(1), image: digest(2) };
        let applications = BTreeMap::from([(RoleName::new("Web").unwrap(), application)]);
        let roles = roles(&service, &guest_os(), &applications).unwrap();
        let written = |rule: &AccessRule| {
            let verdict = if rule.permit { "permit" } else { "deny" };
            format!("{verdict} {}/{}", rule.network, rule.prefix_length)
        };
        let endpoints = roles[0].endpoints.iter();
        endpoints.map(|endpoint| endpoint.access.iter().map(written).collect()).collect::<Vec<Vec<String>>>()
    };
    let rule = |order: u32, action: &str, remote: &str| {
        format!("<Rule order=\"{order}\" action=\"{action}\" remoteSubnet=\"{remote}\"/>")
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(with(""), [none.clone(), none.clone()]);
    assert_eq!(with(&rule(1, "deny", "192.0.2.9/24")), [vec!["deny 192.0.2.0/24".to_owned()], none.clone()]);
    let both = rule(9, "permit", "192.0.2.0/24") + &rule(2, "deny", "192.0.2.7");
    let expected = ["deny 192.0.2.7/32", "permit 192.0.2.0/24", "deny 0.0.0.0/0"].map(str::to_owned);
    assert_eq!(with(&both), [expected.to_vec(), none.clone()]);
    let other = ["deny 0.0.0.0/0".to_owned()];
    assert_eq!(with(&rule(1, "permit", "2001:db8::/32")), [other.to_vec(), none]);
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    let same = ("", "");
    check(
        "more endpoints",
        r#"<InstanceInputEndpoint name="Direct" protocol="tcp" localPort="22"><AllocatePublicPortFrom>
           <FixedPortRange min="2200" max="2299"/></AllocatePublicPortFrom></InstanceInputEndpoint>"#,
        same,
        "<InstanceInputEndpoint> Direct is not built yet",
    );
    check("more", "", (r#"<Role name="Web""#, r#"<Role name="Web" vmName="shop""#), "vmName");
    check("more", "", ("serviceName=", r#"osVersion="WA-GUEST-OS-1.0_201001-01" serviceName="#), "osVersion");
    let applications = BTreeMap::new();
    let lines = roles(&service(DEFINITION, CONFIGURATION), &guest_os(), &applications).unwrap_err();
    assert_eq!(lines, ["role Web has no files in the package"]);
}
