//! Service definitions, good and bad, with what each bad one is told.

use welkin_service_model::endpoint::{LocalPort, Protocol};
use welkin_service_model::startup_task::TaskKind;
use welkin_service_model::traffic_rule::TrafficSource;
use welkin_service_model::variable::{InstanceValue, VariableValue};
use welkin_service_model::{RoleKind, RoleSize, ServiceDefinition};

const NAMESPACE: &str = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition";

/// As editors on Windows save it: with a byte order mark and CRLF.
const FULL: &str = include_str!("data/full.csdef");

/// The problems of a definition whose root holds `inner`, from line 2 on.
fn problems(inner: &str) -> Vec<String> {
    let text = format!("<ServiceDefinition name=\"S\" xmlns=\"{NAMESPACE}\">\n{inner}\n</ServiceDefinition>");
    match ServiceDefinition::parse(&text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.messages(),
    }
}

fn check(inner: &str, expected: &[&str]) {
    let expected: Vec<String> =
        expected.iter().map(|line| format!("service definition, line {line}")).collect();
    assert_eq!(problems(inner), expected, "{inner}");
}

/// A worker role with `inner` on line 2.
fn role(inner: &str) -> String {
    format!("<WorkerRole name=\"R\">{inner}</WorkerRole>")
}

#[test]
fn everything_at_once_is_read() {
    for text in [FULL.to_owned(), format!("\u{feff}{}", FULL.replace('\n', "\r\n"))] {
        let definition = ServiceDefinition::parse(&text).unwrap();
        assert_eq!((definition.name.as_str(), definition.update_domain_count), ("Guestbook", 3));
        let web = definition.role("Web").unwrap();
        assert_eq!((web.kind, web.size), (RoleKind::Web, RoleSize::ExtraSmall));
        assert_eq!(web.settings, ["DataConnectionString", "Greeting"]);
        let input = &web.endpoints.input[1];
        assert_eq!(
            (input.protocol, input.port, input.local_port),
            (Protocol::Https, 443, LocalPort::Dynamic)
        );
        assert_eq!(web.endpoints.input[0].local_port, LocalPort::Fixed(8080));
        assert_eq!(web.endpoints.internal[1].local_port, LocalPort::Range(9000, 9009));
        assert_eq!(web.endpoints.internal[2].local_port, LocalPort::Dynamic);
        assert_eq!(web.endpoints.instance_input[0].public_ports, (10_100, 10_105));
        assert_eq!(web.local_resources[0].size_mib, 64);
        assert!(!web.local_resources[0].clean_on_role_recycle);
        assert_eq!(web.startup_tasks[1].kind, TaskKind::Background);
        let port = VariableValue::Instance(InstanceValue::EndpointPort("Http".into()));
        assert_eq!(web.runtime.variables[1].value, port);
        assert_eq!(web.runtime.program.as_ref().unwrap().command_line, "bin/web --quiet");
        let worker = definition.role("Worker").unwrap();
        assert_eq!(worker.endpoints.input[0].name, "Old", "the spelling of before SDK 1.3");
        assert_eq!(worker.size, RoleSize::Small);
        assert_eq!(definition.traffic_rules[0].source, TrafficSource::Roles(vec!["Worker".into()]));
        assert_eq!(definition.probes[0].interval_seconds, 15);
        let warnings: Vec<u32> = definition.warnings.iter().map(|warning| warning.position.line).collect();
        assert_eq!(warnings, [11, 47], "<Sites> and <Import>");
    }
}

#[test]
fn what_is_not_known_is_named_with_what_to_write() {
    check(
        "<Workerrole name=\"R\"/>",
        &[
            "1, column 1: the service has no role; add a <WebRole> or a <WorkerRole>",
            "2, column 1: <Workerrole> is not known in <ServiceDefinition>; write <WorkerRole> (case matters)",
        ],
    );
    check(
        &role("<Endpoints><Endpoint/></Endpoints>"),
        &["2, column 33: <Endpoint> is not known in <Endpoints>; remove it, or write <InputEndpoint>, \
         <InternalEndpoint> or <InstanceInputEndpoint>"],
    );
    check(
        &role("<Imports colour=\"red\"/>"),
        &["2, column 31: attribute colour is not known in <Imports>; remove it"],
    );
    check(
        "<WorkerRole name=\"R\" vmSize=\"Small\"/>",
        &["2, column 22: attribute vmSize is not known in <WorkerRole>; write vmsize (case matters)"],
    );
    check(
        &role("<Runtime/><Runtime/>"),
        &["2, column 32: <Runtime> appears twice in <WorkerRole>; put its content into the first"],
    );
    check(
        &role("<Imports>text</Imports>"),
        &["2, column 31: <Imports> holds no text; values are attributes"],
    );
    check(
        &role("<x:Imports xmlns:x=\"urn:x\"/>"),
        &["2, column 22: <Imports> is in another namespace than <WorkerRole>; remove it"],
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let inner =
        "<WorkerRole name=\"a b\" vmsize=\"Huge\">\n<Runtime executionContext=\"root\"/>\n</WorkerRole>";
    check(
        inner,
        &[
            "2, column 13: name=\"a b\" of <WorkerRole> must be 1 to 63 letters, digits, hyphens, underscores and \
         points, beginning with a letter or digit",
            "2, column 24: vmsize=\"Huge\" of <WorkerRole> must be ExtraSmall, Small, Medium, Large, ExtraLarge, A5, A6, A7, \
             Standard_D1, Standard_D2, Standard_D3, Standard_D4, Standard_D11, Standard_D12, Standard_D13 or Standard_D14",
            "3, column 10: executionContext=\"root\" of <Runtime> must be limited or elevated",
        ],
    );
}

#[test]
fn names_are_unique() {
    check(
        "<WorkerRole name=\"R\"/><WebRole name=\"R\"/>",
        &["2, column 23: role R is declared twice; rename one"],
    );
    check(
        &role("<ConfigurationSettings><Setting name=\"A\"/><Setting name=\"A\"/></ConfigurationSettings>"),
        &["2, column 64: setting \"A\" is declared twice; remove one"],
    );
    check(
        &role("<LocalResources><LocalStorage name=\"A\"/><LocalStorage name=\"a\"/></LocalResources>"),
        &["2, column 62: local storage \"a\" is declared twice; rename one"],
    );
    let twice =
        "<InternalEndpoint name=\"E\" protocol=\"tcp\"/><InternalEndpoint name=\"E\" protocol=\"udp\"/>";
    check(
        &role(&format!("<Endpoints>{twice}</Endpoints>")),
        &["2, column 76: role R declares endpoint \"E\" twice; rename one"],
    );
    let ports = "<InputEndpoint name=\"A\" protocol=\"tcp\" port=\"80\"/><InputEndpoint name=\"B\" protocol=\"tcp\" port=\"80\"/>";
    check(
        &role(&format!("<Endpoints>{ports}</Endpoints>")),
        &["2, column 83: the public port 80 belongs to both R/A and R/B; give one another port"],
    );
}

#[test]
fn endpoints() {
    let endpoint = |inner: &str| role(&format!("<Endpoints>{inner}</Endpoints>"));
    check(
        &endpoint("<InputEndpoint name=\"E\" protocol=\"any\" port=\"0\"/>"),
        &[
            "2, column 57: protocol=\"any\" of <InputEndpoint> must be http, https, tcp or udp",
            "2, column 72: port=\"0\" of <InputEndpoint> must be a whole number from 1 to 65535",
        ],
    );
    check(
        &endpoint("<InputEndpoint name=\"E\" port=\"1\"/>"),
        &["2, column 33: <InputEndpoint> needs the attribute protocol"],
    );
    check(
        &endpoint("<InputEndpoint name=\"E\" protocol=\"HTTPS\" port=\"443\"/>"),
        &[
            "2, column 33: the https endpoint E needs certificate=: the name of one of the role's <Certificates>",
        ],
    );
    check(
        &endpoint("<InputEndpoint name=\"E\" protocol=\"https\" port=\"443\" certificate=\"C\"/>"),
        &[
            "2, column 33: endpoint E names the certificate \"C\", which role R does not declare in <Certificates>",
        ],
    );
    check(
        &endpoint("<InputEndpoint name=\"E\" protocol=\"tcp\" port=\"1\" loadBalancerProbe=\"P\"/>"),
        &["2, column 33: endpoint R/E names the probe \"P\", which <LoadBalancerProbes> does not declare"],
    );
    check(
        &endpoint(
            "<InternalEndpoint name=\"E\" protocol=\"tcp\" port=\"1\"><FixedPort port=\"2\"/></InternalEndpoint>",
        ),
        &["2, column 33: write one of port=, <FixedPort> and <FixedPortRange>, not several"],
    );
    check(
        &endpoint(
            "<InternalEndpoint name=\"E\" protocol=\"tcp\"><FixedPortRange min=\"9\" max=\"8\"/></InternalEndpoint>",
        ),
        &["2, column 99: max=\"8\" of <FixedPortRange> must be at least min=9"],
    );
    check(
        &endpoint("<InstanceInputEndpoint name=\"E\" protocol=\"tcp\" localPort=\"1\"/>"),
        &["2, column 33: <InstanceInputEndpoint> needs \
         <AllocatePublicPortFrom><FixedPortRange min= max= /></AllocatePublicPortFrom>"],
    );
    check(
        &endpoint("<InputEndpoint name=\"E\" protocol=\"tcp\" port=\"1\" idleTimeoutInMinutes=\"3\"/>"),
        &["2, column 81: idleTimeoutInMinutes=\"3\" of <InputEndpoint> must be a whole number from 4 to 30"],
    );
    let many = |count: usize| -> String {
        (0..count).map(|n| format!("<InternalEndpoint name=\"E{n}\" protocol=\"tcp\"/>")).collect()
    };
    check(&endpoint(&many(5)), &[]);
    check(&endpoint(&many(6)), &["2, column 1: the role has 6 internal endpoints; at most 5 are allowed"]);
    let inputs: String =
        (1..=26).map(|n| format!("<InputEndpoint name=\"E{n}\" protocol=\"tcp\" port=\"{n}\"/>")).collect();
    check(&endpoint(&inputs), &["1, column 1: the service has 26 endpoints; at most 25 are allowed"]);
}

#[test]
fn counts() {
    let roles: String = (0..26).map(|n| format!("<WorkerRole name=\"R{n}\"/>")).collect();
    check(&roles, &["1, column 1: the service has 26 roles; at most 25 are allowed"]);
    check(
        "<WorkerRole name=\"R\" vmsize=\"ExtraSmall\"><LocalResources><LocalStorage name=\"A\" sizeInMB=\"20000\"/>\
           <LocalStorage name=\"B\" sizeInMb=\"481\"/></LocalResources></WorkerRole>",
        &[
            "2, column 1: the role's local storage adds up to 20481 MB; vmsize=ExtraSmall has 20480: ask for less or \
         for a larger vmsize",
        ],
    );
}

#[test]
fn probes_and_traffic_rules() {
    let probe = |attributes: &str| {
        let probe =
            format!("<LoadBalancerProbes><LoadBalancerProbe name=\"P\" {attributes}/></LoadBalancerProbes>");
        probe + "<WorkerRole name=\"R\"/>"
    };
    check(&probe("protocol=\"http\""), &["2, column 21: an http probe needs path="]);
    check(
        &probe("protocol=\"http\" path=\"/a b\""),
        &[
            "2, column 65: path=\"/a b\" of <LoadBalancerProbe> must be the path of a URL, without blanks, other characters \
           written as %..",
        ],
    );
    check(&probe("protocol=\"tcp\" path=\"/\""), &["2, column 21: a tcp probe has no path; remove path="]);
    check(
        &probe("protocol=\"tcp\" intervalInSeconds=\"4\" timeoutInSeconds=\"10\""),
        &[
            "2, column 64: intervalInSeconds=\"4\" of <LoadBalancerProbe> must be a whole number from 5 to 86400",
            "2, column 86: timeoutInSeconds=\"10\" of <LoadBalancerProbe> must be a whole number from 11 to 86400",
        ],
    );
    let rule = "<NetworkTrafficRules><OnlyAllowTrafficTo><Destinations><RoleEndpoint endpointName=\"E\" roleName=\"R\"/>\
                </Destinations><WhenSource matches=\"AnyRule\"><FromRole roleName=\"Q\"/></WhenSource>\
                </OnlyAllowTrafficTo></NetworkTrafficRules>";
    check(
        &format!("{rule}<WorkerRole name=\"R\"/>"),
        &[
            "2, column 22: a traffic rule names R/E, which is no internal endpoint of the service",
            "2, column 22: a traffic rule names the role \"Q\", which there is not; write R",
        ],
    );
}

#[test]
fn variables_ask_for_what_is_declared() {
    let variable = |inner: &str| {
        role(&format!(
            "<Runtime><Environment><Variable name=\"V\">{inner}</Variable></Environment></Runtime>"
        ))
    };
    let value = |path: &str| {
        variable(&format!("<RoleInstanceValue xpath=\"/RoleEnvironment/CurrentInstance/{path}\"/>"))
    };
    check(&value("@id"), &[]);
    check(
        &value("Endpoints/Endpoint[@name='E']/@port"),
        &["2, column 44: variable V asks for the endpoint \"E\", which role R does not declare"],
    );
    check(
        &value("LocalResources/LocalResource[@name='L']/@path"),
        &["2, column 44: variable V asks for the local storage \"L\", which role R does not declare"],
    );
    check(
        &value("@age"),
        &[
            "2, column 82: xpath=\"/RoleEnvironment/CurrentInstance/@age\" of <RoleInstanceValue> must be one of the \
         known forms, such as /RoleEnvironment/CurrentInstance/@id or \
         /RoleEnvironment/CurrentInstance/Endpoints/Endpoint[@name='Web']/@port",
        ],
    );
    check(&variable(""), &["2, column 44: variable \"V\" needs either value= or <RoleInstanceValue>"]);
}

#[test]
fn what_only_windows_has_is_refused_by_name() {
    check(
        &role(
            "<Runtime><EntryPoint><NetFxEntryPoint assemblyName=\"A.dll\" targetFrameworkVersion=\"v4.0\"/>\
                 </EntryPoint></Runtime>",
        ),
        &["2, column 43: <NetFxEntryPoint> needs .NET Framework, which a Linux guest does not have; write \
         <ProgramEntryPoint commandLine=\"…\" setReadyOnProcessStart=\"true\" />"],
    );
    check(
        "<WorkerRole name=\"R\" enableNativeCodeExecution=\"false\"/>",
        &[
            "2, column 1: enableNativeCodeExecution=\"false\" asks for .NET partial trust, which a Linux guest does \
         not have; remove it",
        ],
    );
    check(
        &role("<ConfigurationSettings><Setting name=\"A\" value=\"1\"/></ConfigurationSettings>"),
        &[
            "2, column 45: a setting's value belongs into the service configuration (.cscfg); remove value= here",
        ],
    );
}

#[test]
fn every_variable_form_is_known() {
    use InstanceValue as V;
    let instance = "/RoleEnvironment/CurrentInstance";
    let rows = [
        ("/RoleEnvironment/Deployment/@id".to_owned(), Some(V::DeploymentId)),
        ("/RoleEnvironment/Deployment/@emulated".to_owned(), Some(V::Emulated)),
        (format!("{instance}/@id"), Some(V::InstanceId)),
        (format!("{instance}/@roleName"), Some(V::RoleName)),
        (format!("{instance}/@faultDomain"), Some(V::FaultDomain)),
        (format!("{instance}/@updateDomain"), Some(V::UpdateDomain)),
        (
            format!("{instance}/ConfigurationSettings/ConfigurationSetting[@name='A']/@value"),
            Some(V::Setting("A".into())),
        ),
        (
            format!("{instance}/LocalResources/LocalResource[@name=\"A\"]/@path"),
            Some(V::LocalResourcePath("A".into())),
        ),
        (
            format!("{instance}/LocalResources/LocalResource[@name='A']/@sizeInMB"),
            Some(V::LocalResourceSize("A".into())),
        ),
        (format!("{instance}/Endpoints/Endpoint[@name='A']/@address"), Some(V::EndpointAddress("A".into()))),
        (format!("{instance}/Endpoints/Endpoint[@name='A']/@port"), Some(V::EndpointPort("A".into()))),
        (
            format!("{instance}/Endpoints/Endpoint[@name='A']/@protocol"),
            Some(V::EndpointProtocol("A".into())),
        ),
        (format!("{instance}/Endpoints/Endpoint[@name='A\"]/@port"), None),
        (format!("{instance}/Endpoints/Endpoint[1]/@port"), None),
        (format!("{instance}/Endpoints/LocalResource[@name='A']/@port"), None),
        (format!("{instance}//@id"), None),
        ("//@id".to_owned(), None),
        (String::new(), None),
    ];
    for (xpath, expected) in rows {
        assert_eq!(InstanceValue::from_xpath(&xpath), expected, "{xpath}");
    }
}

#[test]
fn sites_are_checked_though_they_have_no_effect() {
    let web = |sites: &str| {
        format!(
            "<WebRole name=\"R\"><Sites>{sites}</Sites><Endpoints><InputEndpoint name=\"E\" protocol=\"http\" \
             port=\"80\"/></Endpoints></WebRole>"
        )
    };
    let bound = |name: &str| format!("<Bindings><Binding name=\"B\" endpointName=\"{name}\"/></Bindings>");
    let nested = "<VirtualApplication name=\"a\"><VirtualDirectory name=\"d\"/></VirtualApplication>";
    check(&web(&format!("<Site name=\"W\">{nested}{}</Site>", bound("E"))), &[]);
    check(
        &web(&format!("<Site name=\"W\">{}</Site>", bound("F"))),
        &["2, column 51: a <Binding> names the endpoint \"F\", which is no <InputEndpoint> of role R"],
    );
    check(
        &web("<Site name=\"W\"/>"),
        &["2, column 26: <Site> needs <Bindings><Binding name=\"…\" endpointName=\"…\" /></Bindings>"],
    );
    let deep =
        format!("{}{}", "<VirtualApplication name=\"a\">".repeat(9), "</VirtualApplication>".repeat(9));
    let told = problems(&web(&format!("<Site name=\"W\">{deep}{}</Site>", bound("E"))));
    assert!(
        told.len() == 1 && told[0].ends_with("virtual directories are nested more than 8 deep"),
        "{told:?}"
    );
    check(
        &role("<Sites/>"),
        &[
            "2, column 22: <Sites> is not known in <WorkerRole>; remove it, or write <ConfigurationSettings>, <Endpoints>, \
           <InputEndpoints>, <LocalResources>, <Certificates>, <Imports>, <Startup>, <Runtime>, <Contents> or \
           <LocalStorage>",
        ],
    );
}

#[test]
fn what_is_no_definition_is_told_so() {
    let line = |text: &str| ServiceDefinition::parse(text).unwrap_err().messages().join("|");
    assert_eq!(
        line("<a>"),
        "service definition, line 1, column 1: not well-formed XML: the root node was opened but never closed"
    );
    assert_eq!(
        line("<Wrong/>"),
        format!(
            "service definition, line 1, column 1: the root element must be <ServiceDefinition xmlns=\"{NAMESPACE}\">"
        )
    );
    assert!(line("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>").contains("DTD"), "no entities");
    assert!(line(&" ".repeat(2 << 20)).contains("at most 1048576 are read"));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(position in 0..FULL.len(), byte in 0_u8..128) {
        let mut bytes = FULL.as_bytes().to_vec();
        bytes[position] = byte;
        if let Ok(text) = String::from_utf8(bytes) {
            let _ = ServiceDefinition::parse(&text);
        }
        if let Some(cut) = FULL.trim_end().get(..position.min(FULL.trim_end().len() - 1)) {
            proptest::prop_assert!(ServiceDefinition::parse(cut).is_err());
        }
    }
}
