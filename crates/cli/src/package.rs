//! `welkin package`: a service definition and the files of its roles become one encrypted file.

mod files;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use welkin_base::{Digest, RoleName};
use welkin_service_model::package::{self, PackageError, PackageWriter};
use welkin_service_model::{RoleDefinition, ServiceDefinition, text};

use files::{FilesError, RoleFile};

/// A recipient file in bytes, at most: one line and some comment.
const RECIPIENT_FILE_BYTES_MAX: u64 = 4 << 10;
/// A definition in bytes, at most, before it is even parsed.
const DEFINITION_BYTES_MAX: u64 = 4 << 20;
/// Anybody may read a package: it is encrypted.
const PACKAGE_MODE: u32 = 0o644;

/// Arguments of `welkin package`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  welkin package --definition guestbook/ServiceDefinition.csdef --recipient age1… --out guestbook.cspkg
  welkin package --definition ServiceDefinition.csdef --role Web=build/web --role Worker=build/worker \\
      --recipient cloud.recipient --out guestbook.cspkg")]
pub struct PackageArgs {
    /// The service definition (.csdef)
    #[arg(long, value_name = "FILE")]
    pub definition: PathBuf,
    /// A role's files [default: the folder beside the definition that is named as the role]
    #[arg(long = "role", value_name = "NAME=FOLDER", value_parser = role_folder)]
    pub roles: Vec<(RoleName, PathBuf)>,
    /// The cloud's public key (age1…), or a file that has it
    #[arg(long, value_name = "KEY")]
    pub recipient: String,
    /// Where the package goes
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Why no package was made. None is left behind.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// A file.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The definition is not text.
    #[error("{} is neither UTF-8 nor UTF-16; save it as UTF-8", .0.display())]
    Encoding(PathBuf),
    /// The definition is wrong, or a file cannot be packaged.
    #[error("{}: {source}", path.display())]
    Package {
        /// The file that it is about.
        path: PathBuf,
        /// What is wrong.
        source: PackageError,
    },
    /// The text given for the recipient is neither a key nor a file.
    #[error("{0:?} is neither a cloud's public key (age1…) nor a file that has one")]
    Recipient(String),
    /// `--role` names a role that the definition does not have.
    #[error("role {role} is not in the service definition, which has {known}")]
    UnknownRole {
        /// The name given.
        role: RoleName,
        /// Those that there are.
        known: String,
    },
    /// A role's files.
    #[error("role {role}: {source}")]
    Files {
        /// Which role.
        role: RoleName,
        /// What is wrong.
        source: FilesError,
    },
}

/// What was packaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSummary {
    /// The service's name in the definition.
    pub service: String,
    /// The files of each role.
    pub files: BTreeMap<RoleName, usize>,
    /// The package's size.
    pub package_bytes: u64,
    /// Digest of what is inside, the same for the same files.
    pub content: Digest,
    /// What of the definition has no effect.
    pub warnings: Vec<String>,
}

fn role_folder(text: &str) -> Result<(RoleName, PathBuf), String> {
    let (name, folder) = text.split_once('=').ok_or("write NAME=FOLDER, such as Web=build/web")?;
    Ok((name.parse().map_err(|error: welkin_base::NameError| error.to_string())?, PathBuf::from(folder)))
}

/// Runs `welkin package`.
///
/// # Errors
/// When something is wrong with definition, files or recipient, or writing fails.
pub fn run(args: &PackageArgs) -> Result<(), MakeError> {
    let summary = package(args)?;
    for warning in &summary.warnings {
        eprintln!("warning: {warning}");
    }
    let roles: Vec<String> =
        summary.files.iter().map(|(role, count)| format!("{role} ({count} files)")).collect();
    let kib = summary.package_bytes.div_ceil(1024);
    println!("{}: {} with {}, {kib} KiB", args.out.display(), summary.service, roles.join(", "));
    println!("content sha256:{}", summary.content);
    Ok(())
}

/// Packages a definition with the folders beside it.
///
/// # Errors
/// As [`package`].
pub fn make(definition: &Path, recipient: &str, out: &Path) -> Result<PackageSummary, MakeError> {
    let (definition, recipient, out) = (definition.to_owned(), recipient.to_owned(), out.to_owned());
    package(&PackageArgs { definition, roles: Vec::new(), recipient, out })
}

/// Makes a package, whole or not at all.
///
/// # Errors
/// When something is wrong with definition, files or recipient, or writing fails.
pub fn package(args: &PackageArgs) -> Result<PackageSummary, MakeError> {
    let recipient = recipient(&args.recipient)?;
    let text = read_definition(&args.definition)?;
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| MakeError::Package { path, source }
    };
    let definition = ServiceDefinition::parse(&text)
        .map_err(|problems| wrong(&args.definition)(PackageError::Definition(problems)))?;
    let files = role_files(args, &definition)?;
    let folder = args.out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(PACKAGE_MODE))
        .tempfile_in(folder)
        .map_err(file("write into", folder))?;
    let mut writer = PackageWriter::seal(BufWriter::new(temporary.as_file_mut()), &recipient, &text)
        .map_err(wrong(&args.definition))?;
    let mut counts = BTreeMap::new();
    for (role, files) in files {
        for RoleFile { name, path, executable } in &files {
            let mut content = File::open(path).map_err(file("read", path))?;
            writer.add(&role, name, *executable, &mut content).map_err(wrong(path))?;
        }
        counts.insert(role, files.len());
    }
    let content = writer.content_digest().map_err(wrong(&args.definition))?;
    let mut buffered = writer.finish().map_err(wrong(&args.definition))?;
    buffered.flush().map_err(file("write", &args.out))?;
    drop(buffered);
    let written = temporary.as_file();
    written.sync_all().map_err(file("write", &args.out))?;
    let package_bytes = written.metadata().map_err(file("read", &args.out))?.len();
    temporary.persist(&args.out).map_err(|error| file("write", &args.out)(error.error))?;
    Ok(PackageSummary {
        service: definition.name,
        files: counts,
        package_bytes,
        content,
        warnings: definition.warnings.iter().map(ToString::to_string).collect(),
    })
}

fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> MakeError {
    let path = path.to_owned();
    move |source| MakeError::File { doing, path, source }
}

/// A key as given, or the first line of a file that is no comment.
fn recipient(given: &str) -> Result<package::Recipient, MakeError> {
    if let Ok(recipient) = package::recipient(given) {
        return Ok(recipient);
    }
    let path = Path::new(given);
    let mut text = String::new();
    let Ok(opened) = File::open(path) else { return Err(MakeError::Recipient(given.to_owned())) };
    opened.take(RECIPIENT_FILE_BYTES_MAX).read_to_string(&mut text).map_err(file("read", path))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    package::recipient(line.unwrap_or(""))
        .map_err(|source| MakeError::Package { path: path.to_owned(), source })
}

fn read_definition(path: &Path) -> Result<String, MakeError> {
    let mut bytes = Vec::new();
    let opened = File::open(path).map_err(file("read", path))?;
    opened.take(DEFINITION_BYTES_MAX).read_to_end(&mut bytes).map_err(file("read", path))?;
    text::decode(&bytes).ok_or_else(|| MakeError::Encoding(path.to_owned()))
}

/// The files of every role, in the order in which they are packaged.
fn role_files(
    args: &PackageArgs,
    definition: &ServiceDefinition,
) -> Result<Vec<(RoleName, Vec<RoleFile>)>, MakeError> {
    for (role, _) in &args.roles {
        if definition.role(role.as_str()).is_none() {
            let known: Vec<&str> = definition.roles.iter().map(|role| role.name.as_str()).collect();
            return Err(MakeError::UnknownRole { role: role.clone(), known: known.join(", ") });
        }
    }
    let beside = args.definition.parent().unwrap_or(Path::new(""));
    let files = |role: &RoleDefinition| {
        let given = args.roles.iter().rev().find(|(name, _)| *name == role.name);
        let folder = given.map_or_else(|| beside.join(role.name.as_str()), |(_, folder)| folder.clone());
        files::collect(role, &folder, beside, &args.out)
            .map(|files| (role.name.clone(), files))
            .map_err(|source| MakeError::Files { role: role.name.clone(), source })
    };
    definition.roles.iter().map(files).collect()
}

#[cfg(test)]
mod tests;
