//! The table service: its operations, from request to answer.
//!
//! * [`access`]: stored access policies.
//! * [`batch`]: entity group transactions.
//! * [`change`]: a change of an entity, from its request to its answer, alone or in a batch.
//! * [`collection`]: tables. [`entity`]: entities.
//! * [`permitted`]: the entities that a shared access signature is limited to.

pub mod access;
pub mod batch;
pub mod change;
pub mod collection;
pub mod entity;
pub mod permitted;

use http::{Response, StatusCode};
use welkin_storage::table::TableError;
use welkin_storage_wire::operation::TableResource;
use welkin_storage_wire::table::MetadataLevel;
use welkin_storage_wire::table::key::check_table_name;
use welkin_storage_wire::{ErrorCode, ProtocolError, RequestHead, TableOperation};
use welkin_transport::Body;

use crate::answer::set;
use crate::context::{Context, RequestBody};
use crate::{error, service};

/// An answer that is held whole: a page is of bounded size, and a batch has answers within its own.
type Answer = Result<Response<Vec<u8>>, ProtocolError>;

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
    match operation {
        Op::GetTableServiceProperties => return service::properties(context),
        Op::SetTableServiceProperties => return service::set_properties(context, body).await,
        Op::GetTableServiceStats => return service::stats(context),
        _ => check_head(&context.head)?,
    }
    let resource = TableResource::of(&context.head)?;
    check_name(&resource)?;
    let answer = match (operation, resource) {
        (Op::QueryTables, TableResource::TableEntry(name)) => collection::get(context, &name).await,
        (Op::QueryTables, _) => collection::query(context).await,
        (Op::CreateTable, _) => collection::create(context, body).await,
        (Op::DeleteTable, TableResource::TableEntry(name)) => collection::delete(context, &name).await,
        (Op::GetTableAcl, TableResource::Table(table)) => access::get(context, &table).await,
        (Op::SetTableAcl, TableResource::Table(table)) => access::set_policies(context, &table, body).await,
        (Op::EntityGroupTransaction, _) => batch::handle(context, body).await,
        (Op::QueryEntities | Op::GetEntity, resource) => entity::read(context, &resource).await,
        (operation, resource @ (TableResource::Table(_) | TableResource::Entity { .. })) => {
            change::handle(context, operation, &resource, body).await
        }
        _ => Err(ErrorCode::NotImplemented.into()),
    };
    answer.map(|response| response.map(welkin_transport::full))
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

/// Refuses a request without a host, which answers could not name, and a version of OData that is later than the
/// last that the service speaks, 3.0.
fn check_head(head: &RequestHead) -> Result<(), ProtocolError> {
    if head.headers.get(http::header::HOST).is_none_or(http::HeaderValue::is_empty) {
        return Err(ErrorCode::HostInformationNotPresent.into());
    }
    let Some(value) = head.header("dataserviceversion")? else { return Ok(()) };
    let number = value.split(';').next().unwrap_or("").trim();
    match number.parse::<f32>() {
        Ok(version) if (1.0..=3.0).contains(&version) => Ok(()),
        _ => Err(ProtocolError::header("DataServiceVersion", value)),
    }
}

/// Checks the name of the table that the URL names.
fn check_name(resource: &TableResource) -> Result<(), ProtocolError> {
    match resource {
        TableResource::TableEntry(name) | TableResource::Table(name) => check_table_name(name),
        TableResource::Entity { table, .. } => check_table_name(table),
        TableResource::Account | TableResource::Tables | TableResource::Batch => Ok(()),
    }
}

/// The endpoint that answers name.
fn endpoint(context: &Context) -> String {
    context.head.endpoint(context.scheme())
}

/// Whether the client wants what it made in the answer (`Prefer`), and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Content(MetadataLevel),
    NoContent,
}

impl Wanted {
    fn of(head: &RequestHead) -> Result<Self, ProtocolError> {
        match head.header("prefer")? {
            Some(prefer) if prefer.trim().eq_ignore_ascii_case("return-no-content") => Ok(Self::NoContent),
            _ => level(head).map(Self::Content),
        }
    }
}

fn level(head: &RequestHead) -> Result<MetadataLevel, ProtocolError> {
    MetadataLevel::of(&head.headers, &head.query)
}

/// Refuses a body that is not JSON.
fn check_json(head: &RequestHead) -> Result<(), ProtocolError> {
    let content_type = head.header("content-type")?.unwrap_or("application/json").to_ascii_lowercase();
    match content_type.split(';').next().unwrap_or("").trim() {
        "application/json" => Ok(()),
        "application/atom+xml" | "application/xml" => Err(ErrorCode::AtomFormatNotSupported.into()),
        _ => Err(ErrorCode::MediaTypeNotSupported.into()),
    }
}

/// An answer with a JSON body.
fn json(status: StatusCode, level: MetadataLevel, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut response = bare(status);
    *response.body_mut() = body;
    set(&mut response, "content-type", level.content_type());
    response
}

/// An answer without a body.
fn bare(status: StatusCode) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = status;
    set(&mut response, "dataserviceversion", "3.0;");
    set(&mut response, "cache-control", "no-cache");
    set(&mut response, "x-content-type-options", "nosniff");
    response
}

/// Names what was made, and says whether the answer has it.
fn made(response: &mut Response<Vec<u8>>, head: &RequestHead, url: &str, wanted: Wanted) {
    set(response, "location", url);
    set(response, "dataserviceid", url);
    let prefer = head.headers.get("prefer").and_then(|value| value.to_str().ok()).unwrap_or("").trim();
    match wanted {
        Wanted::NoContent => set(response, "preference-applied", "return-no-content"),
        Wanted::Content(_) if prefer.eq_ignore_ascii_case("return-content") => {
            set(response, "preference-applied", "return-content");
        }
        Wanted::Content(_) => {}
    }
}

/// The engine's values are all of JSON; this is for the type's sake.
fn written(body: Result<Vec<u8>, serde_json::Error>) -> Result<Vec<u8>, ProtocolError> {
    body.map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        ErrorCode::InternalError.into()
    })
}
