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
use welkin_fabric::compile::{self, Application};
use welkin_fabric::{Deployment, Role};
use welkin_fabric_wire::{DeploymentGoal, Refusal, RefusalReason, WARNINGS_MAX};
use welkin_service_model::package::Identity;
use welkin_service_model::{
    Package, PackageError, Problem, Problems, ServiceConfiguration, ServiceDefinition, ServiceModel, validate,
};

use crate::content::Kind;
use crate::controller::Controller;
use crate::image;

/// A deployment's roles, made ready.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub roles: Vec<Role>,
    /// Update domains, at most.
    pub update_domains_max: u32,
    /// What has no effect here, for the customer.
    pub warnings: Vec<String>,
}

/// Why there are none.
#[derive(Debug)]
pub(crate) enum PrepareError {
    /// The customer must change something.
    Refused(Refusal),
    /// This controller failed.
    Failed(String),
}

/// Makes the roles of a goal ready. A deployment that exists (`held`) keeps its guest OS, and the images that it has of
/// the same packages.
pub(crate) async fn prepare(
    controller: &Controller,
    goal: &DeploymentGoal,
    held: Option<&Deployment>,
) -> Result<Prepared, PrepareError> {
    let mut packages = BTreeMap::new();
    for digest in goal.kept.values().chain([&goal.package]) {
        let folder = &controller.packages;
        if !folder.has(digest).await && !controller.peers.fetch(Kind::Packages, digest, folder).await {
            let message = format!("the package {digest} is not here; send it before the deployment");
            return Err(refused(RefusalReason::Package, vec![message]));
        }
        packages.insert(*digest, folder.file(digest));
    }
    let running = held.and_then(|held| held.roles().first()).map(|role| role.guest_os.clone());
    let guest_os = match running {
        Some(guest_os) => guest_os,
        None => controller.state().await.cluster.guest_os.clone(),
    };
    let known = known_images(held);
    let work = Work {
        packages,
        goal: goal.clone(),
        key: controller.key.identity(),
        guest_os: guest_os.clone(),
        known: known.clone(),
        folder: TempDir::new_in(&controller.work).map_err(failed)?,
    };
    let opened = tokio::task::spawn_blocking(|| open(work)).await.map_err(failed)??;
    let mut applications = BTreeMap::new();
    for role in &opened.service.roles {
        let name = &role.definition.name;
        let package = package_of(goal, name);
        let image = match known.get(&(name.clone(), package)) {
            Some(image) => *image,
            None => build(controller, opened.folder.path(), name).await?,
        };
        applications.insert(name.clone(), Application { package, image });
    }
    let roles = compile::roles(&opened.service, &guest_os, &applications)
        .map_err(|lines| refused(RefusalReason::Configuration, lines))?;
    let warnings = told(&opened.service.warnings);
    Ok(Prepared { roles, update_domains_max: opened.service.update_domain_count_max, warnings })
}

/// Warnings as lines, and not without end.
fn told(warnings: &[Problem]) -> Vec<String> {
    let mut lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    if lines.len() > WARNINGS_MAX {
        let more = lines.len() - (WARNINGS_MAX - 1);
        lines.truncate(WARNINGS_MAX - 1);
        lines.push(format!("and {more} more"));
    }
    lines
}

/// The package that a role comes from.
fn package_of(goal: &DeploymentGoal, role: &RoleName) -> Digest {
    goal.kept.get(role).copied().unwrap_or(goal.package)
}

/// The image of each role that was made of a package before and is still referred to.
fn known_images(held: Option<&Deployment>) -> BTreeMap<(RoleName, Digest), Digest> {
    let versions = held.into_iter().flat_map(|held| &held.versions);
    let roles = versions.flat_map(|version| &version.roles);
    roles.map(|role| ((role.name.clone(), role.package), role.application)).collect()
}

/// What the blocking half needs.
struct Work {
    packages: BTreeMap<Digest, PathBuf>,
    goal: DeploymentGoal,
    key: std::sync::Arc<Identity>,
    guest_os: GuestOs,
    known: BTreeMap<(RoleName, Digest), Digest>,
    /// Where the files of roles go whose image is not known.
    folder: TempDir,
}

struct Opened {
    service: ServiceModel,
    folder: TempDir,
}

fn open(work: Work) -> Result<Opened, PrepareError> {
    let mut packages = BTreeMap::new();
    for (digest, path) in &work.packages {
        let file = fs::File::open(path).map_err(failed)?;
        let package = Package::open(io::BufReader::new(file), &work.key).map_err(of_package)?;
        packages.insert(*digest, package);
    }
    let definitions = packages.iter().map(|(digest, package)| (*digest, package.definition())).collect();
    let definition = definition(&work.goal, &definitions)?;
    let configuration =
        ServiceConfiguration::parse(&work.goal.configuration).map_err(|p| of_configuration(&p))?;
    let service = validate(&definition, &configuration).map_err(|p| of_configuration(&p))?;
    let lines = compile::not_built(&service, &work.guest_os);
    if !lines.is_empty() {
        return Err(refused(RefusalReason::Configuration, lines));
    }
    for role in &service.roles {
        let name = &role.definition.name;
        let digest = package_of(&work.goal, name);
        if let Some(package) = packages.get_mut(&digest)
            && !work.known.contains_key(&(name.clone(), digest))
        {
            unpack(package, name, work.folder.path())?;
        }
    }
    Ok(Opened { service, folder: work.folder })
}

/// The definition of the goal's package, with the roles that stay as their own packages have them.
fn definition(
    goal: &DeploymentGoal,
    definitions: &BTreeMap<Digest, &ServiceDefinition>,
) -> Result<ServiceDefinition, PrepareError> {
    let of = |digest| definitions.get(digest).ok_or_else(|| failed("a package of the goal was not opened"));
    let mut definition = (*of(&goal.package)?).clone();
    for role in &mut definition.roles {
        if let Some(digest) = goal.kept.get(&role.name)
            && let Some(kept) = of(digest)?.role(role.name.as_str())
        {
            *role = kept.clone();
        }
    }
    Ok(definition)
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

/// Makes the image `image` of a role anew from its package.
pub(crate) async fn rebuild(
    controller: &Controller,
    role: &RoleName,
    package: &Digest,
    image: &Digest,
) -> Result<(), String> {
    let folder = TempDir::new_in(&controller.work).map_err(|error| error.to_string())?;
    let (file, key, name) = (controller.packages.file(package), controller.key.identity(), role.clone());
    let unpacked = tokio::task::spawn_blocking(move || {
        let file = fs::File::open(file).map_err(failed)?;
        let mut package = Package::open(io::BufReader::new(file), &key).map_err(of_package)?;
        unpack(&mut package, &name, folder.path())?;
        Ok(folder)
    });
    let unpacked: Result<TempDir, PrepareError> = unpacked.await.map_err(|error| error.to_string())?;
    let folder = unpacked.map_err(|error| format!("{error:?}"))?;
    let made = build(controller, folder.path(), role).await.map_err(|error| format!("{error:?}"))?;
    if made == *image { Ok(()) } else { Err(format!("its package makes {made} on this machine")) }
}

async fn build(controller: &Controller, folder: &Path, name: &RoleName) -> Result<Digest, PrepareError> {
    // A role's name has no blank, so this is no role's folder.
    let image = folder.join(format!("{name} image"));
    image::make(&folder.join(name.as_str()), &image).await.map_err(failed)?;
    let digest = controller.images.import(&image).await.map_err(failed)?;
    tokio::fs::remove_file(&image).await.map_err(failed)?;
    tracing::info!(role = %name, %digest, "application image made");
    Ok(digest)
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
