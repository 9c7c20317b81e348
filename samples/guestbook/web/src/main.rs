//! The guestbook's web role: shows the entries and takes new ones.
//!
//! An entry goes to a table, its picture to a blob, and a message to a queue, from which the worker
//! role makes the thumbnail. The instances share nothing but storage.
//!
//! In reading order: [`server`] routes, [`form`] reads what a visitor sends, [`guestbook`] keeps it, [`page`]
//! shows it.

mod form;
mod guestbook;
mod page;
mod picture;
mod server;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use welkin_sdk::{Answer, RoleEnvironment, StorageAccount};

use crate::guestbook::Guestbook;
use crate::server::Instance;

/// Storage may come up after the role: how long to wait between tries.
const STORAGE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guestbook: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let environment = RoleEnvironment::current()?;
    let address: SocketAddr = environment.endpoint("http")?;
    let account = StorageAccount::from_connection_string(&environment.setting("StorageConnectionString")?)?;
    let welcome = Arc::new(RwLock::new(welcome_of(&environment)));
    follow_changes(Arc::clone(&welcome))?;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let guestbook = Guestbook::new(&account);
    let prepared = guestbook.clone();
    tokio::task::spawn_blocking(move || prepare(&prepared)).await?;
    welkin_sdk::ready()?;
    let instance = Instance {
        name: environment.instance(),
        update_domain: environment.update_domain(),
        fault_domain: environment.fault_domain(),
        welcome,
    };
    println!("{} answers on {address}, data in account {}", instance.name, account.name());
    server::serve(listener, Arc::new(server::Site { guestbook, instance })).await;
    Ok(())
}

/// What the page says on top, outside a VM too.
fn welcome_of(environment: &RoleEnvironment) -> String {
    environment.setting("Welcome").unwrap_or_else(|_| "Leave a few words.".to_owned())
}

/// The welcome changes while the role runs; with another account it must begin again.
fn follow_changes(welcome: Arc<RwLock<String>>) -> std::io::Result<()> {
    welkin_sdk::on_change(move |change| {
        if change.settings.iter().any(|name| name != "Welcome") {
            return Answer::Restart;
        }
        let Ok(environment) = RoleEnvironment::current() else { return Answer::Restart };
        *welcome.write().unwrap_or_else(PoisonError::into_inner) = welcome_of(&environment);
        Answer::Accept
    })
}

/// Makes the table, containers and queue. Nothing works without storage, so it tries until it answers.
fn prepare(guestbook: &Guestbook) {
    while let Err(error) = guestbook.prepare() {
        eprintln!("waiting for storage: {error}");
        std::thread::sleep(STORAGE_RETRY_INTERVAL);
    }
}
