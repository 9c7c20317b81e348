//! The state folder: made on the first `up`, taken up again by each later one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use welkin_base::SubscriptionId;
use welkin_pki::{Authority, Identity, Thumbprint};

use crate::cloud::{Choices, Cloud};
use crate::error::CliError;
use crate::etcd;
use crate::part::Part;

/// Files of a guest OS version, as `cargo xtask images` makes them.
const IMAGE_FILES: [&str; 4] = ["kernel", "initramfs", "root", "version.toml"];
/// Read and write for the owner only.
pub const MODE_SECRET: u32 = 0o600;
/// Open to its owner only.
pub const MODE_PRIVATE_FOLDER: u32 = 0o700;
/// Open to everyone for reading.
const MODE_OPEN_FOLDER: u32 = 0o755;

/// Opens a cloud that exists.
pub fn open(state: &Path) -> Result<Cloud, CliError> {
    let state = absolute(state)?;
    let file = state.join("cloud.toml");
    if !file.exists() {
        return Err(CliError::NoCloud { state });
    }
    Ok(Cloud { choices: read_toml(&file)?, state })
}

/// Makes the state folder of a cloud, or takes it up. What was chosen before stays, unless `choose` says otherwise.
pub fn make(state: &Path, choose: impl FnOnce(&mut Choices)) -> Result<Cloud, CliError> {
    let state = absolute(state)?;
    let file = state.join("cloud.toml");
    let mut choices =
        if file.exists() { read_toml(&file)? } else { Choices::default_for(new_subscription()?) };
    choose(&mut choices);
    make_folder(&state, MODE_OPEN_FOLDER, 0)?;
    check_open(&state)?;
    let cloud = Cloud { state, choices };
    for folder in ["bin", "images", "run"] {
        make_folder(&cloud.path(folder), MODE_OPEN_FOLDER, 0)?;
    }
    for folder in ["log", "pki", "admin", "operator"] {
        make_folder(&cloud.path(folder), MODE_PRIVATE_FOLDER, 0)?;
    }
    for part in cloud.parts() {
        let uid = cloud.uid(part);
        make_folder(&cloud.folder(part), MODE_PRIVATE_FOLDER, uid)?;
        make_folder(&cloud.folder(part).join("identity"), MODE_PRIVATE_FOLDER, uid)?;
        make_folder(&cloud.folder(part).join("data"), MODE_PRIVATE_FOLDER, uid)?;
    }
    write_toml(&file, &cloud.choices, 0)?;
    Ok(cloud)
}

fn new_subscription() -> Result<SubscriptionId, CliError> {
    let id = uuid::Uuid::new_v4().to_string();
    SubscriptionId::new(&id).map_err(|error| CliError::Service(error.to_string()))
}

/// The thumbprints by which the parts know each other.
#[derive(Debug)]
pub struct Identities {
    /// The cluster's authority, PEM: for clients that check a chain.
    pub authority_pem: String,
    /// Of storage's administration.
    pub storage: Thumbprint,
    /// Of the fabric agents: each node's, and the edge's where there is one.
    pub agents: BTreeMap<Part, Thumbprint>,
    /// Of the fabric controllers.
    pub fabric: Vec<Thumbprint>,
    /// Of the members of etcd.
    pub etcd: Vec<Thumbprint>,
    /// Of management, as a server and as a client.
    pub management: Thumbprint,
    /// The operator, as a client of the fabric controller.
    pub operator: Thumbprint,
    /// The operator's certificate for the management API.
    pub admin: Identity,
}

/// Makes the identities that are missing.
pub fn identities(cloud: &Cloud) -> Result<Identities, CliError> {
    let pki = cloud.path("pki");
    let authority = match Identity::load(&pki) {
        Ok(identity) => Authority::from_identity(identity),
        Err(_) if !pki.join("cert.pem").exists() => {
            let authority = Authority::generate(&format!("Welkin cluster {}", cloud.name()))?;
            authority.identity().save(&pki)?;
            authority
        }
        Err(error) => return Err(error.into()),
    };
    let of = |part: Part| identity(cloud, &authority, part).map(|identity| identity.thumbprint());
    let agents = cloud.parts().into_iter().filter(|part| part.is_agent());
    Ok(Identities {
        authority_pem: authority.identity().certificate_pem().to_owned(),
        storage: of(Part::Storage)?,
        agents: agents.map(|part| Ok((part, of(part)?))).collect::<Result<_, CliError>>()?,
        fabric: cloud.controllers().map(|number| of(Part::Fabric(number))).collect::<Result<_, _>>()?,
        etcd: etcd::identities(cloud)?,
        management: of(Part::Management)?,
        operator: operator(cloud, &authority)?.thumbprint(),
        admin: admin(cloud)?,
    })
}

fn identity(cloud: &Cloud, authority: &Authority, part: Part) -> Result<Identity, CliError> {
    let folder = cloud.folder(part).join("identity");
    if folder.join("cert.pem").exists() && folder.join("key.pem").exists() {
        return Ok(Identity::load(&folder)?);
    }
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    match part {
        Part::Node(number) => names.push(cloud.agent(number).ip().to_string()),
        Part::Edge => names.push(cloud.edge().ip().to_string()),
        Part::Fabric(number) => names.push(cloud.fabric(number).ip().to_string()),
        Part::Storage | Part::Etcd(_) | Part::Management => {}
    }
    names.dedup();
    let identity = authority.issue(&format!("welkin {part}"), &names)?;
    identity.save(&folder)?;
    for file in ["cert.pem", "key.pem"] {
        give(&folder.join(file), MODE_SECRET, cloud.uid(part))?;
    }
    Ok(identity)
}

/// Apart from the management certificate, which may be handed to programs and people that use the cloud.
fn operator(cloud: &Cloud, authority: &Authority) -> Result<Identity, CliError> {
    let folder = cloud.path("operator");
    if folder.join("cert.pem").exists() && folder.join("key.pem").exists() {
        return Ok(Identity::load(&folder)?);
    }
    let identity = authority.issue("Welkin operator", &[])?;
    identity.save(&folder)?;
    Ok(identity)
}

fn admin(cloud: &Cloud) -> Result<Identity, CliError> {
    let folder = cloud.path("admin");
    if folder.join("cert.pem").exists() {
        return Ok(Identity::load(&folder)?);
    }
    let identity = Identity::self_signed("Welkin operator")?;
    identity.save(&folder)?;
    Ok(identity)
}

/// Copies this program to where users other than root can run it.
pub fn install_binary(cloud: &Cloud) -> Result<PathBuf, CliError> {
    let own = std::env::current_exe().map_err(|source| file("find", Path::new("welkin"), source))?;
    let installed = cloud.path("bin/welkin");
    if own != installed {
        replace(&own, &installed)?;
    }
    fs::set_permissions(&installed, fs::Permissions::from_mode(0o755))
        .map_err(|source| file("open", &installed, source))?;
    Ok(installed)
}

/// Copies the guest OS from `source`, when given; fails when the cloud has none then.
pub fn install_image(cloud: &Cloud, source: Option<&Path>) -> Result<PathBuf, CliError> {
    let folder = cloud.path("images");
    if let Some(source) = source {
        let missing = IMAGE_FILES.iter().any(|name| !source.join(name).is_file());
        if missing {
            return Err(CliError::NoImage { folder: source.to_owned() });
        }
        for name in IMAGE_FILES {
            let (from, to) = (source.join(name), folder.join(name));
            if !same_content(&from, &to)? {
                replace(&from, &to)?;
            }
            fs::set_permissions(&to, fs::Permissions::from_mode(0o644)).map_err(|e| file("open", &to, e))?;
        }
    }
    if IMAGE_FILES.iter().all(|name| folder.join(name).is_file()) {
        Ok(folder)
    } else {
        Err(CliError::NoImage { folder })
    }
}

fn same_content(a: &Path, b: &Path) -> Result<bool, CliError> {
    if !b.exists() || fs::metadata(a).map(|m| m.len()).ok() != fs::metadata(b).map(|m| m.len()).ok() {
        return Ok(false);
    }
    let read = |path: &Path| fs::read(path).map_err(|source| file("read", path, source));
    Ok(read(a)? == read(b)?)
}

/// Puts a copy of `from` in the place of `to`, which may be in use.
fn replace(from: &Path, to: &Path) -> Result<(), CliError> {
    let new = to.with_extension("new");
    fs::copy(from, &new).map_err(|source| file("copy to", &new, source))?;
    fs::rename(&new, to).map_err(|source| file("replace", to, source))
}

/// Reads a TOML file.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, CliError> {
    let text = fs::read_to_string(path).map_err(|source| file("read", path, source))?;
    toml::from_str(&text)
        .map_err(|error| CliError::Config { path: path.to_owned(), why: error.to_string().trim().to_owned() })
}

/// Writes a TOML file that only `uid` can read.
pub fn write_toml<T: Serialize>(path: &Path, value: &T, uid: u32) -> Result<(), CliError> {
    let text = toml::to_string_pretty(value)
        .map_err(|error| CliError::Config { path: path.to_owned(), why: error.to_string() })?;
    write_secret(path, &text, uid)
}

/// Writes a file that only `uid` can read, in the place of one that may exist.
pub fn write_secret(path: &Path, text: &str, uid: u32) -> Result<(), CliError> {
    let new = path.with_extension("new");
    fs::write(&new, "")
        .and_then(|()| fs::set_permissions(&new, fs::Permissions::from_mode(MODE_SECRET)))
        .and_then(|()| fs::write(&new, text))
        .map_err(|source| file("write", &new, source))?;
    give(&new, MODE_SECRET, uid)?;
    fs::rename(&new, path).map_err(|source| file("replace", path, source))
}

/// Makes a folder for a user.
pub fn make_folder(path: &Path, mode: u32, uid: u32) -> Result<(), CliError> {
    fs::create_dir_all(path).map_err(|source| file("make", path, source))?;
    give(path, mode, uid)
}

/// Gives a file or folder to a user.
pub fn give(path: &Path, mode: u32, uid: u32) -> Result<(), CliError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .and_then(|()| chown(path, Some(uid), Some(uid)))
        .map_err(|source| file("give away", path, source))
}

/// Every folder above must let other users through.
fn check_open(state: &Path) -> Result<(), CliError> {
    for folder in state.ancestors() {
        let mode = fs::metadata(folder).map_err(|source| file("look at", folder, source))?.mode();
        if mode & 0o001 == 0 {
            return Err(CliError::Closed { folder: folder.to_owned() });
        }
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|source| file("find", path, source))
}

fn file(doing: &'static str, path: &Path, source: std::io::Error) -> CliError {
    CliError::File { doing, path: path.to_owned(), source }
}
