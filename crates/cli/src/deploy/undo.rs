//! Taking away again what a deployment that failed has made.

use welkin_base::{AccountName, ServiceName};

use super::upload::{self, Target};
use crate::client::{Client, ClientError};

/// What was made so far.
#[derive(Debug, Default)]
pub struct Undo {
    blob: Option<Blob>,
    service: Option<ServiceName>,
    account: Option<AccountName>,
}

/// The uploaded package. No `Debug`: it has the account's key.
struct Blob {
    endpoint: String,
    account: AccountName,
    key: String,
    container: String,
    blob: String,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.blob)
    }
}

impl Undo {
    /// A blob was uploaded.
    pub fn blob(&mut self, target: &Target<'_>) {
        self.blob = Some(Blob {
            endpoint: target.endpoint.to_owned(),
            account: target.account.clone(),
            key: target.key.to_owned(),
            container: target.container.to_owned(),
            blob: target.blob.to_owned(),
        });
    }

    /// A hosted service was made.
    pub fn service(&mut self, name: &ServiceName) {
        self.service = Some(name.clone());
    }

    /// A storage account was made.
    pub fn account(&mut self, name: &AccountName) {
        self.account = Some(name.clone());
    }

    /// Removes the package, which is not needed longer.
    pub fn remove_blob(&mut self) {
        let Some(blob) = self.blob.take() else { return };
        let target = Target {
            endpoint: &blob.endpoint,
            account: &blob.account,
            key: &blob.key,
            container: &blob.container,
            blob: &blob.blob,
        };
        told("the uploaded package", upload::remove(&target));
    }

    /// The account stays, whatever happens.
    pub fn keep_account(&mut self) {
        self.account = None;
    }

    /// What was made stays.
    pub fn keep(&mut self) {
        *self = Self::default();
    }

    /// Takes everything away, the last first. What cannot be is said: the caller is failing already.
    pub fn all(mut self, client: &Client) {
        if let Some(service) = self.service.take() {
            let path = format!("services/hostedservices/{service}");
            told("the hosted service", client.delete(&path).map(drop));
        }
        let account = self.account.take();
        // With the account goes the blob.
        match account {
            Some(account) => {
                let path = format!("services/storageservices/{account}");
                told("the storage account", client.delete(&path).map(drop));
            }
            None => self.remove_blob(),
        }
    }
}

fn told(what: &str, result: Result<(), ClientError>) {
    if let Err(error) = result {
        eprintln!("warning: {what} could not be removed: {error}");
    }
}
