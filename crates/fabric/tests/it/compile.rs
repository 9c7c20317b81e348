use std::collections::BTreeMap;

use welkin_agent_wire::guest::TaskKind;
use welkin_agent_wire::{AccessRule, ProbeKind};
use welkin_base::RoleName;
use welkin_fabric::compile::{Application, not_built, roles};
use welkin_fabric::{Need, Reach, Role, RoleEndpoint, Value};
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

/// A service of two roles with what `extra` adds to it, resolved.
fn shop(extra: &str) -> Vec<Role> {
    let definition = DEFINITION
        .replace(
            "<!--more endpoints-->",
            r#"<InputEndpoint name="Api" protocol="tcp" port="81" localPort="*" loadBalancerProbe="tcp"/>
               <InputEndpoint name="Live" protocol="http" port="82" localPort="8082" loadBalancerProbe="live"/>
               <InternalEndpoint name="Many" protocol="udp"><FixedPortRange min="9000" max="9009"/></InternalEndpoint>
               <InstanceInputEndpoint name="Direct" protocol="tcp" localPort="22"><AllocatePublicPortFrom>
               <FixedPortRange min="2200" max="2202"/></AllocatePublicPortFrom></InstanceInputEndpoint>"#,
        )
        .replace(
            "</ServiceDefinition>",
            &format!(
                r#"<LoadBalancerProbes><LoadBalancerProbe name="tcp" protocol="tcp"/>
                   <LoadBalancerProbe name="live" protocol="http" path="live?x" port="8099" intervalInSeconds="5"
                     timeoutInSeconds="11"/></LoadBalancerProbes>
                   <WorkerRole name="Db"><Endpoints><InternalEndpoint name="Sql" protocol="tcp" port="5432"/></Endpoints>
                   <Runtime><EntryPoint><ProgramEntryPoint commandLine="db" setReadyOnProcessStart="true"/></EntryPoint></Runtime>
                   </WorkerRole>{extra}</ServiceDefinition>"#
            ),
        );
    let configuration = CONFIGURATION.replace(
        "</ServiceConfiguration>",
        r#"<Role name="Db"><Instances count="1"/></Role><NetworkConfiguration>
           <AccessControls><AccessControl name="A"><Rule order="1" action="deny" remoteSubnet="192.0.2.0/24"/></AccessControl>
           </AccessControls><EndpointAcls><EndpointAcl role="Web" endpoint="Direct" accessControl="A"/></EndpointAcls>
           </NetworkConfiguration></ServiceConfiguration>"#,
    );
    let application = Application { package: digest(1), image: digest(2) };
    let applications =
        ["Web", "Db"].map(|role| (RoleName::new(role).unwrap(), application)).into_iter().collect();
    roles(&service(&definition, &configuration), &guest_os(), &applications).unwrap()
}

fn endpoint<'a>(roles: &'a [Role], name: &str) -> &'a RoleEndpoint {
    roles.iter().flat_map(|role| &role.endpoints).find(|endpoint| endpoint.name == name).unwrap()
}

#[test]
fn probes_ports_and_instance_endpoints_are_resolved() {
    let roles = shop("");
    assert_eq!(endpoint(&roles, "Http").probe, None);
    let tcp = endpoint(&roles, "Api").probe.as_ref().unwrap();
    // The endpoint's own port is one that the system chose.
    let expected = ("tcp:20000", ProbeKind::Tcp, 20_000, 15, 31);
    assert_eq!(
        (tcp.name.as_str(), tcp.kind.clone(), tcp.port, tcp.interval_seconds, tcp.timeout_seconds),
        expected
    );
    let live = endpoint(&roles, "Live").probe.as_ref().unwrap();
    let expected = ("live:8099", ProbeKind::Http { path: "/live?x".into() }, 8_099, 5, 11);
    assert_eq!(
        (live.name.as_str(), live.kind.clone(), live.port, live.interval_seconds, live.timeout_seconds),
        expected
    );
    let many = endpoint(&roles, "Many");
    assert_eq!((many.local_port, many.last_port), (9_000, Some(9_009)));
    let direct = endpoint(&roles, "Direct");
    assert_eq!((direct.local_port, direct.access.len()), (22, 1));
    let ports: Vec<_> = [0, 1, 2, 3, u32::MAX].map(|index| direct.public_port(index)).to_vec();
    assert_eq!(ports, [Some(2_200), Some(2_201), Some(2_202), None, None]);
}

#[test]
fn traffic_rules_say_who_calls_an_internal_endpoint() {
    let rule = |role: &str, endpoint: &str, source: &str| {
        format!(
            r#"<OnlyAllowTrafficTo><Destinations><RoleEndpoint endpointName="{endpoint}" roleName="{role}"/></Destinations>
               {source}</OnlyAllowTrafficTo>"#
        )
    };
    let from =
        |role: &str| format!(r#"<WhenSource matches="AnyRule"><FromRole roleName="{role}"/></WhenSource>"#);
    let check = |rules: &[String], expected: Option<&[&str]>| {
        let roles = shop(&format!("<NetworkTrafficRules>{}</NetworkTrafficRules>", rules.concat()));
        let callers = endpoint(&roles, "Sql").callers.as_ref();
        let callers: Option<Vec<&str>> = callers.map(|roles| roles.iter().map(RoleName::as_str).collect());
        assert_eq!(callers.as_deref(), expected, "{rules:?}");
        assert_eq!(endpoint(&roles, "Gossip").callers, None);
    };
    check(&[], None);
    check(&[rule("Db", "Sql", &from("Web"))], Some(&["Web"]));
    check(&[rule("Db", "Sql", &from("Web")), rule("Db", "Sql", &from("Db"))], Some(&["Db", "Web"]));
    check(&[rule("Db", "Sql", &from("Web")), rule("Db", "Sql", "<AllowAllTraffic/>")], None);
    // The documentation's samples have both: the source wins.
    check(&[rule("Db", "Sql", &("<AllowAllTraffic/>".to_owned() + &from("Web")))], Some(&["Web"]));
    check(&[rule("Web", "Many", &from("Web"))], None);
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
    check("more", "", (r#"<Role name="Web""#, r#"<Role name="Web" vmName="shop""#), "vmName");
    check("more", "", ("serviceName=", r#"osVersion="WA-GUEST-OS-1.0_201001-01" serviceName="#), "osVersion");
    let applications = BTreeMap::new();
    let lines = roles(&service(DEFINITION, CONFIGURATION), &guest_os(), &applications).unwrap_err();
    assert_eq!(lines, ["role Web has no files in the package"]);
}
