//! The table service: its operations, from request to answer.
//!
//! * [`collection`]: tables. [`entity`]: entities.

pub mod collection;
pub mod entity;

use http::{Response, StatusCode};
use welkin_storage::table::TableError;
use welkin_storage_wire::operation::TableResource;
use welkin_storage_wire::table::MetadataLevel;
use welkin_storage_wire::{ErrorCode, ProtocolError, TableOperation};
use welkin_transport::Body;

use crate::answer::{empty, set};
use crate::context::{Context, RequestBody};
use crate::error;

/// Does an operation of the table service.
///
/// # Errors
/// With the protocol's code for what is wrong.
pub async fn handle(
    context: &Context,
    operation: TableOperation,
    body: &mut RequestBody,
) -> Result<Response<Body>, ProtocolError> {
    use TableOperation as Op;
    match (operation, TableResource::of(&context.head)?) {
        (Op::QueryTables, TableResource::TableEntry(name)) => collection::get(context, &name).await,
        (Op::QueryTables, _) => collection::query(context).await,
        (Op::CreateTable, _) => collection::create(context, body).await,
        (Op::DeleteTable, TableResource::TableEntry(name)) => collection::delete(context, &name).await,
        (Op::QueryEntities, TableResource::Table(table)) => entity::query(context, &table).await,
        (Op::InsertEntity, TableResource::Table(table)) => entity::insert(context, &table, body).await,
        (operation, TableResource::Entity { table, keys }) => {
            entity::one(context, operation, &table, &keys, body).await
        }
        _ => Err(ErrorCode::NotImplemented.into()),
    }
}

/// What the client is told of the engine's error.
pub(crate) fn told(error: &TableError) -> ProtocolError {
    match error {
        TableError::TableNotFound => ErrorCode::TableNotFound.into(),
        TableError::TableAlreadyExists => ErrorCode::TableAlreadyExists.into(),
        TableError::EntityNotFound => ErrorCode::ResourceNotFound.into(),
        TableError::EntityAlreadyExists => ErrorCode::EntityAlreadyExists.into(),
        TableError::ConditionNotMet => ErrorCode::UpdateConditionNotSatisfied.into(),
        TableError::Refused(error) => error.clone(),
        TableError::Engine(error) => error::engine(error),
    }
}

/// The endpoint that answers name.
fn endpoint(context: &Context) -> String {
    context.head.endpoint("http")
}

/// Whether the client wants what it made in the answer (`Prefer`), and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Content(MetadataLevel),
    NoContent,
}

impl Wanted {
    fn of(context: &Context) -> Result<Self, ProtocolError> {
        match context.head.header("prefer")? {
            Some(prefer) if prefer.eq_ignore_ascii_case("return-no-content") => Ok(Self::NoContent),
            _ => level(context).map(Self::Content),
        }
    }
}

fn level(context: &Context) -> Result<MetadataLevel, ProtocolError> {
    MetadataLevel::of(&context.head.headers, &context.head.query)
}

/// Reads a JSON body; Atom is refused.
async fn json_body(
    context: &Context,
    body: &mut RequestBody,
    bytes_max: usize,
) -> Result<bytes::Bytes, ProtocolError> {
    let content_type = context.head.header("content-type")?.unwrap_or("application/json");
    if content_type.contains("xml") {
        return Err(ErrorCode::AtomFormatNotSupported.into());
    }
    body.whole(bytes_max).await
}

/// An answer with a JSON body.
fn json(status: StatusCode, level: MetadataLevel, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(welkin_transport::full(body));
    *response.status_mut() = status;
    set(&mut response, "content-type", level.content_type());
    framed(response)
}

/// An answer without a body.
fn bare(status: StatusCode) -> Response<Body> {
    framed(empty(status))
}

fn framed(mut response: Response<Body>) -> Response<Body> {
    set(&mut response, "dataserviceversion", "3.0;");
    set(&mut response, "cache-control", "no-cache");
    set(&mut response, "x-content-type-options", "nosniff");
    response
}

/// Names what was made, and says whether the answer has it.
fn made(response: &mut Response<Body>, context: &Context, url: &str, wanted: Wanted) {
    set(response, "location", url);
    set(response, "dataserviceid", url);
    if context.head.headers.contains_key("prefer") {
        let applied = if wanted == Wanted::NoContent { "return-no-content" } else { "return-content" };
        set(response, "preference-applied", applied);
    }
}

/// The engine's values are all of JSON; this is for the type's sake.
fn written(body: Result<Vec<u8>, serde_json::Error>) -> Result<Vec<u8>, ProtocolError> {
    body.map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        ErrorCode::InternalError.into()
    })
}
