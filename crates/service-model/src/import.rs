//! `<Imports>`: SDK modules. An import adds settings, certificates and endpoints to its role
//! that the definition never declares.

use roxmltree::Node;

use crate::xml::{Reader, Shape, children, members};

/// A module that may be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// Diagnostics.
    Diagnostics,
    /// Remote desktop.
    RemoteAccess,
    /// Remote desktop, on the role that takes the connection.
    RemoteForwarder,
    /// Virtual network of the old samples.
    Connect,
    /// Publishing from an editor.
    WebDeploy,
    /// The cache service inside a role.
    Caching,
    /// A debugger of another machine.
    RemoteDebugger,
    /// A debugger of another machine, on the role that takes the connection.
    RemoteDebuggerConnector,
}

const MODULES: [(&str, Module); 8] = [
    ("Diagnostics", Module::Diagnostics),
    ("RemoteAccess", Module::RemoteAccess),
    ("RemoteForwarder", Module::RemoteForwarder),
    ("Connect", Module::Connect),
    ("WebDeploy", Module::WebDeploy),
    ("Caching", Module::Caching),
    ("RemoteDebugger", Module::RemoteDebugger),
    ("RemoteDebuggerConnector", Module::RemoteDebuggerConnector),
];

impl Module {
    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        MODULES.iter().find(|(_, module)| *module == self).map_or("", |(name, _)| name)
    }

    /// Whether the module adds `name`, a setting or certificate, to its role.
    #[must_use]
    pub fn adds(self, name: &str) -> bool {
        name.strip_prefix("Microsoft.WindowsAzure.Plugins.")
            .and_then(|rest| rest.strip_prefix(self.as_str()))
            .is_some_and(|rest| rest.starts_with('.'))
    }
}

const IMPORTS: Shape = Shape::list(&["Import"]);
const IMPORT: Shape = Shape::leaf(&["moduleName"]);

/// Reads the imports of `role`.
pub(crate) fn read_all<'d, 'i>(reader: &mut Reader<'d, 'i>, role: Node<'d, 'i>) -> Vec<Module> {
    for list in children(role, "Imports") {
        reader.shape(list, &IMPORTS);
    }
    let mut modules = Vec::new();
    for node in members(role, "Imports", "Import") {
        reader.shape(node, &IMPORT);
        reader.required(node, "moduleName");
        let Some(module) = reader.choice(node, "moduleName", &MODULES) else { continue };
        let message = format!(
            "module {} is a Windows program: its settings are accepted, and it does not run in a Linux guest; \
             the role finds them among its own",
            module.as_str()
        );
        reader.warning(node, message);
        if modules.contains(&module) {
            reader.problem(node, format!("module {} is imported twice; remove one", module.as_str()));
        }
        modules.push(module);
    }
    modules
}
