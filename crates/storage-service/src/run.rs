//! The service from its configuration to its end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use welkin_base::{AccountName, NameError, Timestamp};
use welkin_pki::PkiError;
use welkin_storage::{Account, AccountError, EngineError, NewKeys, Storage, Uid};
use welkin_storage_wire::Service;
use welkin_storage_wire::admin::AccountSettings;
use welkin_store::{Store, StoreError};
use welkin_transport::control::ControlSocket;

use crate::admission::Admission;
use crate::auth::issuer::{Issuer, IssuerError};
use crate::config::Config;
use crate::copies::{Copies, CopiesError};
use crate::dispatch::FrontEnd;
use crate::metrics::Metrics;
use crate::server::Places;
use crate::{admin, blob, control, server, tls};

/// The development account, which every client of the protocol knows.
pub const DEV_ACCOUNT: &str = "devstoreaccount1";
/// Its key: public, and good for nothing but development.
pub const DEV_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// Between two passes of the cleaner when it finds nothing to do.
const CLEANER_PAUSE: Duration = Duration::from_secs(30);
/// Between two passes that found something: the disk is for requests first.
const CLEANER_BREATH: Duration = Duration::from_millis(20);

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store cannot be opened.
    #[error("cannot open the data in {folder}")]
    Store {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// A setting cannot be.
    #[error("the configuration of the storage service: {0}")]
    Config(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; end what uses it, or configure another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The development account's key is public, so that only this machine may reach it.
    #[error("{0} is not a loopback address: the development account is served on loopback only")]
    DevNotLoopback(SocketAddr),
    /// There is no usable certificate.
    #[error("cannot set up HTTPS")]
    Tls(#[source] PkiError),
    /// The issuer of bearer tokens cannot be used.
    #[error("cannot use the OpenID Connect issuer: {0}")]
    OpenId(#[from] IssuerError),
    /// Copies cannot be set up.
    #[error("cannot set up copies: {0}")]
    Copies(#[from] CopiesError),
    /// The copies that were pending cannot be gone on with.
    #[error("cannot go on with pending copies: {0}")]
    Resume(String),
    /// The admin API has no usable identity.
    #[error("cannot set up the admin API")]
    Admin(#[source] PkiError),
    /// The development account cannot be made.
    #[error("cannot make the development account: {0}")]
    Dev(String),
}

/// Runs the storage service until `shutdown` resolves and what is in flight is finished.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    if let Some(address) = config.dev.then(|| addresses(&config).find(|a| !a.ip().is_loopback())).flatten() {
        return Err(RunError::DevNotLoopback(address));
    }
    let options = config.store.options().map_err(RunError::Config)?;
    let issuer = config.openid.clone().map(Issuer::new).transpose()?.map(Arc::new);
    let copies = Copies::new(&config)?;
    let admission = Admission::new(&config);
    let places = Places::new(welkin_transport::descriptors::enough_for(config.connections_max));
    let listeners = listen(&config).await?;
    let metrics_listener = match config.metrics_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let admin = match config.admin {
        Some(ref admin) => Some(admin::bind(admin).await?),
        None => None,
    };
    let store = Store::open_local_with(&config.data_folder, options)
        .await
        .map_err(|source| RunError::Store { folder: config.data_folder.clone(), source })?;
    let storage = Storage::over(store);
    if config.dev {
        create_dev_account(&storage, config.dev_settings.as_ref()).await?;
    }
    let metrics = Metrics::new(&storage);
    let resumed = blob::copy::resume(&storage, &copies).await;
    resumed.map_err(|error| RunError::Resume(error.to_string()))?;
    let tls = match listeners.iter().any(|listener| listener.https) {
        true => Some(tls::load(&config, &addresses(&config).collect::<Vec<_>>()).map_err(RunError::Tls)?),
        false => None,
    };
    let (end, ended) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for Listener { service, https, listener } in listeners {
        let front_end = FrontEnd {
            storage: storage.clone(),
            service,
            host_suffixes: config.host_suffixes.clone(),
            https,
            plain_at_https: false,
            issuer: issuer.clone(),
            copies: copies.clone(),
            metrics: metrics.clone(),
            admission: admission.clone(),
            timeouts: config.timeouts.clone(),
        };
        let tls = tls.clone().filter(|_| https);
        tasks.spawn(server::serve(listener, tls, front_end, places.clone(), ended.clone()));
    }
    if let Some(listener) = metrics_listener {
        tasks.spawn(crate::metrics::serve(listener, metrics, ended.clone()));
    }
    if let Some(admin) = admin {
        tasks.spawn(admin.serve(storage.clone(), ended.clone()));
    }
    match ControlSocket::bind(&config.data_folder) {
        Ok(socket) => drop(tasks.spawn(control::serve(socket, storage.clone(), ended.clone()))),
        // Such as when the folder's path is too long for a socket. Clients can be served without.
        Err(error) => tracing::warn!(%error, "there is no control socket: no backup while the service runs"),
    }
    tasks.spawn(release_orphans(storage.clone(), ended.clone()));
    tasks.spawn(clean(storage.clone(), ended));
    tracing::info!(folder = %config.data_folder.display(), "the storage service answers");
    shutdown.await;
    let _ = end.send(true);
    while tasks.join_next().await.is_some() {}
    storage.close().await.map_err(|source| RunError::Store { folder: config.data_folder, source })
}

fn addresses(config: &Config) -> impl Iterator<Item = SocketAddr> {
    listened(config).into_iter().flat_map(|(_, _, addresses)| addresses).copied()
}

/// A bound address of a service.
struct Listener {
    service: Service,
    https: bool,
    listener: TcpListener,
}

fn listened(config: &Config) -> [(Service, bool, &[SocketAddr]); 6] {
    [
        (Service::Blob, false, &config.blob_listen),
        (Service::Queue, false, &config.queue_listen),
        (Service::Table, false, &config.table_listen),
        (Service::Blob, true, &config.blob_https_listen),
        (Service::Queue, true, &config.queue_https_listen),
        (Service::Table, true, &config.table_https_listen),
    ]
}

async fn listen(config: &Config) -> Result<Vec<Listener>, RunError> {
    let mut listeners = Vec::new();
    for (service, https, addresses) in listened(config) {
        for address in addresses {
            listeners.push(Listener { service, https, listener: bind(*address).await? });
        }
    }
    Ok(listeners)
}

pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })
}

async fn create_dev_account(storage: &Storage, settings: Option<&AccountSettings>) -> Result<(), RunError> {
    let failed = |error: &dyn std::fmt::Display| RunError::Dev(error.to_string());
    let name = AccountName::new(DEV_ACCOUNT).map_err(|error: NameError| failed(&error))?;
    let key = STANDARD.decode(DEV_KEY).map_err(|error| failed(&error))?;
    let keys = NewKeys {
        primary: key.clone(),
        secondary: key,
        delegation: admin::random_bytes(admin::DELEGATION_SECRET_BYTES),
    };
    let uid = Uid::from_bytes(uuid::Uuid::new_v4().into_bytes());
    let account = Account::new(name, uid, Timestamp::from(SystemTime::now()), keys);
    match storage.create_account(&account).await {
        Ok(()) | Err(AccountError::AlreadyExists(_)) => {}
        Err(error) => return Err(failed(&error)),
    }
    if let Some(settings) = settings {
        settings.check().map_err(|error| failed(&error))?;
        let changed = storage.change_account(&account.name, |account| admin::set(account, settings)).await;
        changed.map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Gives back the space of what a crash left behind.
async fn release_orphans(storage: Storage, mut ended: watch::Receiver<bool>) {
    let released = tokio::select! {
        released = storage.release_orphans() => released,
        _ = ended.wait_for(|ended| *ended) => return,
    };
    match released {
        Ok(0) => {}
        Ok(extents) => tracing::info!(extents, "what a crash had left was given back"),
        Err(error) => tracing::error!(%error, "what a crash may have left cannot be looked for"),
    }
}

async fn clean(storage: Storage, mut ended: watch::Receiver<bool>) {
    loop {
        let pause = match storage.clean(Timestamp::from(SystemTime::now())).await {
            Ok(true) => CLEANER_BREATH,
            Ok(false) => CLEANER_PAUSE,
            Err(error) => {
                log_failure(&error);
                CLEANER_PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = ended.wait_for(|ended| *ended) => return,
        }
    }
}

fn log_failure(error: &EngineError) {
    tracing::error!(%error, "the cleaner failed; it tries again");
}
