//! The files of a role: its folder, and the folders that `<Contents>` adds.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use welkin_service_model::RoleDefinition;

/// Folders within folders, at most; deeper ones are a loop.
const DEPTH_MAX: usize = 64;

/// A file of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleFile {
    /// Its path below the role's folder, with `/` between the parts.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a program.
    pub executable: bool,
}

/// What is wrong with a role's files.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// There is no folder.
    #[error("there is no folder {0:?} with its files; make it, or name another with --role {1}=FOLDER")]
    NoFolder(PathBuf, String),
    /// The folder is empty.
    #[error("{0:?} has no files; put the role's program into it")]
    Empty(PathBuf),
    /// A link or a device.
    #[error("{0:?} is not a plain file; a package holds plain files only: copy what it stands for")]
    NotPlain(PathBuf),
    /// A name that is not text.
    #[error("the name of {0:?} is not UTF-8; rename it")]
    Name(PathBuf),
    /// Too many folders within folders.
    #[error("{0:?} is more than {DEPTH_MAX} folders deep")]
    Deep(PathBuf),
    /// The package would hold itself.
    #[error("the package would lie in {0:?}, among the files that it holds; write it elsewhere with --out")]
    Itself(PathBuf),
    /// Two sources of one name.
    #[error("{0} comes from two folders; remove one")]
    Twice(String),
    /// The entry point is not there.
    #[error(
        "its program {0} is not among its files; put it there, or correct commandLine of <ProgramEntryPoint>"
    )]
    NoProgram(String),
    /// The entry point cannot be run.
    #[error("its program {0:?} is not executable; run: chmod +x {0:?}")]
    NotExecutable(PathBuf),
    /// The file system refuses.
    #[error("cannot read {0:?}: {1}")]
    Read(PathBuf, io::Error),
}

/// Gathers the files of `role` from `folder`, and from the folders of its `<Contents>`, which are relative to
/// `beside`. The package goes to `out`.
///
/// # Errors
/// When something is not a plain file, or the role could not run.
pub fn collect(
    role: &RoleDefinition,
    folder: &Path,
    beside: &Path,
    out: &Path,
) -> Result<Vec<RoleFile>, FilesError> {
    let mut sources = vec![(String::new(), folder.to_owned())];
    if !folder.is_dir() && !role.contents.is_empty() {
        sources.clear();
    }
    sources.extend(role.contents.iter().map(|content| {
        let destination = content.destination.trim_matches('/').trim_start_matches("./");
        (if destination == "." { "" } else { destination }.to_owned(), beside.join(&content.source))
    }));
    let mut files = BTreeMap::new();
    for (destination, folder) in sources {
        if !folder.is_dir() {
            return Err(FilesError::NoFolder(folder, role.name.to_string()));
        }
        refuse_itself(&folder, out)?;
        walk(&folder, &destination, DEPTH_MAX, &mut files)?;
    }
    if files.is_empty() {
        return Err(FilesError::Empty(folder.to_owned()));
    }
    check_program(role, &files)?;
    Ok(files.into_values().collect())
}

/// A package from an earlier run would be packaged too.
fn refuse_itself(folder: &Path, out: &Path) -> Result<(), FilesError> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (parent.canonicalize(), folder.canonicalize()) {
        (Ok(parent), Ok(below)) if parent.starts_with(&below) => Err(FilesError::Itself(folder.to_owned())),
        _ => Ok(()),
    }
}

fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut BTreeMap<String, RoleFile>,
) -> Result<(), FilesError> {
    let Some(depth) = depth.checked_sub(1) else { return Err(FilesError::Deep(folder.to_owned())) };
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |error| FilesError::Read(path, error)
    };
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        let Some(part) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(FilesError::Name(path));
        };
        let name = if prefix.is_empty() { part.to_owned() } else { format!("{prefix}/{part}") };
        let metadata = path.symlink_metadata().map_err(unreadable(&path))?;
        if metadata.is_dir() {
            walk(&path, &name, depth, files)?;
        } else if metadata.is_file() {
            let executable = metadata.permissions().mode() & 0o111 != 0;
            let file = RoleFile { name: name.clone(), path, executable };
            if files.insert(name.clone(), file).is_some() {
                return Err(FilesError::Twice(name));
            }
        } else {
            return Err(FilesError::NotPlain(path));
        }
    }
    Ok(())
}

/// The entry point is a file of the role, unless it is a program of the guest OS.
fn check_program(role: &RoleDefinition, files: &BTreeMap<String, RoleFile>) -> Result<(), FilesError> {
    let Some(program) = &role.runtime.program else { return Ok(()) };
    let word = program.command_line.split_whitespace().next().unwrap_or_default();
    if word.starts_with('/') {
        return Ok(());
    }
    match files.get(word.trim_start_matches("./")) {
        Some(file) if file.executable => Ok(()),
        Some(file) => Err(FilesError::NotExecutable(file.path.clone())),
        None => Err(FilesError::NoProgram(word.to_owned())),
    }
}
