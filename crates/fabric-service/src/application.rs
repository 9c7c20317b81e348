//! From a package and a configuration to roles with their application images. Both come from a customer: the package's
//! files are written into a folder of our own, as plain files with plain names, before any program sees them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use welkin_agent_wire::GuestOs;
use welkin_base::{Digest, RoleName};
use welkin_fabric::{Deployment, Role, compile};
use welkin_fabric_wire::{DeploymentGoal, Refusal, RefusalReason};
use welkin_service_model::package::Identity;
use welkin_service_model::{Package, PackageError, Problems, ServiceConfiguration, ServiceModel, validate};

use crate::controller::Controller;
use crate::image;

/// A deployment's roles, made ready.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub roles: Vec<Role>,
    /// Update domains, at most.
    pub update_domains_max: u32,
}

/// Why there are none.
#[derive(Debug)]
pub(crate) enum PrepareError {
    /// The customer must change something.
    Refused(Refusal),
    /// This controller failed.
    Failed(String),
}

/// Makes the roles of a goal ready. A deployment that exists (`held`) keeps its images and guest OS.
pub(crate) async fn prepare(
    controller: &Controller,
    goal: &DeploymentGoal,
    held: Option<&Deployment>,
) -> Result<Prepared, PrepareError> {
    if !controller.packages.has(&goal.package).await {
        let message = format!("the package {} is not here; send it before the deployment", goal.package);
        return Err(refused(RefusalReason::Package, vec![message]));
    }
    let running = held.and_then(|held| held.roles.first()).map(|role| role.guest_os.clone());
    let guest_os = match running {
        Some(guest_os) => guest_os,
        None => controller.state().await.cluster.guest_os.clone(),
    };
    let work = Work {
        package: controller.packages.file(&goal.package),
        key: controller.key.identity(),
        configuration: goal.configuration.clone(),
        guest_os: guest_os.clone(),
        folder: match held {
            Some(_) => None,
            None => Some(TempDir::new_in(&controller.work).map_err(failed)?),
        },
    };
    let opened = tokio::task::spawn_blocking(|| open(work)).await.map_err(failed)??;
    let applications = match (held, opened.folder) {
        (Some(held), _) => held.roles.iter().map(|role| (role.name.clone(), role.application)).collect(),
        (None, Some(folder)) => build(controller, folder.path(), &opened.service).await?,
        (None, None) => BTreeMap::new(),
    };
    let roles = compile::roles(&opened.service, &guest_os, &applications)
        .map_err(|lines| refused(RefusalReason::Configuration, lines))?;
    Ok(Prepared { roles, update_domains_max: opened.service.update_domain_count_max })
}

/// What the blocking half needs.
struct Work {
    package: PathBuf,
    key: std::sync::Arc<Identity>,
    configuration: String,
    guest_os: GuestOs,
    /// Where the roles' files go, when they are wanted.
    folder: Option<TempDir>,
}

struct Opened {
    service: ServiceModel,
    folder: Option<TempDir>,
}

fn open(work: Work) -> Result<Opened, PrepareError> {
    let file = fs::File::open(&work.package).map_err(failed)?;
    let mut package = Package::open(io::BufReader::new(file), &work.key).map_err(of_package)?;
    let configuration = ServiceConfiguration::parse(&work.configuration).map_err(|p| of_configuration(&p))?;
    let service = validate(package.definition(), &configuration).map_err(|p| of_configuration(&p))?;
    let lines = compile::not_built(&service, &work.guest_os);
    if !lines.is_empty() {
        return Err(refused(RefusalReason::Configuration, lines));
    }
    if let Some(folder) = &work.folder {
        for role in &service.roles {
            unpack(&mut package, &role.definition.name, folder.path())?;
        }
    }
    Ok(Opened { service, folder: work.folder })
}

/// Writes the files of a role below `folder`. Names are plain (the package was checked), and nothing but what is
/// written here is in the folder, so no link can lead out of it.
fn unpack<R: io::Read + io::Seek>(
    package: &mut Package<R>,
    role: &RoleName,
    folder: &Path,
) -> Result<(), PrepareError> {
    let root = folder.join(role.as_str());
    let names: Vec<(String, bool)> =
        package.files(role).map(|(name, entry)| (name.to_owned(), entry.executable)).collect();
    make_folder(&root).map_err(failed)?;
    for (name, executable) in names {
        let mut path = root.clone();
        let mut parts = name.split('/').peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            if parts.peek().is_some() {
                make_folder(&path).map_err(failed)?;
            }
        }
        let mut file = fs::File::create_new(&path).map_err(failed)?;
        package.read(role, &name, &mut file).map_err(of_package)?;
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    Ok(())
}

/// The mode is part of the image, so it does not depend on our umask.
fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
    }
}

async fn build(
    controller: &Controller,
    folder: &Path,
    service: &ServiceModel,
) -> Result<BTreeMap<RoleName, Digest>, PrepareError> {
    let mut applications = BTreeMap::new();
    for role in &service.roles {
        let name = &role.definition.name;
        // A role's name has no blank, so this is no role's folder.
        let image = folder.join(format!("{name} image"));
        image::make(&folder.join(name.as_str()), &image).await.map_err(failed)?;
        let digest = controller.images.import(&image).await.map_err(failed)?;
        tokio::fs::remove_file(&image).await.map_err(failed)?;
        tracing::info!(role = %name, %digest, "application image made");
        applications.insert(name.clone(), digest);
    }
    Ok(applications)
}

fn of_package(error: PackageError) -> PrepareError {
    match error {
        PackageError::Io(error) => failed(error),
        PackageError::Definition(problems) => refused(RefusalReason::Package, problems.messages()),
        other => refused(RefusalReason::Package, vec![other.to_string()]),
    }
}

fn of_configuration(problems: &Problems) -> PrepareError {
    refused(RefusalReason::Configuration, problems.messages())
}

fn refused(reason: RefusalReason, messages: Vec<String>) -> PrepareError {
    PrepareError::Refused(Refusal { reason, messages })
}

fn failed(error: impl std::fmt::Display) -> PrepareError {
    PrepareError::Failed(error.to_string())
}
