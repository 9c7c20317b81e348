//! A change of an entity, from its request to its answer: insert, update, merge, their upserts, delete.

use http::{HeaderMap, Response, StatusCode, header};
use welkin_base::Timestamp;
use welkin_storage::table::Change;
use welkin_storage_wire::operation::TableResource;
use welkin_storage_wire::table::answer::{Place, entity_body};
use welkin_storage_wire::table::entity::{BODY_BYTES_MAX, EntityBody};
use welkin_storage_wire::table::etag::{Condition, etag};
use welkin_storage_wire::table::{Entity, EntityKey};
use welkin_storage_wire::{ErrorCode, ProtocolError, RequestHead, TableOperation};

use super::{Answer, Wanted, bare, check_json, endpoint, json, made, permitted, told, written};
use crate::answer::set;
use crate::context::{Context, RequestBody};

/// A change that a request asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) table: String,
    pub(super) key: EntityKey,
    pub(super) change: Change,
    /// What an insert wants in its answer.
    wanted: Option<Wanted>,
}

/// Makes the one change that a request asks for.
pub(super) async fn handle(
    context: &Context,
    operation: TableOperation,
    resource: &TableResource,
    body: &mut RequestBody,
) -> Answer {
    let bytes = match operation {
        TableOperation::DeleteEntity => bytes::Bytes::new(),
        _ => {
            check_json(&context.head)?;
            body.whole(BODY_BYTES_MAX).await?
        }
    };
    let asked = Asked::of(&context.head, operation, resource, &bytes)?;
    permitted::check(context, &asked.key)?;
    let (account, now) = (context.account.uid, context.now);
    let changed = context.storage.change_entity(account, &asked.table, &asked.key, asked.change.clone(), now);
    let timestamp = changed.await.map_err(|error| told(&error))?;
    asked.answer(context, &context.head, timestamp)
}

impl Asked {
    /// Reads a request, be it alone or in a batch.
    pub(super) fn of(
        head: &RequestHead,
        operation: TableOperation,
        resource: &TableResource,
        body: &[u8],
    ) -> Result<Self, ProtocolError> {
        match resource {
            TableResource::Table(table) if operation == TableOperation::InsertEntity => {
                Self::insert(head, table, body)
            }
            TableResource::Entity { table, keys } => Self::of_one(head, operation, table, keys, body),
            _ => Err(ErrorCode::InvalidUri.into()),
        }
    }

    fn insert(head: &RequestHead, table: &str, body: &[u8]) -> Result<Self, ProtocolError> {
        let wanted = Some(Wanted::of(head)?);
        if head.headers.contains_key(header::IF_MATCH) {
            return Err(refused("If-Match cannot be specified for an insert."));
        }
        check_json(head)?;
        let body = EntityBody::parse(body)?;
        let key = body.key()?;
        Ok(Self { table: table.to_owned(), key, change: Change::Insert(body.properties), wanted })
    }

    /// A change of the entity that the URL names.
    fn of_one(
        head: &RequestHead,
        operation: TableOperation,
        table: &str,
        keys: &str,
        body: &[u8],
    ) -> Result<Self, ProtocolError> {
        use TableOperation as Op;
        let key = EntityKey::parse(keys)?;
        let condition = condition(head)?;
        let change = match operation {
            Op::DeleteEntity => {
                Change::Delete(condition.ok_or_else(|| ProtocolError::missing_header("If-Match"))?)
            }
            Op::UpdateEntity | Op::InsertOrReplaceEntity => {
                Change::Replace(condition, entity(head, &key, body)?.properties)
            }
            Op::MergeEntity | Op::InsertOrMergeEntity => {
                Change::Merge(condition, entity(head, &key, body)?.properties)
            }
            _ => return Err(ErrorCode::NotImplemented.into()),
        };
        Ok(Self { table: table.to_owned(), key, change, wanted: None })
    }

    /// The answer to the change, once it is made. `head` is that of its request.
    pub(super) fn answer(
        self,
        context: &Context,
        head: &RequestHead,
        timestamp: Option<Timestamp>,
    ) -> Answer {
        let endpoint = endpoint(context);
        let place = Place { account: context.account.name.as_str(), endpoint: &endpoint, table: &self.table };
        let mut response = match (self.wanted, self.change) {
            (Some(wanted), Change::Insert(properties)) => {
                let timestamp = timestamp.unwrap_or(context.now);
                inserted(head, &place, wanted, &Entity { key: self.key, timestamp, properties })?
            }
            _ => bare(StatusCode::NO_CONTENT),
        };
        if let Some(timestamp) = timestamp {
            set(&mut response, "etag", &etag(timestamp));
        }
        Ok(response)
    }
}

fn inserted(head: &RequestHead, place: &Place<'_>, wanted: Wanted, entity: &Entity) -> Answer {
    let mut response: Response<Vec<u8>> = match wanted {
        Wanted::NoContent => bare(StatusCode::NO_CONTENT),
        Wanted::Content(level) => {
            json(StatusCode::CREATED, level, written(entity_body(entity, None, level, place))?)
        }
    };
    made(&mut response, head, &place.entity_url(entity), wanted);
    Ok(response)
}

/// The condition of a change of an entity ("Table service error codes").
fn condition(head: &RequestHead) -> Result<Option<Condition>, ProtocolError> {
    let given = |headers: &HeaderMap, name| headers.contains_key(name);
    if given(&head.headers, header::IF_NONE_MATCH) {
        return Err(refused("If-None-Match HTTP header cannot be specified for changes of an entity."));
    }
    if head.headers.get_all(header::IF_MATCH).iter().count() > 1 {
        return Err(refused("Please make sure only one etag value is specified."));
    }
    head.header("if-match")?.map(Condition::parse).transpose()
}

/// Reads the body of a change of the entity that the URL names. Keys in the body must be those of the URL.
fn entity(head: &RequestHead, key: &EntityKey, body: &[u8]) -> Result<EntityBody, ProtocolError> {
    check_json(head)?;
    let entity = EntityBody::parse(body)?;
    let differs = |given: &Option<String>, own: &str| given.as_deref().is_some_and(|given| given != own);
    if differs(&entity.partition_key, &key.partition) || differs(&entity.row_key, &key.row) {
        return Err(refused("The keys in the body are not those of the URL."));
    }
    Ok(entity)
}

fn refused(why: &str) -> ProtocolError {
    ProtocolError::saying(ErrorCode::InvalidInput, format!("One of the request inputs is not valid: {why}"))
}
