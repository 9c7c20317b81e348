//! `welkin deploy`: a service package becomes running role instances.
//!
//! Each step that makes something notes how to take it away again; when a later step fails, what was made here is.

mod connection;
mod follow;
mod show;
mod undo;
mod upload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use welkin_base::{AccountName, DeploymentName, ServiceName, Timestamp};
use welkin_management_wire::cloud_status::{CloudStatus, DeploymentStatus, FabricKey};
use welkin_management_wire::{Element, answer, xml};

use crate::client::{Client, ClientError, Settings};
use crate::manage::deployment::Warnings;
use crate::package;

pub use show::Show;
pub use undo::Undo;

/// Container of packages on their way.
const CONTAINER: &str = "welkin-packages";
/// The management service fetches the package, and the FC builds the instances' images from it, within this time.
const OPERATION_LIMIT: Duration = Duration::from_secs(900);
/// Making a storage account is quick.
const ACCOUNT_LIMIT: Duration = Duration::from_secs(60);

/// Arguments of `welkin deploy`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  welkin deploy guestbook --package guestbook.cspkg --configuration guestbook.cscfg
  welkin deploy guestbook --folder samples/guestbook     packages the folder first

A setting whose value is UseDevelopmentStorage=true gets the connection string of --account.")]
pub struct DeployArgs {
    /// The hosted service; made when it does not exist
    pub service: ServiceName,
    /// The service package (.cspkg), as `welkin package` makes it
    #[arg(long, value_name = "FILE", required_unless_present = "folder", requires = "configuration")]
    pub package: Option<PathBuf>,
    /// The service configuration (.cscfg)
    #[arg(long, value_name = "FILE")]
    pub configuration: Option<PathBuf>,
    /// A folder with one service definition (.csdef) and one service configuration, to be packaged and deployed
    #[arg(long, value_name = "FOLDER", conflicts_with = "package")]
    pub folder: Option<PathBuf>,
    /// The slot: production or staging
    #[arg(long, default_value = "production", value_parser = ["production", "staging"])]
    pub slot: String,
    /// The deployment's name; made from the date when it is left out
    #[arg(long)]
    pub name: Option<DeploymentName>,
    /// The storage account for the package and for settings that mean the development storage; made when it does not exist
    #[arg(long)]
    pub account: Option<AccountName>,
    /// How long to wait until every instance is ready, in seconds
    #[arg(long, default_value_t = 900)]
    pub timeout: u64,
    #[command(flatten)]
    pub warnings: Warnings,
}

/// Why a deployment did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A step.
    #[error("{step}: {source}")]
    Step {
        /// Which.
        step: &'static str,
        /// Why.
        source: ClientError,
    },
    /// A file.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration is not text.
    #[error("{path} is neither UTF-8 nor UTF-16; save it as UTF-8")]
    Encoding {
        /// Which.
        path: PathBuf,
    },
    /// The package cannot be made.
    #[error("packaging: {source}")]
    Package {
        /// Why.
        source: package::MakeError,
    },
    /// The profile does not say how roles reach storage.
    #[error(
        "the configuration asks for the development storage, and this profile does not know how roles reach the cloud's: \
         write a connection string instead (`welkin storage-account show` and `keys`)"
    )]
    NoGuestEndpoints,
    /// No storage account is named.
    #[error("name the storage account for the package with --account")]
    NoAccount,
    /// Neither a package nor a folder.
    #[error("give --package and --configuration, or --folder")]
    NoPackage,
    /// The folder does not have one definition and one configuration.
    #[error("{folder} must have exactly one {extension} file: it has {count}")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// `.csdef` or `.cscfg`.
        extension: &'static str,
        /// How many there are.
        count: usize,
    },
    /// The deployment exists, and some instance is not ready.
    #[error(
        "not every instance of {service} was ready within {seconds} s; the last state was: {states}. \
         `welkin logs {service}` tells why, and `welkin delete {service}` removes it"
    )]
    NotReady {
        /// The service.
        service: ServiceName,
        /// How long we waited.
        seconds: u64,
        /// Instances and their states.
        states: String,
    },
}

/// Says which step a client's error belongs to.
trait At<T> {
    fn at(self, step: &'static str) -> Result<T, DeployError>;
}

impl<T> At<T> for Result<T, ClientError> {
    fn at(self, step: &'static str) -> Result<T, DeployError> {
        self.map_err(|source| DeployError::Step { step, source })
    }
}

/// Deploys, waits until every instance is ready, and prints where the service answers.
///
/// # Errors
/// When a step fails; then nothing stays of what this call made, except a deployment whose instances do not get ready.
pub fn run(args: &DeployArgs, settings: &Settings) -> Result<(), DeployError> {
    let client = Client::new(settings).at("reading the admin folder")?;
    let show = Show::new();
    let mut undo = Undo::default();
    match deploy(args, &client, &show, &mut undo) {
        Ok(()) => {}
        Err(error) => {
            show.clear();
            undo.all(&client);
            return Err(error);
        }
    }
    let status = follow::until_ready(args, &client, &show)?;
    show.done(&format!("{} is ready", args.service));
    for url in &status.urls {
        println!("{url}");
    }
    Ok(())
}

fn deploy(args: &DeployArgs, client: &Client, show: &Show, undo: &mut Undo) -> Result<(), DeployError> {
    let scratch =
        tempfile::tempdir().map_err(|source| file_error(Path::new("a temporary folder"), source))?;
    let (package, configuration) = sources(args, client, show, scratch.path())?;
    let bytes = std::fs::read(&configuration).map_err(|e| file_error(&configuration, e))?;
    let configuration = welkin_service_model::text::decode(&bytes)
        .ok_or_else(|| DeployError::Encoding { path: configuration.clone() })?;
    // A file that is missing is told before anything is made.
    std::fs::File::open(&package).map_err(|source| file_error(&package, source))?;
    check_slot_is_free(args, client)?;

    let account = &chosen_account(client, args.account.as_ref())?;
    let key = account_key(client, account, show, undo)?;
    if connection::wants_storage(&configuration) {
        show.line(&format!("settings that mean the development storage get the storage account {account}"));
    }
    let configuration = match &client.settings().guest_endpoints {
        Some(guests) => connection::fill_in(&configuration, guests, account, &key),
        None if connection::wants_storage(&configuration) => return Err(DeployError::NoGuestEndpoints),
        None => configuration,
    };
    let url = put_package(client, &args.service, &package, (account, &key), show, undo)?;
    create_service(client, &args.service, show, undo)?;

    show.step(&format!("creating the deployment of {} ({})", args.service, args.slot));
    let created = client.post(
        &format!("services/hostedservices/{}/deploymentslots/{}", args.service, args.slot),
        create_deployment(args, &url, &configuration),
    );
    let operation = created.at("creating the deployment")?;
    let ended = client.wait(&operation, "creating the deployment", OPERATION_LIMIT);
    for warning in ended.at("creating the deployment")? {
        show.line(&format!("warning: {warning}"));
    }
    // The FC has the package by now.
    undo.remove_blob();
    undo.keep();
    Ok(())
}

fn chosen_account(client: &Client, given: Option<&AccountName>) -> Result<AccountName, DeployError> {
    given.or(client.settings().default_account.as_ref()).cloned().ok_or(DeployError::NoAccount)
}

/// Puts a package where the cloud fetches it from. What is given back takes it away again.
///
/// # Errors
/// When the account cannot be made, or storage refuses; then nothing is left.
pub fn upload_package(
    client: &Client,
    service: &ServiceName,
    package: &Path,
    account: Option<&AccountName>,
    show: &Show,
) -> Result<(String, Undo), DeployError> {
    // A file that is missing is told before anything is made.
    std::fs::File::open(package).map_err(|source| file_error(package, source))?;
    let account = chosen_account(client, account)?;
    let mut undo = Undo::default();
    let url = account_key(client, &account, show, &mut undo)
        .and_then(|key| put_package(client, service, package, (&account, &key), show, &mut undo));
    match url {
        Ok(url) => {
            // An account outlives what it was made for.
            undo.keep_account();
            Ok((url, undo))
        }
        Err(error) => {
            undo.all(client);
            Err(error)
        }
    }
}

fn put_package(
    client: &Client,
    service: &ServiceName,
    package: &Path,
    (account, key): (&AccountName, &str),
    show: &Show,
    undo: &mut Undo,
) -> Result<String, DeployError> {
    let blob = format!("{service}-{}.cspkg", stamp());
    let endpoint = client.blob_endpoint(account).at("asking for the blob endpoint")?;
    let target = upload::Target { endpoint: &endpoint, account, key, container: CONTAINER, blob: &blob };
    let url = upload::upload(&target, package, show)?;
    undo.blob(&target);
    Ok(url)
}

/// A deployment's name where none is given.
pub fn dated_name() -> String {
    format!("v{}", stamp())
}

fn file_error(path: &Path, source: std::io::Error) -> DeployError {
    DeployError::File { path: path.to_owned(), source }
}

/// The moment, for names: digits only.
fn stamp() -> String {
    let now = Timestamp::from(std::time::SystemTime::now());
    now.to_iso_seconds().chars().filter(char::is_ascii_digit).collect()
}

/// The package and the configuration, made from a folder if need be.
fn sources(
    args: &DeployArgs,
    client: &Client,
    show: &Show,
    scratch: &Path,
) -> Result<(PathBuf, PathBuf), DeployError> {
    let Some(folder) = &args.folder else {
        let given = args.package.clone().zip(args.configuration.clone());
        return given.ok_or(DeployError::NoPackage);
    };
    let definition = only(folder, "csdef")?;
    let configuration = match &args.configuration {
        Some(path) => path.clone(),
        None => only(folder, "cscfg")?,
    };
    show.step(&format!("packaging {}", definition.display()));
    let key: FabricKey = client.get_json("welkin/fabric-key").at("asking for the fabric controller's key")?;
    let package = scratch.join("package.cspkg");
    // Its warnings come with those of the configuration, from the cloud.
    package::make(&definition, &key.recipient, &package).map_err(|source| DeployError::Package { source })?;
    Ok((package, configuration))
}

/// The only file of a folder with this extension.
fn only(folder: &Path, extension: &'static str) -> Result<PathBuf, DeployError> {
    let entries = std::fs::read_dir(folder).map_err(|source| file_error(folder, source))?;
    let fits = |path: &PathBuf| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(fits).collect();
    match (paths.len(), paths.pop()) {
        (1, Some(path)) => Ok(path),
        (count, _) => Err(DeployError::Folder { folder: folder.to_owned(), extension, count }),
    }
}

fn check_slot_is_free(args: &DeployArgs, client: &Client) -> Result<(), DeployError> {
    let step = "looking at the slot";
    match client.get(&format!("services/hostedservices/{}/deploymentslots/{}", args.service, args.slot)) {
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error).at(step),
        Ok(_) => Err(ClientError::Refused {
            what: "the cloud",
            status: 409,
            code: "ConflictError".to_owned(),
            message: format!(
                "the {} slot of {} has a deployment: `welkin delete {} --slot {}` removes it",
                args.slot, args.service, args.service, args.slot
            ),
        })
        .at(step),
    }
}

/// The primary key of the account, which is made when it does not exist.
fn account_key(
    client: &Client,
    account: &AccountName,
    show: &Show,
    undo: &mut Undo,
) -> Result<String, DeployError> {
    let step = "making the storage account";
    let keys = format!("services/storageservices/{account}/keys");
    let primary = |text: &str| answer::text(text, &["StorageServiceKeys", "Primary"]).unwrap_or_default();
    match client.get(&keys) {
        Ok(found) => return Ok(primary(&found.text)),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error).at("asking for the storage account's key"),
    }
    show.step(&format!("making the storage account {account}"));
    let body = Element::new("CreateStorageServiceInput")
        .with("ServiceName", account)
        .with("Label", xml::encode_text(account.as_str()))
        .with("Location", client.location().at(step)?);
    let operation = client.post("services/storageservices", body).at(step)?;
    client.wait(&operation, step, ACCOUNT_LIMIT).at(step)?;
    undo.account(account);
    Ok(primary(&client.get(&keys).at("asking for the storage account's key")?.text))
}

fn create_service(
    client: &Client,
    service: &ServiceName,
    show: &Show,
    undo: &mut Undo,
) -> Result<(), DeployError> {
    match client.get(&format!("services/hostedservices/{service}")) {
        Ok(_) => return Ok(()),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error).at("looking for the hosted service"),
    }
    show.step(&format!("making the hosted service {service}"));
    let body = Element::new("CreateHostedService")
        .with("ServiceName", service)
        .with("Label", xml::encode_text(service.as_str()))
        .with("Location", client.location().at("making the hosted service")?);
    client.post("services/hostedservices", body).at("making the hosted service")?;
    undo.service(service);
    Ok(())
}

fn create_deployment(args: &DeployArgs, url: &str, configuration: &str) -> Element {
    let name = args.name.as_ref().map_or_else(dated_name, ToString::to_string);
    Element::new("CreateDeployment")
        .with("Name", &name)
        .with("PackageUrl", url)
        .with("Label", xml::encode_text(&name))
        .with("Configuration", xml::encode_text(configuration))
        .with("StartDeployment", true)
        .with("TreatWarningsAsError", args.warnings.warnings_as_errors)
}

/// The deployment in a slot of a service.
fn find<'a>(status: &'a CloudStatus, service: &ServiceName, slot: &str) -> Option<&'a DeploymentStatus> {
    let named = |name: &str| name.eq_ignore_ascii_case(service.as_str());
    let service = status.services.iter().find(|found| named(found.name.as_str()))?;
    service.deployments.iter().find(|found| format!("{:?}", found.slot).eq_ignore_ascii_case(slot))
}
