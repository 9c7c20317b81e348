//! Starting and ending the service.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use welkin_pki::{ClientAuth, Identity, PkiError, server_config};
use welkin_store::{Store, StoreError};
use welkin_transport::bucket::Rate;
use welkin_transport::control::ControlSocket;
use welkin_transport::descriptors::enough_for;
use welkin_transport::{Room, serve_many};

use crate::api::handle;
use crate::config::Config;
use crate::control;
use crate::deploy;
use crate::fabric::Fabric;
use crate::failure::{Failure, chain};
use crate::management::{Jobs, Management};
use crate::operation;
use crate::operator;
use crate::package;
use crate::quota;
use crate::service_certificate;
use crate::state::State;
use crate::storage::Storage;
use crate::throttle::Throttle;

/// Old operations are looked for this often.
const FORGET_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its address.
    #[error("cannot listen on {address}: end the program that uses it, or change `listen`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A folder.
    #[error("cannot {doing} {path}")]
    Folder {
        /// What was being done.
        doing: &'static str,
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Data in a form that this version does not read.
    #[error(
        "{path} has data in the form {found}, which this version of Welkin does not read: \
         start it with the version that wrote it, or move the folder away"
    )]
    Format {
        /// The folder.
        path: PathBuf,
        /// The form.
        found: String,
    },
    /// A configured subscription.
    #[error("cannot make the configured subscription {id}: {reason}")]
    Subscription {
        /// Which.
        id: String,
        /// Why.
        reason: String,
    },
    /// A subscription that is there twice.
    #[error("the subscription {0} is configured twice: keep one")]
    Twice(String),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was in progress cannot be read.
    #[error("cannot go on with what was in progress: {0}")]
    Resume(String),
}

/// Runs the management service until `shutdown` resolves and requests that run have ended. Operations in progress
/// stop where they are and go on at the next start.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let identity = Identity::load(&config.identity)?;
    let tls = server_config(&identity, ClientAuth::Requested)?;
    let (address, limits) = (config.listen, config.limits);
    let room = Room {
        connections_max: enough_for(limits.connections_max),
        handshakes: Some(Rate { per_second: limits.handshakes_per_second, burst: limits.handshakes_burst }),
    };
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    let management = Arc::new(open(config, &identity).await?);
    prepare(&management).await?;
    deploy::resume(&management).await.map_err(|failure| RunError::Resume(chain(&failure)))?;
    management.jobs.start(forget(management.state.clone()));
    match ControlSocket::bind(&management.config.data) {
        Ok(socket) => management.jobs.start(control::serve(socket, Arc::clone(&management))),
        Err(error) => tracing::error!(%error, "there is no control socket: nobody can change subscriptions"),
    }
    management.jobs.start(service_certificate::sweep_often(Arc::clone(&management)));
    tracing::info!(%address, thumbprint = %identity.thumbprint(), "management serves");
    let handler = {
        let management = Arc::clone(&management);
        move |peer, request| handle(Arc::clone(&management), peer, request)
    };
    serve_many(listener, tls, room, handler, shutdown).await;
    management.jobs.stop().await;
    match management.state.close().await {
        Err(Failure::Store(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Forgets old operations, now and then.
async fn forget(state: State) {
    loop {
        match operation::forget_old(&state).await {
            Ok(0) => {}
            Ok(operations) => tracing::info!(operations, "old operations forgotten"),
            Err(failure) => tracing::warn!(error = chain(&failure), "cannot forget old operations"),
        }
        tokio::time::sleep(FORGET_INTERVAL).await;
    }
}

/// Opens what the service needs.
pub(crate) async fn open(config: Config, identity: &Identity) -> Result<Management, RunError> {
    empty_folder(&package::folder(&config.data))?;
    let folder = config.data.join("store");
    let store = Store::open_local(&folder).await?;
    let state = State::open(store).await.map_err(|failure| RunError::Resume(chain(&failure)))?;
    let state = state.map_err(|found| RunError::Format { path: folder, found })?;
    Ok(Management {
        fabric: Fabric::new(&config.fabric, identity)?,
        storage: Storage::new(&config.storage, identity)?,
        state,
        throttle: Throttle::new(config.limits),
        jobs: Jobs::default(),
        config,
    })
}

/// What is to be done before the first request: repair what a crash left, and make what is configured.
pub(crate) async fn prepare(management: &Management) -> Result<(), RunError> {
    quota::repair(management).await.map_err(|failure| RunError::Resume(chain(&failure)))?;
    let configured = &management.config.subscriptions;
    for (index, subscription) in configured.iter().enumerate() {
        let id = &subscription.id;
        if configured.iter().skip(index + 1).any(|other| other.id == *id) {
            return Err(RunError::Twice(id.to_string()));
        }
        operator::configure(&management.state, subscription)
            .await
            .map_err(|failure| RunError::Subscription { id: id.to_string(), reason: chain(&failure) })?;
    }
    Ok(())
}

/// What a service that was killed left of packages on their way is of no use.
fn empty_folder(path: &Path) -> Result<(), RunError> {
    let failed = |doing| move |source| RunError::Folder { doing, path: path.to_owned(), source };
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed("empty")(error)),
        _ => {}
    }
    std::fs::create_dir_all(path).map_err(failed("make"))
}
