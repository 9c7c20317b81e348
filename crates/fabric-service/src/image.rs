//! Application images (E): a role's files as squashfs, the same bytes for the same files.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::error::RunError;

/// The program, of the package squashfs-tools.
const PROGRAM: &str = "mksquashfs";
/// Longer than the largest package takes on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(600);
/// What of its complaints is passed on, in characters.
const COMPLAINT_CHARS_MAX: usize = 400;
/// Nothing of the image depends on who makes it, when, or in which order: files belong to root, times are zero, and
/// the tool's output is reproducible by default. No device, owner or extended attribute comes from outside.
const OPTIONS: &[&str] = &[
    "-noappend",
    "-all-root",
    "-no-xattrs",
    "-no-exports",
    "-all-time",
    "0",
    "-mkfs-time",
    "0",
    "-comp",
    "zstd",
    "-no-progress",
    "-quiet",
];

/// Whether the program runs.
///
/// # Errors
/// When it does not.
pub(crate) async fn probe() -> Result<(), RunError> {
    let mut command = Command::new(PROGRAM);
    command.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.map(drop).map_err(RunError::NoMksquashfs)
}

/// Makes the image `to` of the files in `folder`, which this controller wrote itself.
///
/// # Errors
/// When the program fails.
pub(crate) async fn make(folder: &Path, to: &Path) -> io::Result<()> {
    let mut command = Command::new(PROGRAM);
    // Without an environment: SOURCE_DATE_EPOCH would change the times.
    command
        .arg(folder)
        .arg(to)
        .args(OPTIONS)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(TIMEOUT, command.output()).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("{PROGRAM} does not come to an end"))
    })??;
    if output.status.success() {
        return Ok(());
    }
    let complaint: String =
        String::from_utf8_lossy(&output.stderr).chars().take(COMPLAINT_CHARS_MAX).collect();
    Err(io::Error::other(format!("{PROGRAM} failed ({}): {}", output.status, complaint.trim())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn files(at: &Path, names: &[&str]) {
        for name in names {
            let path = at.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, format!("content of {name}")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[tokio::test]
    async fn the_same_files_make_the_same_image() {
        let at = tempfile::tempdir().unwrap();
        let names = ["bin/web", "a", "static/deep/page.html"];
        files(&at.path().join("one"), &names);
        let reversed: Vec<_> = names.into_iter().rev().collect();
        files(&at.path().join("two"), &reversed);
        fs::File::open(at.path().join("two/a")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        for name in ["one", "two"] {
            make(&at.path().join(name), &at.path().join(format!("{name}.img"))).await.unwrap();
        }
        let (one, two) =
            (fs::read(at.path().join("one.img")).unwrap(), fs::read(at.path().join("two.img")).unwrap());
        assert_eq!(&one[..4], b"hsqs");
        assert!(one == two, "images differ");
        let error = make(&at.path().join("none"), &at.path().join("none.img")).await.unwrap_err();
        assert!(error.to_string().contains("mksquashfs failed"), "{error}");
    }
}
