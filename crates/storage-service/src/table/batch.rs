//! Entity group transactions: changes of entities of one partition, all of them or none; or one query.

use std::collections::HashSet;

use http::{HeaderName, HeaderValue, Response, StatusCode};
use uuid::Uuid;
use welkin_storage::table::Change;
use welkin_storage_wire::error::ErrorForm;
use welkin_storage_wire::operation::TableResource;
use welkin_storage_wire::table::EntityKey;
use welkin_storage_wire::table::batch::{BODY_BYTES_MAX, Batch, BatchRequest, changes_body, query_body};
use welkin_storage_wire::{ErrorCode, Operation, ProtocolError, RequestHead, TableOperation};

use super::change::Asked;
use super::{Answer, bare, check_name, entity, permitted, told};
use crate::answer::set;
use crate::auth;
use crate::context::{Authorization, Context, RequestBody};

/// A change of the transaction that failed, and with it all of them.
struct Failed {
    index: usize,
    error: ProtocolError,
}

/// Does the batch. A change that fails is told within the answer; what is wrong with the batch as a whole is told
/// instead of it.
pub(super) async fn handle(context: &Context, body: &mut RequestBody) -> Answer {
    let content_type = context.head.header("content-type")?.unwrap_or("");
    let bytes = body.whole(BODY_BYTES_MAX).await?;
    let id = Uuid::new_v4().to_string();
    let (body, kind) = match Batch::parse(content_type, &bytes)? {
        Batch::Query(request) => {
            let answer = query(context, &request).await;
            let answer = answer.unwrap_or_else(|error| error_answer(context, &error));
            query_body(&identified(answer, &request), &id)
        }
        Batch::Changes(requests) => {
            let answers = match transact(context, &requests).await {
                Ok(answers) => answers.into_iter().zip(&requests).map(|(a, r)| identified(a, r)).collect(),
                // The whole can be tried again, which the client knows by the status.
                Err(failed) if failed.error.status().is_server_error() => return Err(failed.error),
                Err(Failed { index, error }) => {
                    let message = format!("{index}:{}", error.message());
                    let answer = error_answer(context, &ProtocolError::saying(error.code(), message));
                    vec![requests.get(index).map_or(answer.clone(), |request| identified(answer, request))]
                }
            };
            changes_body(&answers, &id)
        }
    };
    let mut response = bare(StatusCode::ACCEPTED);
    *response.body_mut() = body;
    set(&mut response, "content-type", &kind);
    Ok(response)
}

async fn query(context: &Context, request: &BatchRequest<'_>) -> Answer {
    let head = head_of(context, request)?;
    let Operation::Table(operation @ (TableOperation::QueryEntities | TableOperation::GetEntity)) =
        Operation::route(&head)?
    else {
        return Err(ProtocolError::saying(ErrorCode::InvalidInput, "A batch's query is one of entities."));
    };
    authorize(context, &head, operation).await?;
    let resource = TableResource::of(&head)?;
    check_name(&resource)?;
    let inner = Context { head, ..context.clone() };
    entity::read(&inner, &resource).await
}

/// Makes all changes, or none.
async fn transact(
    context: &Context,
    requests: &[BatchRequest<'_>],
) -> Result<Vec<Response<Vec<u8>>>, Failed> {
    let mut heads = Vec::with_capacity(requests.len());
    let mut all: Vec<Asked> = Vec::with_capacity(requests.len());
    let mut seen = HashSet::new();
    let mut authorized = HashSet::new();
    for (index, request) in requests.iter().enumerate() {
        let failed = |error: ProtocolError| Failed { index, error };
        let (head, operation, asked) = read(context, request).map_err(failed)?;
        let first = all.first().unwrap_or(&asked);
        if asked.key.partition != first.key.partition {
            return Err(failed(ErrorCode::CommandsInBatchActOnDifferentPartitions.into()));
        }
        if !asked.table.eq_ignore_ascii_case(&first.table) {
            let why = "All commands in an entity group transaction must act on one table.";
            return Err(failed(ProtocolError::saying(ErrorCode::InvalidInput, why)));
        }
        // Of one table, the same operation is authorized in the same way.
        if authorized.insert(operation) {
            authorize(context, &head, operation).await.map_err(failed)?;
        }
        permitted::check(context, &asked.key).map_err(failed)?;
        if !seen.insert(asked.key.row.clone()) {
            return Err(failed(ErrorCode::InvalidDuplicateRow.into()));
        }
        heads.push(head);
        all.push(asked);
    }
    let changes: Vec<(EntityKey, Change)> =
        all.iter().map(|asked| (asked.key.clone(), asked.change.clone())).collect();
    let table = all.first().map(|asked| asked.table.clone()).unwrap_or_default();
    let written = context.storage.change_entities(context.account.uid, &table, &changes, context.now).await;
    let written = written.map_err(|failed| Failed { index: failed.index, error: told(&failed.error) })?;
    let answers = all.into_iter().zip(&heads).zip(written).enumerate();
    answers
        .map(|(index, ((asked, head), timestamp))| {
            asked.answer(context, head, timestamp).map_err(|error| Failed { index, error })
        })
        .collect()
}

/// Reads a change of the set.
fn read(
    context: &Context,
    request: &BatchRequest<'_>,
) -> Result<(RequestHead, TableOperation, Asked), ProtocolError> {
    let head = head_of(context, request)?;
    let Operation::Table(operation) = Operation::route(&head)? else {
        return Err(ErrorCode::InvalidInput.into());
    };
    let resource = TableResource::of(&head)?;
    check_name(&resource)?;
    let asked = Asked::of(&head, operation, &resource, request.request.body)?;
    Ok((head, operation, asked))
}

fn head_of(context: &Context, request: &BatchRequest<'_>) -> Result<RequestHead, ProtocolError> {
    let inner = &request.request;
    context.head.within(inner.method.clone(), &inner.uri, inner.headers.clone())
}

/// A signature may permit the batch but not this operation, or not on this table. Its holder is authorized for
/// the inner request as if it had come alone with the credentials of the batch.
async fn authorize(
    context: &Context,
    inner: &RequestHead,
    operation: TableOperation,
) -> Result<(), ProtocolError> {
    if context.authorization == Authorization::Key {
        return Ok(());
    }
    let mut head = inner.clone();
    head.query = context.head.query.clone();
    head.headers = context.head.headers.clone();
    let issuer = context.issuer.as_deref();
    let operation = Operation::Table(operation);
    auth::authorize(&context.storage, issuer, &head, operation, context.arrival).await.map(|_| ())
}

/// An error as the answer of a part.
fn error_answer(context: &Context, error: &ProtocolError) -> Response<Vec<u8>> {
    let (body, kind) = error.body(ErrorForm::ODataJson, &context.request_id, &context.now.to_iso7());
    let mut response = bare(error.status());
    *response.body_mut() = body.into_bytes();
    set(&mut response, "content-type", kind);
    set(&mut response, "x-ms-error-code", error.code_text());
    response
}

/// Echoes what the client calls the request.
fn identified(mut answer: Response<Vec<u8>>, request: &BatchRequest<'_>) -> Response<Vec<u8>> {
    let id = request.content_id.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(id)) = id {
        answer.headers_mut().insert(HeaderName::from_static("content-id"), id);
    }
    answer
}
