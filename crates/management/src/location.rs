//! Locations, role sizes and guest operating systems.

use welkin_management_wire::location::{
    RoleSize, compute_capabilities, locations, operating_system_families, operating_systems, role_sizes,
};
use welkin_management_wire::{ApiError, Element};

use crate::config::Config;
use crate::reply::Reply;

fn sizes() -> Vec<RoleSize> {
    let offered = welkin_service_model::RoleSize::ALL.into_iter();
    offered
        .map(|size| RoleSize {
            name: size.as_str(),
            cores: size.cores(),
            memory_mib: size.memory_mib(),
            local_disk_mib: size.local_disk_mib(),
        })
        .collect()
}

/// What a hosted service may have: the same as the location.
pub fn capabilities() -> Element {
    compute_capabilities(&sizes())
}

/// "List Locations".
pub fn list(config: &Config) -> Reply {
    Reply::Xml(locations(&config.location, &sizes()))
}

/// "List Role Sizes".
pub fn list_role_sizes() -> Reply {
    Reply::Xml(role_sizes(&sizes()))
}

/// "List Operating Systems".
pub fn list_operating_systems(config: &Config) -> Reply {
    Reply::Xml(operating_systems(&config.operating_systems))
}

/// "List Operating System Families".
pub fn list_operating_system_families(config: &Config) -> Reply {
    Reply::Xml(operating_system_families(&config.operating_systems))
}

/// The location of a request must be the one that there is.
pub fn check(config: &Config, location: &str) -> Result<(), ApiError> {
    if location.eq_ignore_ascii_case(&config.location) {
        return Ok(());
    }
    let shown: String = location.chars().take(80).collect();
    Err(ApiError::bad_request(format!(
        "{shown:?} is not a location of this cloud: its only location is {:?}",
        config.location
    )))
}
