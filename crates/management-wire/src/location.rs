//! Locations, role sizes and guest operating systems.

use serde::{Deserialize, Serialize};

use crate::xml::{Element, encode_text};

/// A size of role instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSize {
    /// `vmsize`.
    pub name: &'static str,
    /// Virtual processors.
    pub cores: u32,
    /// Memory.
    pub memory_mib: u32,
    /// Disk for local resources.
    pub local_disk_mib: u32,
}

/// A guest OS version that roles can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingSystem {
    /// The version's name.
    pub version: String,
    /// For people.
    pub label: String,
    /// `osFamily`.
    pub family: u32,
    /// The family's name, for people.
    pub family_label: String,
    /// Whether `osVersion="*"` means this one.
    pub default: bool,
}

/// The element `Locations`, of a cloud that has one.
#[must_use]
pub fn locations(name: &str, sizes: &[RoleSize]) -> Element {
    let services = ["Compute", "Storage"].map(|service| Element::of("AvailableService", service));
    let location = Element::new("Location")
        .with("Name", name)
        .with("DisplayName", name)
        .child(Element::new("AvailableServices").children(services))
        .child(compute_capabilities(sizes));
    Element::new("Locations").child(location)
}

/// The element `ComputeCapabilities`: the sizes that roles may have.
#[must_use]
pub fn compute_capabilities(sizes: &[RoleSize]) -> Element {
    let sizes = sizes.iter().map(|size| Element::of("RoleSize", size.name));
    Element::new("ComputeCapabilities")
        .child(Element::new("VirtualMachinesRoleSizes"))
        .child(Element::new("WebWorkerRoleSizes").children(sizes))
}

/// The element `RoleSizes`.
#[must_use]
pub fn role_sizes(sizes: &[RoleSize]) -> Element {
    let size = |size: &RoleSize| {
        Element::new("RoleSize")
            .with("Name", size.name)
            .with("Label", format!("{} ({} cores, {} MB)", size.name, size.cores, size.memory_mib))
            .with("Cores", size.cores)
            .with("MemoryInMb", size.memory_mib)
            .with("SupportedByWebWorkerRoles", true)
            .with("SupportedByVirtualMachines", false)
            .with("MaxDataDiskCount", 0)
            .with("WebWorkerResourceDiskSizeInMb", size.local_disk_mib)
            .with("VirtualMachineResourceDiskSizeInMb", 0)
    };
    Element::new("RoleSizes").children(sizes.iter().map(size))
}

/// The element `OperatingSystems`.
#[must_use]
pub fn operating_systems(systems: &[OperatingSystem]) -> Element {
    let system = |system: &OperatingSystem| {
        version(system).with("Family", system.family).with("FamilyLabel", encode_text(&system.family_label))
    };
    Element::new("OperatingSystems").children(systems.iter().map(system))
}

/// The element `OperatingSystemFamilies`.
#[must_use]
pub fn operating_system_families(systems: &[OperatingSystem]) -> Element {
    let mut families: Vec<(u32, &str)> =
        systems.iter().map(|s| (s.family, s.family_label.as_str())).collect();
    families.sort_unstable();
    families.dedup_by_key(|family| family.0);
    let family = |(number, label): (u32, &str)| {
        let versions = systems.iter().filter(|system| system.family == number).map(version);
        Element::new("OperatingSystemFamily")
            .with("Name", number)
            .with("Label", encode_text(label))
            .child(Element::new("OperatingSystems").children(versions))
    };
    Element::new("OperatingSystemFamilies").children(families.into_iter().map(family))
}

fn version(system: &OperatingSystem) -> Element {
    Element::new("OperatingSystem")
        .with("Version", &system.version)
        .with("Label", encode_text(&system.label))
        .with("IsDefault", system.default)
        .with("IsActive", true)
}
