//! Tables: query, create, delete.

use http::StatusCode;
use welkin_storage::Uid;
use welkin_storage::table::TableError;
use welkin_storage_wire::table::Query;
use welkin_storage_wire::table::answer::{table_body, table_url, tables_body};
use welkin_storage_wire::table::key::check_table_name;
use welkin_storage_wire::table::query::{encode, next_table};
use welkin_storage_wire::{ErrorCode, ProtocolError};

use super::{Answer, Wanted, bare, check_json, endpoint, json, level, made, told};
use crate::answer::set;
use crate::context::{Context, RequestBody};

/// A body that names a table is short.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Query Tables.
pub(super) async fn query(context: &Context) -> Answer {
    let level = level(&context.head)?;
    let asked = Query::of(&context.head.query)?;
    let next = next_table(&context.head.query)?;
    let storage = &context.storage;
    let page =
        storage.query_tables(context.account.uid, asked.filter.as_ref(), next.as_deref(), asked.rows_max);
    let page = page.await.map_err(|error| told(&error))?;
    let body = tables_body(context.account.name.as_str(), &endpoint(context), &page.names, level);
    let mut response = json(StatusCode::OK, level, body);
    if let Some(next) = page.next {
        set(&mut response, "x-ms-continuation-nexttablename", &encode(&next));
    }
    Ok(response)
}

/// Query Tables of one name.
pub(super) async fn get(context: &Context, name: &str) -> Answer {
    let level = level(&context.head)?;
    let table =
        context.storage.table(context.account.uid, name).await.map_err(|error| told_of_table(&error))?;
    let body = table_body(context.account.name.as_str(), &endpoint(context), &table.name, level);
    Ok(json(StatusCode::OK, level, body))
}

/// Create Table.
pub(super) async fn create(context: &Context, body: &mut RequestBody) -> Answer {
    let wanted = Wanted::of(&context.head)?;
    check_json(&context.head)?;
    let body = body.whole(BODY_BYTES_MAX).await?;
    let name = table_name(&body)?;
    check_table_name(&name)?;
    let uid = Uid::from_bytes(uuid::Uuid::new_v4().into_bytes());
    let created = context.storage.create_table(context.account.uid, &name, uid, context.now).await;
    created.map_err(|error| told(&error))?;
    let endpoint = endpoint(context);
    let mut response = match wanted {
        Wanted::NoContent => bare(StatusCode::NO_CONTENT),
        Wanted::Content(level) => json(
            StatusCode::CREATED,
            level,
            table_body(context.account.name.as_str(), &endpoint, &name, level),
        ),
    };
    made(&mut response, &context.head, &table_url(&endpoint, &name), wanted);
    Ok(response)
}

/// Delete Table.
pub(super) async fn delete(context: &Context, name: &str) -> Answer {
    let deleted = context.storage.delete_table(context.account.uid, name, context.now).await;
    deleted.map_err(|error| told_of_table(&error))?;
    Ok(bare(StatusCode::NO_CONTENT))
}

/// As a member of the collection, a table that is missing is a missing resource.
fn told_of_table(error: &TableError) -> ProtocolError {
    match error {
        TableError::TableNotFound => ErrorCode::ResourceNotFound.into(),
        other => told(other),
    }
}

fn table_name(body: &[u8]) -> Result<String, ProtocolError> {
    let why = "The body is no JSON object with a TableName.";
    let refused = || ProtocolError::saying(ErrorCode::InvalidInput, why);
    let body: serde_json::Value = serde_json::from_slice(body).map_err(|_| refused())?;
    body.get("TableName").and_then(|name| name.as_str()).map(str::to_owned).ok_or_else(refused)
}
