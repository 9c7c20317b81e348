//! A role of the service definition.

use roxmltree::Node;
use welkin_base::RoleName;

use crate::certificate::{self, CertificateDeclaration};
use crate::endpoint::{self, Endpoints};
use crate::import::{self, Module};
use crate::local_resource::{self, LocalResource};
use crate::problem::Position;
use crate::site::{self, Site};
use crate::size::RoleSize;
use crate::startup_task::{self, Runtime, StartupTask};
use crate::xml::{Reader, Shape, children, echo, members};

/// A web or worker role, as the definition has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Its name.
    pub name: RoleName,
    /// Web or worker.
    pub kind: RoleKind,
    /// `vmsize`.
    pub size: RoleSize,
    /// Names of the settings; their values are in the configuration.
    pub settings: Vec<String>,
    /// Where it listens.
    pub endpoints: Endpoints,
    /// Folders on the instance's own disk.
    pub local_resources: Vec<LocalResource>,
    /// Certificates that the configuration gives thumbprints for.
    pub certificates: Vec<CertificateDeclaration>,
    /// Imported modules.
    pub imports: Vec<Module>,
    /// What runs before the role, in order.
    pub startup_tasks: Vec<StartupTask>,
    /// The role itself.
    pub runtime: Runtime,
    /// Sites of IIS, which have no effect.
    pub sites: Vec<Site>,
    /// Folders that `welkin package` adds to the role's files.
    pub contents: Vec<Content>,
    /// Where the file declares it.
    pub position: Position,
}

/// Kind of a role. In a Linux guest both run a program; a web role has an HTTP endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleKind {
    /// `WebRole`
    Web,
    /// `WorkerRole`
    Worker,
}

/// `<Content>`: a folder that is copied into the role's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Where to, relative to the role's folder.
    pub destination: String,
    /// Where from, relative to the definition.
    pub source: String,
}

const ROLE_ATTRIBUTES: &[&str] = &["name", "vmsize", "enableNativeCodeExecution"];
/// The order is that of the schema's documentation, which is how an error lists them.
const WORKER_ROLE: Shape = Shape {
    attributes: ROLE_ATTRIBUTES,
    once: &[
        "ConfigurationSettings",
        "Endpoints",
        "InputEndpoints",
        "LocalResources",
        "Certificates",
        "Imports",
        "Startup",
        "Runtime",
        "Contents",
    ],
    many: &["LocalStorage"],
};
const WEB_ROLE: Shape = Shape {
    attributes: ROLE_ATTRIBUTES,
    once: &[
        "Sites",
        "ConfigurationSettings",
        "Endpoints",
        "InputEndpoints",
        "LocalResources",
        "Certificates",
        "Imports",
        "Startup",
        "Runtime",
        "Contents",
    ],
    many: &["LocalStorage"],
};
const SETTINGS: Shape = Shape::list(&["Setting"]);
const SETTING: Shape = Shape::leaf(&["name"]);
const CONTENTS: Shape = Shape::list(&["Content"]);
const CONTENT: Shape = Shape { attributes: &["destination"], once: &["SourceDirectory"], many: &[] };
const SOURCE_DIRECTORY: Shape = Shape::leaf(&["path"]);

/// Reads one role; `None` when it has no usable name.
pub(crate) fn read<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    node: Node<'d, 'i>,
    kind: RoleKind,
) -> Option<RoleDefinition> {
    reader.shape(node, if kind == RoleKind::Web { &WEB_ROLE } else { &WORKER_ROLE });
    let sizes = RoleSize::ALL.map(|size| (size.as_str(), size));
    let size = reader.choice(node, "vmsize", &sizes).unwrap_or(RoleSize::Small);
    refuse_what_is_windows(reader, node);
    let sites = site::read_all(reader, node);
    let (settings, contents) = (read_settings(reader, node), read_contents(reader, node));
    let endpoints = endpoint::read_all(reader, node);
    let local_resources = local_resource::read_all(reader, node, size);
    let certificates = certificate::read_declarations(reader, node);
    let imports = import::read_all(reader, node);
    let startup_tasks = startup_task::read_all(reader, node);
    let runtime = startup_task::read_runtime(reader, node);
    let name = reader.required(node, "name");
    let parsed = RoleName::new(name);
    if parsed.is_err() && !name.is_empty() {
        reader.bad_value(node, "name", RoleName::RULE);
    }
    Some(RoleDefinition {
        name: parsed.ok()?,
        kind,
        size,
        settings,
        endpoints,
        local_resources,
        certificates,
        imports,
        startup_tasks,
        runtime,
        sites,
        contents,
        position: reader.position(node),
    })
}

fn refuse_what_is_windows<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) {
    if reader.flag(node, "enableNativeCodeExecution") == Some(false) {
        let message = String::from(
            "enableNativeCodeExecution=\"false\" asks for .NET partial trust, which a Linux guest does not \
             have; remove it",
        );
        reader.problem(node, message);
    }
}

fn read_settings<'d, 'i>(reader: &mut Reader<'d, 'i>, role: Node<'d, 'i>) -> Vec<String> {
    for list in children(role, "ConfigurationSettings") {
        reader.shape(list, &SETTINGS);
    }
    let mut names: Vec<String> = Vec::new();
    for node in members(role, "ConfigurationSettings", "Setting") {
        if node.has_attribute("value") {
            let message = String::from(
                "a setting's value belongs into the service configuration (.cscfg); remove value= here",
            );
            reader.problem(node, message);
        } else {
            reader.shape(node, &SETTING);
        }
        let name = reader.label(node, "name");
        if names.contains(&name) {
            reader.problem(node, format!("setting {} is declared twice; remove one", echo(&name)));
        }
        names.push(name);
    }
    names
}

fn read_contents<'d, 'i>(reader: &mut Reader<'d, 'i>, role: Node<'d, 'i>) -> Vec<Content> {
    for list in children(role, "Contents") {
        reader.shape(list, &CONTENTS);
    }
    let mut contents = Vec::new();
    for node in members(role, "Contents", "Content") {
        reader.shape(node, &CONTENT);
        let destination = reader.required(node, "destination").replace('\\', "/");
        if destination.starts_with('/') || destination.split('/').any(|part| part == "..") {
            reader.bad_value(node, "destination", "a path below the role's folder");
        }
        let Some(source) = children(node, "SourceDirectory").next() else {
            reader.problem(node, String::from("<Content> needs <SourceDirectory path=\"…\" />"));
            continue;
        };
        reader.shape(source, &SOURCE_DIRECTORY);
        let source = reader.required(source, "path").replace('\\', "/");
        contents.push(Content { destination, source });
    }
    contents
}
