//! Locations, role sizes and guest operating systems.

use welkin_management_wire::ApiError;
use welkin_management_wire::location::{
    RoleSize, locations, operating_system_families, operating_systems, role_sizes,
};

use crate::config::Config;
use crate::reply::Reply;

const fn size(name: &'static str, cores: u32, memory_mib: u32, local_disk_mib: u32) -> RoleSize {
    RoleSize { name, cores, memory_mib, local_disk_mib }
}

/// The sizes of role instances, as the classic service had them in 2010 (SMAPI §6).
pub const SIZES: [RoleSize; 5] = [
    size("ExtraSmall", 1, 768, 20_480),
    size("Small", 1, 1_792, 230_400),
    size("Medium", 2, 3_584, 501_760),
    size("Large", 4, 7_168, 1_024_000),
    size("ExtraLarge", 8, 14_336, 2_088_960),
];

/// "List Locations".
pub fn list(config: &Config) -> Reply {
    Reply::Xml(locations(&config.location, &SIZES))
}

/// "List Role Sizes".
pub fn list_role_sizes() -> Reply {
    Reply::Xml(role_sizes(&SIZES))
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
