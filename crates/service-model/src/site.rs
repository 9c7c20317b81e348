//! `<Sites>`: the sites that IIS would serve for a web role. A Linux guest has no IIS; the names are read so that
//! what they refer to is checked, and the whole has no effect.

use roxmltree::Node;

use crate::problem::Position;
use crate::xml::{Reader, Shape, children, members};

/// A site of a web role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// Its files, relative to the definition.
    pub physical_directory: Option<String>,
    /// Virtual applications and directories, by name.
    pub virtual_directories: Vec<String>,
    /// The input endpoints that it answers on, each with its place.
    pub bindings: Vec<(String, Position)>,
}

const SITES: Shape = Shape::list(&["Site"]);
const SITE: Shape = Shape {
    attributes: &["name", "physicalDirectory"],
    once: &["Bindings"],
    many: &["VirtualApplication", "VirtualDirectory"],
};
const VIRTUAL: Shape = Shape {
    attributes: &["name", "physicalDirectory"],
    once: &[],
    many: &["VirtualApplication", "VirtualDirectory"],
};
const BINDINGS: Shape = Shape::list(&["Binding"]);
const BINDING: Shape = Shape::leaf(&["name", "endpointName", "hostHeader"]);
/// Applications within applications, at most; real files have two.
const DEPTH_MAX: usize = 8;

/// Reads the sites of a web role.
pub(crate) fn read_all<'d, 'i>(reader: &mut Reader<'d, 'i>, role: Node<'d, 'i>) -> Vec<Site> {
    let mut sites = Vec::new();
    for list in children(role, "Sites") {
        reader.shape(list, &SITES);
        let message = String::from(
            "<Sites> is for IIS and has no effect in a Linux guest; the role's program \
             (<Runtime><EntryPoint><ProgramEntryPoint>) answers HTTP itself",
        );
        reader.warning(list, message);
        sites.extend(children(list, "Site").map(|node| read(reader, node)));
    }
    sites
}

fn read<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> Site {
    reader.shape(node, &SITE);
    let mut virtual_directories = Vec::new();
    read_virtual(reader, node, DEPTH_MAX, &mut virtual_directories);
    for list in children(node, "Bindings") {
        reader.shape(list, &BINDINGS);
    }
    let mut bindings = Vec::new();
    for binding in members(node, "Bindings", "Binding") {
        reader.shape(binding, &BINDING);
        reader.required(binding, "name");
        bindings.push((reader.required(binding, "endpointName").to_owned(), reader.position(binding)));
    }
    if bindings.is_empty() {
        let message =
            String::from("<Site> needs <Bindings><Binding name=\"…\" endpointName=\"…\" /></Bindings>");
        reader.problem(node, message);
    }
    Site {
        name: reader.required(node, "name").to_owned(),
        physical_directory: node.attribute("physicalDirectory").map(str::to_owned),
        virtual_directories,
        bindings,
    }
}

fn read_virtual<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    parent: Node<'d, 'i>,
    depth: usize,
    names: &mut Vec<String>,
) {
    let Some(depth) = depth.checked_sub(1) else {
        reader.problem(parent, format!("virtual directories are nested more than {DEPTH_MAX} deep"));
        return;
    };
    let virtuals = children(parent, "VirtualApplication").chain(children(parent, "VirtualDirectory"));
    for node in virtuals {
        reader.shape(node, &VIRTUAL);
        names.push(reader.required(node, "name").to_owned());
        read_virtual(reader, node, depth, names);
    }
}
