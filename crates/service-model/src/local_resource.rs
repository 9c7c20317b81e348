//! Local resources: folders on the instance's own disk.

use roxmltree::Node;

use crate::size::RoleSize;
use crate::xml::{Reader, Shape, children, echo, members};

/// A folder that the role may write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalResource {
    /// Its name; safe as the name of a folder.
    pub name: String,
    /// Its size.
    pub size_mib: u32,
    /// Whether it is emptied each time the role starts.
    pub clean_on_role_recycle: bool,
}

/// `sizeInMB` when the file has none (`schema-csdef-workerrole`, "LocalStorage").
const SIZE_MIB_DEFAULT: u32 = 100;

const LOCAL_RESOURCES: Shape = Shape::list(&["LocalStorage"]);
/// The documentation writes `sizeInMb`, the files write `sizeInMB`.
const LOCAL_STORAGE: Shape = Shape::leaf(&["name", "sizeInMB", "sizeInMb", "cleanOnRoleRecycle"]);

/// Reads the local resources of `role`, whose disk is that of `size`.
pub(crate) fn read_all<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    role: Node<'d, 'i>,
    size: RoleSize,
) -> Vec<LocalResource> {
    for list in children(role, "LocalResources") {
        reader.shape(list, &LOCAL_RESOURCES);
    }
    let mut resources: Vec<LocalResource> = Vec::new();
    for node in members(role, "LocalResources", "LocalStorage").chain(children(role, "LocalStorage")) {
        let resource = read(reader, node, size);
        if resources.iter().any(|other| other.name.eq_ignore_ascii_case(&resource.name)) {
            let message = format!("local storage {} is declared twice; rename one", echo(&resource.name));
            reader.problem(node, message);
        }
        resources.push(resource);
    }
    let total: u64 = resources.iter().map(|resource| u64::from(resource.size_mib)).sum();
    if total > u64::from(size.local_disk_mib()) {
        let message = format!(
            "the role's local storage adds up to {total} MB; vmsize={size} has {}: \
             ask for less or for a larger vmsize",
            size.local_disk_mib()
        );
        reader.problem(role, message);
    }
    resources
}

fn read<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>, size: RoleSize) -> LocalResource {
    reader.shape(node, &LOCAL_STORAGE);
    let spelling = if node.has_attribute("sizeInMb") { "sizeInMb" } else { "sizeInMB" };
    LocalResource {
        name: reader.name(node, "name"),
        size_mib: reader.number(node, spelling, 1..=size.local_disk_mib()).unwrap_or(SIZE_MIB_DEFAULT),
        clean_on_role_recycle: reader.flag(node, "cleanOnRoleRecycle").unwrap_or(true),
    }
}
