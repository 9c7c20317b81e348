//! The administration of the storage service, as management speaks to it.

use http::{Method, StatusCode};
use welkin_base::AccountName;
use welkin_management_wire::ApiError;
use welkin_management_wire::storage_account::KeyType;
use welkin_pki::{Identity, PkiError, ServerAuth, client_config};
use welkin_storage_wire::admin::AccountKeys;
use welkin_transport::{CallError, Client, full, read_body};

use crate::config::StorageConfig;
use crate::failure::Failure;

/// An answer in bytes, at most.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A client of the storage service's administration.
#[derive(Debug, Clone)]
pub struct Storage {
    client: Client,
}

impl Storage {
    /// A client with management's own certificate.
    pub fn new(config: &StorageConfig, identity: &Identity) -> Result<Self, PkiError> {
        let tls = client_config(Some(identity), ServerAuth::Pinned(config.thumbprint))?;
        Ok(Self { client: Client::new(config.address, tls) })
    }

    /// Makes an account. `false` when there is one of that name.
    pub async fn create(&self, name: &AccountName) -> Result<bool, Failure> {
        let (status, message) = self.ask(Method::PUT, &format!("/v1/accounts/{name}")).await?;
        match status {
            StatusCode::CONFLICT => Ok(false),
            status if status.is_success() => Ok(true),
            status => Err(refused(status, message)),
        }
    }

    /// The keys of an account; `None` when there is no such account.
    pub async fn keys(&self, name: &AccountName) -> Result<Option<AccountKeys>, Failure> {
        match self.client.get_json(&format!("/v1/accounts/{name}/keys"), ANSWER_BYTES_MAX).await {
            Ok(keys) => Ok(Some(keys)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(Failure::Storage(error)),
        }
    }

    /// Makes a new key in place of one; `None` when there is no such account.
    pub async fn regenerate(&self, name: &AccountName, key: KeyType) -> Result<Option<AccountKeys>, Failure> {
        let key = match key {
            KeyType::Primary => "primary",
            KeyType::Secondary => "secondary",
        };
        let (status, message) = self.ask(Method::POST, &format!("/v1/accounts/{name}/keys/{key}")).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => serde_json::from_str(&message)
                .map(Some)
                .map_err(|error| Failure::Storage(CallError::Malformed(error.to_string()))),
            status => Err(refused(status, message)),
        }
    }

    /// Deletes an account and all in it. That it is gone already is no error.
    pub async fn delete(&self, name: &AccountName) -> Result<(), Failure> {
        let (status, message) = self.ask(Method::DELETE, &format!("/v1/accounts/{name}")).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT => Err(ApiError::conflict(message).into()),
            status => Err(refused(status, message)),
        }
    }

    async fn ask(&self, method: Method, path: &str) -> Result<(StatusCode, String), Failure> {
        let response = self.client.send(method, path, full("")).await.map_err(Failure::Storage)?;
        let status = response.status();
        let body = read_body(response.into_body(), ANSWER_BYTES_MAX).await;
        let body = body.map_err(|error| Failure::Storage(CallError::Malformed(error.to_string())))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

fn refused(status: StatusCode, message: String) -> Failure {
    Failure::Storage(CallError::Refused { status, message })
}
