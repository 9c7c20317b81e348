//! What changes a deployment.

use std::path::Path;

use welkin_base::ServiceName;
use welkin_management_wire::{Element, answer, xml};

use super::super::wait::Wait;
use super::super::{ManageError, read_configuration};
use super::{Asked, Configure, Create, Source, Update, Upgrade, Which};
use crate::client::{Client, ClientError};
use crate::deploy::{self, Show, Undo};

/// A mode as the API writes it.
fn mode(mode: &str) -> &'static str {
    match mode {
        "manual" => "Manual",
        "simultaneous" => "Simultaneous",
        _ => "Auto",
    }
}

/// A package where the cloud can fetch it.
struct Fetched {
    url: String,
    undo: Undo,
}

impl Source {
    fn put(&self, client: &Client, service: &ServiceName) -> Result<Fetched, ManageError> {
        let (url, undo) = match (&self.package, &self.package_url) {
            (Some(package), _) => put(client, service, package, self)?,
            (None, Some(url)) => (url.clone(), Undo::default()),
            (None, None) => return Err(ManageError::Wrong("give --package or --package-url".to_owned())),
        };
        Ok(Fetched { url, undo })
    }
}

fn put(
    client: &Client,
    service: &ServiceName,
    package: &Path,
    source: &Source,
) -> Result<(String, Undo), ManageError> {
    let show = Show::new();
    let uploaded = deploy::upload_package(client, service, package, source.account.as_ref(), &show);
    show.clear();
    Ok(uploaded?)
}

impl Fetched {
    /// Asks for what needs the package, and follows it to its end; then the uploaded package is removed.
    fn ask(
        mut self,
        client: &Client,
        wait: Wait,
        (path, body): (&str, Element),
        (doing, done): (&str, &str),
    ) -> Result<(), ManageError> {
        let asked = client.post(path, body);
        let ended = asked.and_then(|answer| wait.finish(client, &answer, doing, done));
        // Somebody else waits for the end, and the cloud may not have fetched it yet.
        if !wait.no_wait || ended.is_err() {
            self.undo.remove_blob();
        }
        Ok(ended?)
    }
}

pub(super) fn create(client: &Client, create: &Create) -> Result<(), ManageError> {
    let configuration = read_configuration(&create.source.configuration)?;
    let package = create.source.put(client, &create.service)?;
    let name = create.name.as_ref().map_or_else(deploy::dated_name, ToString::to_string);
    let label = create.source.label.as_ref().unwrap_or(&name);
    let body = Element::new("CreateDeployment")
        .with("Name", &name)
        .with("PackageUrl", &package.url)
        .with("Label", xml::encode_text(label))
        .with("Configuration", xml::encode_text(&configuration))
        .with("StartDeployment", !create.stopped)
        .with("TreatWarningsAsError", create.source.warnings.warnings_as_errors);
    let path = format!("services/hostedservices/{}/deploymentslots/{}", create.service, create.slot);
    let done =
        format!("made the deployment {name} of {}; `welkin status` shows its instances", create.service);
    package.ask(client, create.wait, (&path, body), ("making the deployment", &done))
}

pub(super) fn upgrade(client: &Client, upgrade: &Upgrade) -> Result<(), ManageError> {
    let Upgrade { which, source, update, role, wait } = upgrade;
    let configuration = read_configuration(&source.configuration)?;
    let package = source.put(client, &which.service)?;
    let label = source.label.clone().unwrap_or_else(deploy::dated_name);
    let body = Element::new("UpgradeDeployment")
        .with("Mode", mode(&update.mode))
        .with("PackageUrl", &package.url)
        .with("Configuration", xml::encode_text(&configuration))
        .with("Label", xml::encode_text(&label))
        .maybe("RoleToUpgrade", role.as_ref())
        .with("TreatWarningsAsError", source.warnings.warnings_as_errors)
        .with("Force", update.force);
    let path = format!("{}?comp=upgrade", which.path());
    let done = format!("{which} is upgraded");
    package.ask(client, *wait, (&path, body), ("upgrading the deployment", &done))
}

pub(super) fn configure(client: &Client, configure: &Configure) -> Result<(), ManageError> {
    let Configure { which, configuration, mode: asked, warnings, wait } = configure;
    let configuration = read_configuration(configuration)?;
    let body = Element::new("ChangeConfiguration")
        .with("Configuration", xml::encode_text(&configuration))
        .with("TreatWarningsAsError", warnings.warnings_as_errors)
        .with("Mode", mode(asked));
    let answer = client.post(&format!("{}?comp=config", which.path()), body)?;
    let done = format!("{which} has its new configuration");
    Ok(wait.finish(client, &answer, "changing the configuration", &done)?)
}

pub(super) fn walk(client: &Client, which: &Which, domain: u32, wait: Wait) -> Result<(), ManageError> {
    let body = Element::new("WalkUpgradeDomain").with("UpgradeDomain", domain);
    let answer = client.post(&format!("{}?comp=walkupgradedomain", which.path()), body)?;
    let done = format!("update domain {domain} of {which} is updated");
    Ok(wait.finish(client, &answer, "updating the update domain", &done)?)
}

pub(super) fn rollback(
    client: &Client,
    which: &Which,
    update: &Update,
    wait: Wait,
) -> Result<(), ManageError> {
    let body = Element::new("RollbackUpdateOrUpgrade")
        .with("Mode", mode(&update.mode).to_ascii_lowercase())
        .with("Force", update.force);
    let answer = client.post(&format!("{}?comp=rollback", which.path()), body)?;
    Ok(wait.finish(client, &answer, "rolling back", &format!("{which} is as it was before the update"))?)
}

/// The API wants the names of both deployments, so that nothing is swapped that changed meanwhile.
pub(super) fn swap(client: &Client, service: &ServiceName, wait: Wait) -> Result<(), ManageError> {
    let at = format!("services/hostedservices/{service}");
    let name = |slot: &str| -> Result<Option<String>, ClientError> {
        match client.get(&format!("{at}/deploymentslots/{slot}")) {
            Ok(found) => Ok(answer::text(&found.text, &["Name"])),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    };
    let (production, staging) = (name("production")?, name("staging")?);
    let staging = staging.ok_or_else(|| {
        let message = format!(
            "the staging slot of {service} has no deployment: \
             `welkin deployment create {service} --slot staging …` makes one"
        );
        ManageError::Wrong(message)
    })?;
    let body = Element::new("Swap").maybe("Production", production).with("SourceDeployment", &staging);
    let answer = client.post(&at, body)?;
    let done = format!("{staging} is in production");
    Ok(wait.finish(client, &answer, "swapping the deployments", &done)?)
}

pub(super) fn status(client: &Client, asked: &Asked, status: &str) -> Result<(), ManageError> {
    let body = Element::new("UpdateDeploymentStatus").with("Status", status);
    let answer = client.post(&format!("{}?comp=status", asked.which.path()), body)?;
    let (doing, done) = if status == "Running" {
        ("starting the deployment", format!("{} starts; `welkin status` shows its instances", asked.which))
    } else {
        ("stopping the deployment", format!("{} is stopped", asked.which))
    };
    Ok(asked.wait.finish(client, &answer, doing, &done)?)
}

pub(super) fn delete(client: &Client, asked: &Asked) -> Result<(), ManageError> {
    let answer = client.delete(&asked.which.path())?;
    Ok(asked.wait.finish(client, &answer, "deleting the deployment", &format!("deleted {}", asked.which))?)
}
