//! Get User Delegation Key, of blobs and of queues.

use http::{Response, StatusCode};
use welkin_storage_wire::delegation::{DelegationKey, KeyInfo};
use welkin_storage_wire::{ErrorCode, ProtocolError};
use welkin_transport::Body;

use crate::admin::{DELEGATION_SECRET_BYTES, random_bytes};
use crate::answer::xml;
use crate::context::{Authorization, Context, RequestBody};
use crate::error::engine;

/// The body is an element with three short ones.
const KEY_INFO_BYTES_MAX: usize = 16 * 1024;

/// Gives the user of a bearer token a key to sign shared access signatures with.
pub(crate) async fn user_delegation_key(
    context: &Context,
    body: &mut RequestBody,
) -> Result<Response<Body>, ProtocolError> {
    let Authorization::Bearer(user) = &context.authorization else {
        return Err(ErrorCode::AuthorizationFailure.into());
    };
    let info = KeyInfo::parse(&body.whole(KEY_INFO_BYTES_MAX).await?, context.now)?;
    let key = DelegationKey {
        object_id: user.object_id.clone(),
        tenant_id: user.tenant_id.clone(),
        start: info.start,
        expiry: info.expiry,
        service: context.head.service.sas_letter(),
        version: context.head.version.as_str().to_owned(),
        delegated_tenant_id: info.delegated_tenant_id,
    };
    let secret = secret(context).await?;
    let value =
        key.value(context.account.name.as_str(), user.roles.of_service(context.head.service), &secret);
    Ok(xml(StatusCode::OK, key.write(&value)))
}

/// The account's secret; accounts that older versions made have none until it is needed.
async fn secret(context: &Context) -> Result<Vec<u8>, ProtocolError> {
    if !context.account.delegation_secret.is_empty() {
        return Ok(context.account.delegation_secret.clone());
    }
    let new = random_bytes(DELEGATION_SECRET_BYTES);
    let fill = |account: &mut welkin_storage::Account| {
        if account.delegation_secret.is_empty() {
            account.delegation_secret.clone_from(&new);
        }
    };
    match context.storage.change_account(&context.account.name, fill).await {
        Ok(account) => Ok(account.delegation_secret),
        Err(welkin_storage::AccountError::Engine(error)) => Err(engine(&error)),
        Err(_) => Err(ErrorCode::ResourceNotFound.into()),
    }
}
