//! Local resources: folders on C that the role owns.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use welkin_agent_wire::role::LocalResource;

use crate::error::{Doing, GuestError};
use crate::process::ROLE_UID;

/// Local resources may be nowhere else.
const FOLDER: &str = "/local/resources";
/// The role's `TMPDIR` and `HOME`: on C, since memory is scarcer than disk.
pub const TEMPORARY: &str = "/local/tmp";

/// Makes every folder, and empties the ones that want it, before the role starts.
///
/// # Errors
/// When C refuses, or a path leads elsewhere.
pub fn prepare(resources: &[LocalResource]) -> Result<(), GuestError> {
    own(Path::new(TEMPORARY), true)?;
    for resource in resources {
        let path = Path::new(&resource.path);
        if !is_inside(path) {
            let message =
                format!("local resource {}: {} is not inside {FOLDER}", resource.name, resource.path);
            return Err(GuestError::Goal(message));
        }
        own(path, resource.clean_on_role_recycle)?;
    }
    Ok(())
}

fn is_inside(path: &Path) -> bool {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    plain && path.starts_with(FOLDER) && path != Path::new(FOLDER)
}

fn own(path: &Path, empty: bool) -> Result<(), GuestError> {
    let made = || {
        if empty {
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::create_dir_all(path)?;
        std::os::unix::fs::chown(path, Some(ROLE_UID), Some(ROLE_UID))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    };
    made().doing(|| format!("prepare {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::is_inside;
    use std::path::Path;

    #[test]
    fn resources_stay_in_their_folder() {
        let check = |path, expected| assert_eq!(is_inside(Path::new(path)), expected, "{path}");
        check("/local/resources/cache", true);
        check("/local/resources/a/b", true);
        check("/local/resources", false);
        check("/local/resources/../../etc", false);
        check("/etc", false);
        check("local/resources/cache", false);
    }
}
