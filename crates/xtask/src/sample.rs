//! Makes the folder that `welkin deploy --folder` takes: the guestbook's definition and configuration, and for
//! each role a folder with its program, which needs no library of the guest OS.

use std::fs;
use std::path::Path;

use crate::run::{self, ChoreError};

/// Where the sample is.
const SAMPLE: &str = "samples/guestbook";
/// Its texts.
const FILES: [&str; 2] = ["ServiceDefinition.csdef", "ServiceConfiguration.cscfg"];
/// Each role, with its program.
const ROLES: [(&str, &str); 2] = [("Web", "guestbook-web"), ("Worker", "guestbook-worker")];

/// Builds the sample into `out`.
///
/// # Errors
/// When cargo fails or a file cannot be written.
pub fn build(out: &Path) -> Result<(), ChoreError> {
    let sample = run::repository()?.join(SAMPLE);
    let programs = run::build_static(&ROLES.map(|(_, program)| program))?;
    run::make_empty(out)?;
    for name in FILES {
        copy(&sample.join(name), &out.join(name))?;
    }
    for (role, program) in ROLES {
        let folder = out.join(role);
        run::make_empty(&folder)?;
        copy(&programs.join(program), &folder.join(program))?;
    }
    Ok(())
}

/// Builds `welkin-tls` as `out`.
///
/// # Errors
/// When cargo fails or the file cannot be written.
pub fn build_tls(out: &Path) -> Result<(), ChoreError> {
    copy(&run::build_static(&["welkin-sdk"])?.join("welkin-tls"), out)
}

/// Permissions come along, so that a program stays one.
fn copy(from: &Path, to: &Path) -> Result<(), ChoreError> {
    fs::copy(from, to).map(drop).map_err(|e| run::io("copy", from, e))
}
