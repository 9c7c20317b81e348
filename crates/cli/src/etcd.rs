//! The members of etcd beside several fabric controllers: programs of the system, which have an authority of their own,
//! since whoever it signed may read and write every row of the controllers.

use std::fs;
use std::path::Path;

use welkin_fabric_service::{EtcdConfig, EtcdMemberConfig, StoreConfig};
use welkin_pki::{Authority, Identity, Thumbprint};

use crate::cloud::Cloud;
use crate::error::CliError;
use crate::part::Part;
use crate::program;
use crate::state;

/// The program, and Debian's package that has it.
pub const PROGRAM: &str = "etcd";
const PACKAGE: &str = "etcd-server";
/// Rows of a cloud are some KiB each; etcd's documentation advises no more than 8 GiB.
const QUOTA_BYTES: u64 = 2 << 30;
/// What all keys of a cloud begin with. The members are its own.
const PREFIX: &str = "welkin";

/// Fails when so many controllers need etcd and the machine has none.
pub fn check_installed(controllers: u8) -> Result<(), CliError> {
    if controllers > 1 && !program::is_installed(PROGRAM) {
        return Err(CliError::MissingProgram { program: PROGRAM, package: PACKAGE });
    }
    Ok(())
}

/// Fails when the rows are where another number of controllers would not look for them.
pub fn check_unchanged(cloud: &Cloud, controllers: u8) -> Result<(), CliError> {
    let local = cloud.folder(Part::Fabric(0)).join("data/store");
    let shared = cloud.folder(Part::Etcd(0)).join("data/member");
    let (exists, was) = if controllers > 1 { (local, "one") } else { (shared, "several") };
    if exists.exists() {
        return Err(CliError::Service(format!(
            "this cloud began with {was} fabric controllers, and {} has what they know: bring it up with as many as it \
             had, or choose another state folder",
            exists.display()
        )));
    }
    // The members of an etcd are written into each of them.
    let members =
        (0..).take_while(|number| cloud.folder(Part::Etcd(*number)).join("data/member").exists()).count();
    if members > 0 && members != usize::from(controllers) {
        return Err(CliError::Service(format!(
            "this cloud has {members} fabric controllers, and etcd's members cannot be changed here: choose that number"
        )));
    }
    Ok(())
}

/// The authority of etcd, made when missing.
fn authority(cloud: &Cloud) -> Result<Authority, CliError> {
    let folder = cloud.path("pki/etcd");
    if folder.join("cert.pem").exists() {
        return Ok(Authority::from_identity(Identity::load(&folder)?));
    }
    state::make_folder(&folder, state::MODE_PRIVATE_FOLDER, 0)?;
    let authority = Authority::generate(&format!("Welkin etcd {}", cloud.name()))?;
    authority.identity().save(&folder)?;
    Ok(authority)
}

/// Makes the certificates of the members and those that the controllers show them; the members' thumbprints.
pub fn identities(cloud: &Cloud) -> Result<Vec<Thumbprint>, CliError> {
    if !cloud.is_replicated() {
        return Ok(Vec::new());
    }
    let authority = authority(cloud)?;
    let issue = |folder: &Path, part: Part, names: &[String]| -> Result<Identity, CliError> {
        if !folder.join("key.pem").exists() {
            state::make_folder(folder, state::MODE_PRIVATE_FOLDER, cloud.uid(part))?;
            authority.issue(&format!("welkin {part}"), names)?.save(folder)?;
            for file in ["cert.pem", "key.pem"] {
                state::give(&folder.join(file), state::MODE_SECRET, cloud.uid(part))?;
            }
        }
        Ok(Identity::load(folder)?)
    };
    let mut thumbprints = Vec::new();
    for number in cloud.controllers() {
        let member = Part::Etcd(number);
        let folder = cloud.folder(member).join("identity");
        let names = [cloud.etcd(number).ip().to_string()];
        thumbprints.push(issue(&folder, member, &names)?.thumbprint());
        let ca = authority.identity().certificate_pem();
        state::write_secret(&folder.join("ca.pem"), ca, cloud.uid(member))?;
        let controller = Part::Fabric(number);
        issue(&cloud.folder(controller).join("etcd"), controller, &[])?;
    }
    Ok(thumbprints)
}

/// Gives every controller the keys of the first, which are made when missing.
pub fn share_keys(cloud: &Cloud) -> Result<(), CliError> {
    let first = cloud.folder(Part::Fabric(0)).join("data");
    welkin_fabric_service::make_keys(&first).map_err(|error| CliError::Service(error.to_string()))?;
    for file in welkin_fabric_service::KEY_FILES {
        let from = first.join(file);
        let read = fs::read_to_string(&from);
        let text = read.map_err(|source| CliError::File { doing: "read", path: from.clone(), source })?;
        let text = zeroize::Zeroizing::new(text);
        for number in cloud.controllers() {
            let part = Part::Fabric(number);
            state::write_secret(&cloud.folder(part).join("data").join(file), &text, cloud.uid(part))?;
        }
    }
    Ok(())
}

/// Where the rows of a controller are.
pub fn store(cloud: &Cloud, number: u8, members: &[Thumbprint]) -> StoreConfig {
    if !cloud.is_replicated() {
        return StoreConfig::Local;
    }
    let members = cloud.controllers().zip(members);
    StoreConfig::Etcd(EtcdConfig {
        prefix: PREFIX.to_owned(),
        identity: cloud.folder(Part::Fabric(number)).join("etcd"),
        members: members
            .map(|(member, thumbprint)| EtcdMemberConfig {
                address: cloud.etcd(member),
                thumbprint: *thumbprint,
            })
            .collect(),
    })
}

/// What a member is started with.
pub fn arguments(cloud: &Cloud, number: u8) -> Vec<String> {
    let part = Part::Etcd(number);
    let folder = cloud.folder(part);
    let file = |name: &str| folder.join("identity").join(name).display().to_string();
    let peer = |number: u8| format!("https://{}", cloud.etcd_peer(number));
    let members: Vec<_> =
        cloud.controllers().map(|number| format!("{}={}", Part::Etcd(number), peer(number))).collect();
    let client = format!("https://{}", cloud.etcd(number));
    let mut arguments = vec!["--logger=zap".to_owned(), "--log-outputs=stderr".to_owned()];
    for (name, value) in [
        ("name", part.to_string()),
        ("data-dir", folder.join("data").display().to_string()),
        ("log-level", "warn".to_owned()),
        ("listen-client-urls", client.clone()),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer(number)),
        ("initial-advertise-peer-urls", peer(number)),
        ("initial-cluster", members.join(",")),
        ("initial-cluster-token", cloud.name()),
        ("cert-file", file("cert.pem")),
        ("key-file", file("key.pem")),
        ("trusted-ca-file", file("ca.pem")),
        ("client-cert-auth", "true".to_owned()),
        ("peer-cert-file", file("cert.pem")),
        ("peer-key-file", file("key.pem")),
        ("peer-trusted-ca-file", file("ca.pem")),
        ("peer-client-cert-auth", "true".to_owned()),
        // Without it every version of every row is kept.
        ("auto-compaction-mode", "periodic".to_owned()),
        ("auto-compaction-retention", "1h".to_owned()),
        ("quota-backend-bytes", QUOTA_BYTES.to_string()),
    ] {
        arguments.push(format!("--{name}={value}"));
    }
    arguments
}
