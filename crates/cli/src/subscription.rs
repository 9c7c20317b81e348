//! `welkin subscription`: who may manage what in a cloud, and how much of it. By the control socket of the management
//! service, so only on its machine and only for who may write in its data folder.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use welkin_base::SubscriptionId;
use welkin_management::Quotas;
use welkin_management::control::client::{Client, ControlError};
use welkin_management::control::{Change, Create, Subscription};
use welkin_pki::Sha1Thumbprint;

use crate::error::{CliError, chain};
use crate::part::Part;
use crate::state;

/// Arguments of `welkin subscription`.
#[derive(Debug, Args)]
pub struct SubscriptionArgs {
    #[command(subcommand)]
    command: Command,
    /// For programs: one JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    welkin subscription create shop --certificate shop.crt --cores 8\n  \
    welkin subscription list\n  \
    welkin subscription disable 6ba7b810-9dad-11d1-80b4-00c04fd430c8")]
enum Command {
    /// Make a subscription, with the management certificates of those who manage it
    Create(CreateArgs),
    /// List all subscriptions
    List,
    /// Show one subscription
    Show(Which),
    /// Change a subscription's name or quotas
    Update(UpdateArgs),
    /// Let nobody manage a subscription; what it has stays and runs
    Disable(Which),
    /// Let a disabled subscription be managed again
    Enable(Which),
    /// Delete a subscription that has no services and accounts any more
    Delete(Which),
    /// Register one more management certificate
    AddCertificate(AddCertificateArgs),
    /// Remove a management certificate: who has it is refused at once
    RemoveCertificate(RemoveCertificateArgs),
}

#[derive(Debug, Args)]
struct Which {
    /// The subscription's id, or its name if no other has it
    subscription: String,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Its name, for people
    name: String,
    /// Its id, a GUID [default: a new one]
    #[arg(long)]
    id: Option<SubscriptionId>,
    /// A management certificate in PEM or DER; may be given several times
    #[arg(long, value_name = "FILE")]
    certificate: Vec<PathBuf>,
    #[command(flatten)]
    quotas: QuotaArgs,
}

#[derive(Debug, Args)]
struct UpdateArgs {
    #[command(flatten)]
    which: Which,
    /// Its new name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    quotas: QuotaArgs,
}

#[derive(Debug, Args)]
struct QuotaArgs {
    /// Cores of all its instances together, at most [default: 20]
    #[arg(long)]
    cores: Option<u32>,
    /// Hosted services, at most [default: 20]
    #[arg(long)]
    hosted_services: Option<u32>,
    /// Storage accounts, at most [default: 20]
    #[arg(long)]
    storage_accounts: Option<u32>,
}

impl QuotaArgs {
    fn over(&self, old: Quotas) -> Quotas {
        Quotas {
            cores: self.cores.unwrap_or(old.cores),
            hosted_services: self.hosted_services.unwrap_or(old.hosted_services),
            storage_accounts: self.storage_accounts.unwrap_or(old.storage_accounts),
        }
    }
}

#[derive(Debug, Args)]
struct AddCertificateArgs {
    #[command(flatten)]
    which: Which,
    /// The certificate, in PEM or DER
    file: PathBuf,
}

#[derive(Debug, Args)]
struct RemoveCertificateArgs {
    #[command(flatten)]
    which: Which,
    /// Its SHA-1 thumbprint
    thumbprint: Sha1Thumbprint,
}

/// Carries the command out in the cloud whose state folder is given.
pub async fn run(folder: &Path, arguments: &SubscriptionArgs) -> Result<(), CliError> {
    let client = Client::new(&state::open(folder)?.folder(Part::Management).join("data"));
    let json = arguments.json;
    match &arguments.command {
        Command::Create(args) => {
            let certificates = args.certificate.iter().map(|file| read(file)).collect::<Result<_, _>>()?;
            let (id, name) = (args.id.clone(), args.name.clone());
            let asked = Create { id, name, quotas: args.quotas.over(Quotas::default()), certificates };
            show(&client.create(&asked).await.map_err(failed)?, json)
        }
        Command::List => list(&client.list().await.map_err(failed)?, json),
        Command::Show(which) => show(&find(&client, which).await?, json),
        Command::Update(args) => {
            let found = find(&client, &args.which).await?;
            let quotas = Some(args.quotas.over(found.quotas));
            let asked = Change { name: args.name.clone(), quotas, disabled: None };
            show(&client.change(&found.id, &asked).await.map_err(failed)?, json)
        }
        Command::Disable(which) => set_disabled(&client, which, true, json).await,
        Command::Enable(which) => set_disabled(&client, which, false, json).await,
        Command::Delete(which) => {
            let found = find(&client, which).await?;
            client.delete(&found.id).await.map_err(failed)?;
            println!("deleted {} ({})", found.id, found.name);
            Ok(())
        }
        Command::AddCertificate(args) => {
            let (found, pem) = (find(&client, &args.which).await?, read(&args.file)?);
            show(&client.add_certificate(&found.id, &pem).await.map_err(failed)?, json)
        }
        Command::RemoveCertificate(args) => {
            let found = find(&client, &args.which).await?;
            show(&client.remove_certificate(&found.id, args.thumbprint).await.map_err(failed)?, json)
        }
    }
}

async fn set_disabled(client: &Client, which: &Which, disabled: bool, json: bool) -> Result<(), CliError> {
    let found = find(client, which).await?;
    let asked = Change { disabled: Some(disabled), ..Change::default() };
    show(&client.change(&found.id, &asked).await.map_err(failed)?, json)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn failed(error: ControlError) -> CliError {
    match &error {
        ControlError::Connect { .. } => CliError::Service(format!(
            "{}; does the cloud run (`welkin up`), and are you root?",
            chain(&error)
        )),
        _ => CliError::Service(chain(&error)),
    }
}

async fn find(client: &Client, which: &Which) -> Result<Subscription, CliError> {
    if let Ok(id) = SubscriptionId::new(&which.subscription) {
        return client.get(&id).await.map_err(failed);
    }
    let all = client.list().await.map_err(failed)?;
    let mut named = all.into_iter().filter(|one| one.name == which.subscription);
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => {
            let message = format!("several subscriptions are named {}: give an id", which.subscription);
            Err(CliError::Service(message))
        }
        _ => {
            let message =
                format!("no subscription is named {}: see `welkin subscription list`", which.subscription);
            Err(CliError::Service(message))
        }
    }
}

/// A certificate's file as PEM.
fn read(file: &Path) -> Result<String, CliError> {
    let bytes = std::fs::read(file)
        .map_err(|error| CliError::Service(format!("cannot read {}: {error}", file.display())))?;
    welkin_pki::PeerCertificate::parse(&bytes)
        .map(|certificate| certificate.to_pem())
        .map_err(|error| CliError::Service(format!("{}: {error}", file.display())))
}

fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| CliError::Service(error.to_string()))?;
    println!("{text}");
    Ok(())
}

fn state_of(one: &Subscription) -> &'static str {
    if one.disabled { "disabled" } else { "active" }
}

fn list(all: &[Subscription], json: bool) -> Result<(), CliError> {
    if json {
        return print_json(&all);
    }
    println!("{:<38}{:<10}{:>9}{:>11}{:>11}  name", "subscription", "state", "cores", "services", "accounts");
    for one in all {
        let used = |used: u32, max: u32| format!("{used}/{max}");
        println!(
            "{:<38}{:<10}{:>9}{:>11}{:>11}  {}",
            one.id.as_str(),
            state_of(one),
            used(one.usage.cores, one.quotas.cores),
            used(one.usage.hosted_services, one.quotas.hosted_services),
            used(one.usage.storage_accounts, one.quotas.storage_accounts),
            one.name,
        );
    }
    Ok(())
}

fn show(one: &Subscription, json: bool) -> Result<(), CliError> {
    if json {
        return print_json(one);
    }
    let (quotas, usage) = (one.quotas, one.usage);
    println!("subscription      {}\nname              {}", one.id, one.name);
    println!("state             {}\ncreated           {}", state_of(one), one.created.to_iso_seconds());
    println!("cores             {} of {}", usage.cores, quotas.cores);
    println!("hosted services   {} of {}", usage.hosted_services, quotas.hosted_services);
    println!("storage accounts  {} of {}", usage.storage_accounts, quotas.storage_accounts);
    for thumbprint in &one.certificates {
        println!("certificate       {thumbprint}");
    }
    Ok(())
}
