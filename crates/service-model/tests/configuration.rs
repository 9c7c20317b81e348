//! Service configurations, alone and joined to a definition, with what each bad one is told.

use welkin_service_model::{ServiceConfiguration, ServiceDefinition, ServiceModel, validate};

const NAMESPACE: &str = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration";
const FULL_DEFINITION: &str = include_str!("data/full.csdef");
const FULL: &str = include_str!("data/full.cscfg");

fn text(inner: &str) -> String {
    format!(
        "<ServiceConfiguration serviceName=\"S\" xmlns=\"{NAMESPACE}\">\n{inner}\n</ServiceConfiguration>"
    )
}

fn check(inner: &str, expected: &[&str]) {
    let found =
        ServiceConfiguration::parse(&text(inner)).map_or_else(|problems| problems.messages(), |_| Vec::new());
    let expected: Vec<String> =
        expected.iter().map(|line| format!("service configuration, line {line}")).collect();
    assert_eq!(found, expected, "{inner}");
}

/// Joins `inner` to a service with a role R that has the setting A, the certificate C and two instance ports.
fn join(inner: &str) -> Result<ServiceModel, Vec<String>> {
    let definition = ServiceDefinition::parse(
        "<ServiceDefinition name=\"S\" xmlns=\"http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition\">\
         <WorkerRole name=\"R\"><ConfigurationSettings><Setting name=\"A\"/></ConfigurationSettings>\
         <Certificates><Certificate name=\"C\" storeLocation=\"LocalMachine\" storeName=\"My\"/></Certificates>\
         <Endpoints><InstanceInputEndpoint name=\"D\" protocol=\"tcp\" localPort=\"22\"><AllocatePublicPortFrom>\
         <FixedPortRange min=\"100\" max=\"101\"/></AllocatePublicPortFrom></InstanceInputEndpoint></Endpoints>\
         <Imports><Import moduleName=\"Diagnostics\"/></Imports>\
         <Runtime><EntryPoint><ProgramEntryPoint commandLine=\"r\"/></EntryPoint></Runtime></WorkerRole>\
         </ServiceDefinition>",
    );
    let joined =
        definition.and_then(|definition| validate(&definition, &ServiceConfiguration::parse(&text(inner))?));
    joined.map_err(|problems| problems.messages())
}

fn check_join(inner: &str, expected: &[&str]) {
    let expected: Vec<String> =
        expected.iter().map(|line| format!("service configuration, line {line}")).collect();
    assert_eq!(join(inner).err().unwrap_or_default(), expected, "{inner}");
}

/// The role R with `count` instances and `settings`, its certificate given.
fn role(count: u32, settings: &str) -> String {
    format!(
        "<Role name=\"R\"><Instances count=\"{count}\"/><ConfigurationSettings>{settings}</ConfigurationSettings>\
         <Certificates><Certificate name=\"C\" thumbprint=\"{}\" thumbprintAlgorithm=\"sha1\"/></Certificates></Role>",
        "0f".repeat(20)
    )
}

#[test]
fn a_whole_service_is_joined() {
    let definition = ServiceDefinition::parse(FULL_DEFINITION).unwrap();
    let crlf = format!("\u{feff}{}", FULL.replace('\n', "\r\n"));
    let configuration = ServiceConfiguration::parse(&crlf).unwrap();
    let model = validate(&definition, &configuration).unwrap();
    assert_eq!((model.os_family, model.os_version.as_str()), (4, "*"));
    assert_eq!(model.update_domain_count(), 2, "no more than the largest role has instances");
    let web = model.role("Web").unwrap();
    assert_eq!(web.instance_count, 2);
    assert_eq!(web.settings["Greeting"].as_str(), "Hello & welcome");
    assert_eq!(web.certificates[0].thumbprint, "0123456789ABCDEF0123456789ABCDEF01234567");
    assert_eq!(web.vm_name.as_deref(), Some("web"));
    assert_eq!(model.warnings.len(), 2, "those of the definition: an empty <EndpointAcls> says nothing");
}

#[test]
fn values_of_settings_are_not_shown() {
    let configuration = ServiceConfiguration::parse(FULL).unwrap();
    assert!(!format!("{configuration:?}").contains("c2VjcmV0"));
}

#[test]
fn a_configuration_alone() {
    check("<Role name=\"R\"/>", &["2, column 1: <Role> needs <Instances count=\"1\" />"]);
    check(
        "<Role name=\"R\"><Instances count=\"0\"/></Role>",
        &["2, column 27: count=\"0\" of <Instances> must be a whole number from 1 to 1000"],
    );
    check("<Role><Instances count=\"1\"/></Role>", &["2, column 1: <Role> needs the attribute name"]);
    check(
        "<Role name=\"R\"><Instances count=\"1\"/></Role><Role name=\"R\"><Instances count=\"1\"/></Role>",
        &["2, column 45: role R is configured twice; remove one"],
    );
    check(
        "<Role name=\"R\"><Instances count=\"1\"/><ConfigurationSettings><Setting name=\"A\"/></ConfigurationSettings></Role>",
        &["2, column 61: setting \"A\" needs value=; it may be empty"],
    );
    check(
        "<Role name=\"R\"><Instances count=\"1\"/><Certificates><Certificate name=\"C\" thumbprint=\"12\"/></Certificates></Role>",
        &[
            "2, column 74: thumbprint=\"12\" of <Certificate> must be a SHA-1 thumbprint: 40 hexadecimal digits",
        ],
    );
    check(
        "<Role name=\"R\" vmName=\"much too long\"><Instances count=\"1\"/></Role>",
        &["2, column 16: vmName=\"much too long\" of <Role> must be 1 to 10 letters, digits and hyphens"],
    );
}

#[test]
fn a_network_configuration() {
    let network = |inner: &str| format!("<NetworkConfiguration>{inner}</NetworkConfiguration>");
    let rules = |rules: &str| {
        network(&format!(
            "<AccessControls><AccessControl name=\"A\">{rules}</AccessControl></AccessControls>"
        ))
    };
    let rule = "<Rule order=\"1\" action=\"permit\" remoteSubnet=\"10.0.0.0/8\"/>";
    check(&rules(rule), &[]);
    check(
        &rules("<Rule order=\"-1\" action=\"allow\" remoteSubnet=\"10.0.0.0/33\"/>"),
        &[
            "2, column 69: order=\"-1\" of <Rule> must be a whole number from 0 to 2147483647",
            "2, column 80: action=\"allow\" of <Rule> must be permit or deny",
            "2, column 95: remoteSubnet=\"10.0.0.0/33\" of <Rule> must be a subnet in CIDR notation, such as \
             203.0.113.0/24",
        ],
    );
    check(
        &rules(&format!("{rule}{rule}")),
        &[
            "2, column 128: order=\"1\" of <Rule> must be different in each <Rule>: the lowest that fits decides",
        ],
    );
    check(
        &network("<AccessControls><AccessControl name=\"A\"/><AccessControl name=\"A\"/></AccessControls>"),
        &["2, column 64: access control \"A\" is declared twice; rename one"],
    );
    let many: String = (0..51)
        .map(|n| format!("<Rule order=\"{n}\" action=\"deny\" remoteSubnet=\"192.0.2.{n}\"/>"))
        .collect();
    check(&rules(&many), &["2, column 39: the list has 51 rules; at most 50 are allowed"]);
    check(
        &network("<EndpointAcls><EndpointAcl role=\"R\" endpoint=\"E\" accessControl=\"A\"/></EndpointAcls>"),
        &[
            "2, column 72: accessControl=\"A\" of <EndpointAcl> must be the name of an <AccessControl>: nothing",
        ],
    );
    check(
        &network("<Dns><DnsServers><DnsServer name=\"a\" IPAddress=\"300.1.1.1\"/></DnsServers></Dns>"),
        &["2, column 60: IPAddress=\"300.1.1.1\" of <DnsServer> must be an IP address"],
    );
    check(
        &network("<LoadBalancers><LoadBalancer name=\"L\"/></LoadBalancers>"),
        &["2, column 38: <LoadBalancer> needs <FrontendIPConfiguration type=\"private\" />"],
    );
    check(
        &network("<AddressAssignments><ReservedIP name=\"V\"/></AddressAssignments>"),
        &[
            "2, column 43: <ReservedIP> is not known in <AddressAssignments>; remove it, or write <ReservedIPs> or \
             <InstanceAddress>",
        ],
    );
}

#[test]
fn access_controls_fit_the_endpoints() {
    let acl = |role: &str, endpoint: &str| {
        format!(
            "{}<NetworkConfiguration><AccessControls><AccessControl name=\"A\"><Rule order=\"2\" action=\"deny\" \
             remoteSubnet=\"0.0.0.0/0\"/><Rule order=\"1\" action=\"permit\" remoteSubnet=\"192.0.2.7\"/>\
             </AccessControl></AccessControls><EndpointAcls><EndpointAcl role=\"{role}\" endpoint=\"{endpoint}\" \
             accessControl=\"A\"/></EndpointAcls></NetworkConfiguration>",
            role_with_setting()
        )
    };
    let model = join(&acl("R", "D")).unwrap();
    let control = model.network.access_control("R", "D").unwrap();
    let decided = ["192.0.2.7", "192.0.2.8"].map(|address| control.permits(address.parse().unwrap()));
    assert_eq!(decided, [true, false]);
    assert!(model.network.access_control("R", "E").is_none());
    for (role, endpoint) in [("R", "E"), ("Q", "D")] {
        let problems = join(&acl(role, endpoint)).unwrap_err();
        let expected = format!(
            "<EndpointAcl> names {role}/{endpoint}, which is no input endpoint of the service definition"
        );
        assert!(problems.len() == 1 && problems[0].ends_with(&expected), "{problems:?}");
    }
    let address = "<NetworkConfiguration><AddressAssignments><InstanceAddress roleName=\"Q\"/></AddressAssignments>\
                   </NetworkConfiguration>";
    let problems = join(&format!("{}{address}", role_with_setting())).unwrap_err();
    assert!(problems[0].ends_with(
        "<InstanceAddress> names the role \"Q\", which the service definition does not have; write R"
    ));
}

fn role_with_setting() -> String {
    role(2, "<Setting name=\"A\" value=\"1\"/>")
}

#[test]
fn the_two_files_must_fit() {
    let setting = "<Setting name=\"A\" value=\"1\"/>";
    check_join(&role(2, setting), &[]);
    let imported =
        "<Setting name=\"Microsoft.WindowsAzure.Plugins.Diagnostics.ConnectionString\" value=\"\"/>";
    check_join(&role(1, &format!("{setting}{imported}")), &[]);
    check_join(
        &role(1, ""),
        &["2, column 1: role R has no value for the setting A; add <Setting name=\"A\" value=\"…\" />"],
    );
    check_join(
        &role(1, &format!("{setting}<Setting name=\"B\" value=\"\"/>")),
        &[
            "2, column 90: role R does not declare the setting B; remove it, or declare it in the service definition's \
         <ConfigurationSettings>",
        ],
    );
    check_join(
        &role(3, setting),
        &[
            "2, column 1: role R has 3 instances, but its endpoint D has 2 public ports; widen the port range or lower \
         the count",
        ],
    );
    check_join(
        &format!("{}<Role name=\"Q\"><Instances count=\"1\"/></Role>", role(1, setting)),
        &["2, column 254: role Q is not in the service definition; remove it here, or declare it there"],
    );
    check_join(
        "",
        &["1, column 1: role R of the service definition is not configured; add <Role name=\"R\">"],
    );
    let bare = format!(
        "<Role name=\"R\"><Instances count=\"1\"/><ConfigurationSettings>{setting}</ConfigurationSettings></Role>"
    );
    check_join(
        &bare,
        &[
            "2, column 1: role R has no thumbprint for the certificate C; add <Certificate name=\"C\" thumbprint=\"…\" \
         thumbprintAlgorithm=\"sha1\" />",
        ],
    );
}

#[test]
fn names_and_programs_are_compared() {
    let definition = "<ServiceDefinition name=\"T\" \
        xmlns=\"http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition\"><WebRole name=\"R\"/></ServiceDefinition>";
    let definition = ServiceDefinition::parse(definition).unwrap();
    let configuration =
        ServiceConfiguration::parse(&text("<Role name=\"R\"><Instances count=\"1\"/></Role>")).unwrap();
    assert_eq!(
        validate(&definition, &configuration).unwrap_err().messages(),
        [
            "service definition, line 1, column 107: role R has nothing to run; add <Runtime><EntryPoint>\
         <ProgramEntryPoint commandLine=\"…\" setReadyOnProcessStart=\"true\" />",
            "service configuration, line 1, column 1: serviceName is \"S\", but the service definition's name is \"T\"; \
         make them equal",
        ]
    );
}
