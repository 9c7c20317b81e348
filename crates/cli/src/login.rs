//! `welkin login`: a key pair, a certificate of one's own, and a profile that says where the cloud is.
//!
//! The key never leaves this machine. A cloud knows its customers by their certificates, so that somebody who may
//! must register the new one; this says who, and how.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use welkin_base::SubscriptionId;
use welkin_pki::Identity;

use crate::client::{Client, ClientError, Settings};
use crate::manage::ManageError;
use crate::profile;

/// Open to its owner only.
const MODE_PRIVATE_FOLDER: u32 = 0o700;
/// Read and write for the owner only.
const MODE_SECRET: u32 = 0o600;

/// Arguments of `welkin login`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  welkin login --subscription 6ba7b810-9dad-11d1-80b4-00c04fd430c8 \\
      --management https://cloud.example:8443 --authority ca.pem
  welkin --profile work login --subscription 6ba7b810-9dad-11d1-80b4-00c04fd430c8
  welkin login                                shows the certificate of a profile that exists

On the machine of a cloud, whoever may read its state folder needs neither --management nor --authority.
Profiles are folders below ~/.config/welkin, or below $WELKIN_PROFILES.")]
pub struct LoginArgs {
    /// The subscription, as the cloud's operator has told it
    #[arg(long, value_name = "ID")]
    subscription: Option<SubscriptionId>,
    /// The address of the management API, such as https://cloud.example:8443
    #[arg(long, value_name = "URL")]
    management: Option<String>,
    /// The certificate of the authority that signed the management API's, in PEM
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
    /// Make a new key pair and certificate although the profile exists; the old key is lost
    #[arg(long)]
    replace: bool,
}

/// Makes the profile, or shows the one that there is.
///
/// # Errors
/// When something is missing, or the folder cannot be written.
pub fn run(args: &LoginArgs, state: &Path, profile: Option<&str>) -> Result<(), ManageError> {
    let name = profile.unwrap_or(profile::DEFAULT);
    let folder = profile::folder()?.join(name);
    if folder.join("cloud.toml").exists() && !args.replace {
        if args.subscription.is_some() || args.management.is_some() || args.authority.is_some() {
            return Err(ManageError::Wrong(format!(
                "the profile {name} exists: name another with --profile, or make it anew with --replace"
            )));
        }
        return show(name, &Settings::load(&folder)?);
    }
    let settings = settings(args, state)?;
    let authority = match &args.authority {
        Some(path) => path.clone(),
        None => settings.folder.join("ca.pem"),
    };
    let authority = fs::read(&authority).map_err(|source| ManageError::File { path: authority, source })?;
    let identity = Identity::self_signed("Welkin customer").map_err(ClientError::from)?;
    write(&folder, &settings, &authority, &identity)?;
    show(name, &Settings::load(&folder)?)
}

/// What the profile says: of the arguments, and for the rest of the cloud on this machine.
fn settings(args: &LoginArgs, state: &Path) -> Result<Settings, ManageError> {
    let wrong = |what: &str| ManageError::Wrong(format!("{what}; `welkin login --help` has examples"));
    let subscription = args.subscription.clone().ok_or_else(|| wrong("give --subscription"))?;
    let local = Settings::load(&state.join("admin")).ok();
    if let Some(management) = &args.management {
        if !management.starts_with("https://") {
            return Err(wrong("--management must begin with https://"));
        }
        if args.authority.is_none() {
            return Err(wrong("give --authority, the certificate that the management API is known by"));
        }
        let found = local.filter(|local| local.management == *management);
        return Ok(found.map_or_else(
            || Settings::remote(management.clone(), subscription.clone()),
            |local| Settings { subscription: subscription.clone(), ..local },
        ));
    }
    let local = local.ok_or_else(|| {
        wrong("give --management and --authority: there is no cloud on this machine whose state folder you may read")
    })?;
    Ok(Settings { subscription, ..local })
}

/// A profile is whole or not there: it is made beside, and gets its name at the end.
fn write(
    folder: &Path,
    settings: &Settings,
    authority: &[u8],
    identity: &Identity,
) -> Result<(), ManageError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ManageError::File { path, source }
    };
    let parent = folder.parent().unwrap_or(Path::new("."));
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(MODE_PRIVATE_FOLDER);
    builder.create(parent).map_err(failed(parent))?;
    let new = tempfile::Builder::new().prefix(".new-").tempdir_in(parent).map_err(failed(parent))?;
    identity.save(new.path()).map_err(ClientError::from)?;
    let text = toml::to_string_pretty(settings).map_err(|error| ManageError::Wrong(error.to_string()))?;
    for (name, bytes) in [("cloud.toml", text.as_bytes()), ("ca.pem", authority)] {
        let path = new.path().join(name);
        fs::write(&path, bytes).map_err(failed(&path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(MODE_SECRET)).map_err(failed(&path))?;
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed(folder))?;
    }
    fs::rename(new.keep(), folder).map_err(failed(folder))
}

/// Prints the profile, and what is to be done until the cloud knows it.
fn show(name: &str, settings: &Settings) -> Result<(), ManageError> {
    let identity = Identity::load(&settings.folder).map_err(ClientError::from)?;
    let certificate = settings.folder.join("cert.pem");
    let certificate = certificate.display();
    println!("profile      {name} in {}", settings.folder.display());
    println!("cloud        {}", settings.management);
    println!("subscription {}", settings.subscription);
    println!("certificate  {certificate}, SHA-1 thumbprint {}", identity.sha1_thumbprint());
    match Client::new(settings)?.get("") {
        Ok(_) => println!("\nThe cloud knows this certificate. Try: welkin --profile {name} service list"),
        Err(error) => {
            if !matches!(error, ClientError::Refused { status: 403, .. }) {
                println!("\nThe cloud could not be asked: {error}");
            }
            println!(
                "\nThe certificate must be registered before the cloud knows you. Its operator does so with\n  \
                 welkin subscription add-certificate {} {certificate}\nor somebody who manages the subscription with\n  \
                 welkin certificate add {certificate}\nThe key, beside it, stays with you.",
                settings.subscription
            );
        }
    }
    Ok(())
}
