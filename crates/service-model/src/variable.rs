//! Environment variables of startup tasks and of the role, and the values that only an
//! instance knows (`RoleInstanceValue xpath=`).

use roxmltree::Node;

use crate::problem::Position;
use crate::xml::{Reader, Shape, children, echo};

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, or where an instance finds it.
    pub value: VariableValue,
    /// Where the file has it.
    pub position: Position,
}

/// Value of a [`Variable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariableValue {
    /// Fixed in the definition.
    Text(String),
    /// Known to the instance only.
    Instance(InstanceValue),
}

/// What `RoleInstanceValue xpath=` may ask for. The forms are a closed list
/// (`cloud-services-role-config-xpath`), so there is no XPath engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceValue {
    /// `/RoleEnvironment/Deployment/@id`
    DeploymentId,
    /// `/RoleEnvironment/Deployment/@emulated`
    Emulated,
    /// `/RoleEnvironment/CurrentInstance/@id`
    InstanceId,
    /// `/RoleEnvironment/CurrentInstance/@roleName`
    RoleName,
    /// `/RoleEnvironment/CurrentInstance/@faultDomain`
    FaultDomain,
    /// `/RoleEnvironment/CurrentInstance/@updateDomain`
    UpdateDomain,
    /// `…/ConfigurationSettings/ConfigurationSetting[@name='X']/@value`
    Setting(String),
    /// `…/LocalResources/LocalResource[@name='X']/@path`
    LocalResourcePath(String),
    /// `…/LocalResources/LocalResource[@name='X']/@sizeInMB`
    LocalResourceSize(String),
    /// `…/Endpoints/Endpoint[@name='X']/@address`
    EndpointAddress(String),
    /// `…/Endpoints/Endpoint[@name='X']/@port`
    EndpointPort(String),
    /// `…/Endpoints/Endpoint[@name='X']/@protocol`
    EndpointProtocol(String),
}

const FIXED: [(&str, InstanceValue); 6] = [
    ("/RoleEnvironment/Deployment/@id", InstanceValue::DeploymentId),
    ("/RoleEnvironment/Deployment/@emulated", InstanceValue::Emulated),
    ("/RoleEnvironment/CurrentInstance/@id", InstanceValue::InstanceId),
    ("/RoleEnvironment/CurrentInstance/@roleName", InstanceValue::RoleName),
    ("/RoleEnvironment/CurrentInstance/@faultDomain", InstanceValue::FaultDomain),
    ("/RoleEnvironment/CurrentInstance/@updateDomain", InstanceValue::UpdateDomain),
];

/// What stands before the name, what stands behind it, and the value that is meant.
type Named = (&'static str, &'static str, fn(String) -> InstanceValue);

const NAMED: [Named; 6] = [
    ("ConfigurationSettings/ConfigurationSetting", "value", InstanceValue::Setting),
    ("LocalResources/LocalResource", "path", InstanceValue::LocalResourcePath),
    ("LocalResources/LocalResource", "sizeInMB", InstanceValue::LocalResourceSize),
    ("Endpoints/Endpoint", "address", InstanceValue::EndpointAddress),
    ("Endpoints/Endpoint", "port", InstanceValue::EndpointPort),
    ("Endpoints/Endpoint", "protocol", InstanceValue::EndpointProtocol),
];

impl InstanceValue {
    /// The value that an `xpath` attribute means, when it is one of the known forms.
    #[must_use]
    pub fn from_xpath(xpath: &str) -> Option<Self> {
        if let Some((_, value)) = FIXED.iter().find(|(known, _)| *known == xpath) {
            return Some(value.clone());
        }
        let rest = xpath.strip_prefix("/RoleEnvironment/CurrentInstance/")?;
        let (list, rest) = rest.split_once("[@name=")?;
        let (name, attribute) = rest.rsplit_once("]/@")?;
        let name = ["'", "\""].iter().find_map(|q| name.strip_prefix(q)?.strip_suffix(q))?;
        let (_, _, make) = NAMED.iter().find(|(known, last, _)| *known == list && *last == attribute)?;
        Some(make(name.to_owned()))
    }
}

const ENVIRONMENT: Shape = Shape::list(&["Variable"]);
const VARIABLE: Shape = Shape { attributes: &["name", "value"], once: &["RoleInstanceValue"], many: &[] };
const ROLE_INSTANCE_VALUE: Shape = Shape::leaf(&["xpath"]);

/// Reads the variables of each `<Environment>` in `parent`.
pub(crate) fn read_all<'d, 'i>(reader: &mut Reader<'d, 'i>, parent: Node<'d, 'i>) -> Vec<Variable> {
    let mut variables: Vec<Variable> = Vec::new();
    for environment in children(parent, "Environment") {
        reader.shape(environment, &ENVIRONMENT);
        for node in children(environment, "Variable") {
            let variable = read(reader, node);
            if variables.iter().any(|other| other.name == variable.name) {
                let message = format!("variable {} is set twice; remove one", echo(&variable.name));
                reader.problem(node, message);
            }
            variables.push(variable);
        }
    }
    variables
}

fn read<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> Variable {
    reader.shape(node, &VARIABLE);
    let name = reader.required(node, "name").to_owned();
    if name.contains(['=', '\0']) {
        reader.bad_value(node, "name", "a variable's name, without \"=\"");
    }
    let value = match (node.attribute("value"), children(node, "RoleInstanceValue").next()) {
        (Some(text), None) => VariableValue::Text(text.to_owned()),
        (None, Some(child)) => instance_value(reader, child),
        _ => {
            let message = format!("variable {} needs either value= or <RoleInstanceValue>", echo(&name));
            reader.problem(node, message);
            VariableValue::Text(String::new())
        }
    };
    Variable { name, value, position: reader.position(node) }
}

fn instance_value<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> VariableValue {
    reader.shape(node, &ROLE_INSTANCE_VALUE);
    let xpath = reader.required(node, "xpath").trim();
    match InstanceValue::from_xpath(xpath) {
        Some(value) => VariableValue::Instance(value),
        None => {
            reader.bad_value(
                node,
                "xpath",
                "one of the known forms, such as /RoleEnvironment/CurrentInstance/@id or \
                 /RoleEnvironment/CurrentInstance/Endpoints/Endpoint[@name='Web']/@port",
            );
            VariableValue::Text(String::new())
        }
    }
}
