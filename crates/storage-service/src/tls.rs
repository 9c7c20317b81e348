//! The certificate of HTTPS on the ports of the protocol: a given one, or one that is made in the data folder.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use welkin_pki::{Identity, PkiError, public_server_config};
use welkin_storage_wire::Service;

use crate::config::{Config, TlsFiles};

/// The folder, below that of the data, of the certificate that is made.
const FOLDER: &str = "tls";

/// TLS as configured.
pub(crate) fn load(config: &Config, listened: &[SocketAddr]) -> Result<Arc<ServerConfig>, PkiError> {
    let folder = config.data_folder.join(FOLDER);
    let own = TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    let files = match &config.tls {
        Some(given) => given,
        None => {
            if !own.certificate.exists() || !own.key.exists() {
                make(&folder, &names(config, listened))?;
            }
            &own
        }
    };
    public_server_config(&read(&files.certificate)?, &read(&files.key)?)
}

fn read(path: &Path) -> Result<String, PkiError> {
    let failed = |source| PkiError::File { doing: "read", path: path.to_owned(), source };
    std::fs::read_to_string(path).map_err(failed)
}

fn make(folder: &Path, names: &[String]) -> Result<(), PkiError> {
    let failed = |source| PkiError::File { doing: "make", path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    Identity::self_signed_for("Welkin Storage", names)?.save(folder)
}

/// The names that clients may call this server by.
fn names(config: &Config, listened: &[SocketAddr]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(
        listened.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()),
    );
    for suffix in &config.host_suffixes {
        let services = [Service::Blob, Service::Queue, Service::Table];
        names.extend(services.map(|service| format!("*.{}.{suffix}", service.as_str())));
    }
    names.sort_unstable();
    names.dedup();
    names
}
