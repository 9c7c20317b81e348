//! Entities: query, get, insert, update, merge, delete.

use http::{Response, StatusCode};
use welkin_base::Timestamp;
use welkin_storage::table::Change;
use welkin_storage_wire::sas;
use welkin_storage_wire::table::answer::{Place, entities_body, entity_body};
use welkin_storage_wire::table::entity::{BODY_BYTES_MAX, EntityBody};
use welkin_storage_wire::table::etag::{Condition, etag};
use welkin_storage_wire::table::filter::{Comparison, Operand};
use welkin_storage_wire::table::{Continuation, Entity, EntityKey, Filter, Query, Value, ValueRef};
use welkin_storage_wire::{ErrorCode, ProtocolError, TableOperation};
use welkin_transport::Body;

use super::{Wanted, bare, endpoint, json, json_body, level, made, told, written};
use crate::answer::set;
use crate::context::{Authorization, Context, RequestBody};

/// Query Entities.
pub(super) async fn query(context: &Context, table: &str) -> Result<Response<Body>, ProtocolError> {
    let level = level(context)?;
    let mut asked = Query::of(&context.head.query)?;
    if let Some(permitted) = permitted(context) {
        asked.filter = Some(match asked.filter {
            Some(filter) => Filter::And(vec![filter, permitted]),
            None => permitted,
        });
    }
    let from = Continuation::of(&context.head.query)?;
    let account = context.account.uid;
    let page =
        context.storage.query_entities(account, table, asked.filter.as_ref(), from.as_ref(), asked.rows_max);
    let page = page.await.map_err(|error| told(&error))?;
    let endpoint = endpoint(context);
    let place = Place { account: context.account.name.as_str(), endpoint: &endpoint, table };
    let body = written(entities_body(&page.entities, asked.select.as_deref(), level, &place))?;
    let mut response = json(StatusCode::OK, level, body);
    if let Some(next) = page.next {
        let (partition, row) = next.to_headers();
        set(&mut response, "x-ms-continuation-nextpartitionkey", &partition);
        if let Some(row) = row {
            set(&mut response, "x-ms-continuation-nextrowkey", &row);
        }
    }
    Ok(response)
}

/// Insert Entity.
pub(super) async fn insert(
    context: &Context,
    table: &str,
    body: &mut RequestBody,
) -> Result<Response<Body>, ProtocolError> {
    let wanted = Wanted::of(context)?;
    let body = EntityBody::parse(&json_body(context, body, BODY_BYTES_MAX).await?)?;
    let key = body.key()?;
    check_permitted(context, &key)?;
    let change = Change::Insert(body.properties.clone());
    let timestamp = change_one(context, table, &key, change).await?.unwrap_or(context.now);
    let entity = Entity { key, timestamp, properties: body.properties };
    let endpoint = endpoint(context);
    let place = Place { account: context.account.name.as_str(), endpoint: &endpoint, table };
    let mut response = match wanted {
        Wanted::NoContent => bare(StatusCode::NO_CONTENT),
        Wanted::Content(level) => {
            json(StatusCode::CREATED, level, written(entity_body(&entity, None, level, &place))?)
        }
    };
    made(&mut response, context, &place.entity_url(&entity), wanted);
    set(&mut response, "etag", &etag(timestamp));
    Ok(response)
}

/// An operation on the entity that the URL names.
pub(super) async fn one(
    context: &Context,
    operation: TableOperation,
    table: &str,
    keys: &str,
    body: &mut RequestBody,
) -> Result<Response<Body>, ProtocolError> {
    use TableOperation as Op;
    let key = EntityKey::parse(keys)?;
    check_permitted(context, &key)?;
    let condition = context.head.header("if-match")?.map(Condition::parse).transpose()?;
    let change = match operation {
        Op::GetEntity => return get(context, table, &key).await,
        Op::DeleteEntity => {
            Change::Delete(condition.ok_or_else(|| ProtocolError::missing_header("If-Match"))?)
        }
        Op::UpdateEntity | Op::InsertOrReplaceEntity => {
            Change::Replace(condition, entity(context, body, &key).await?.properties)
        }
        Op::MergeEntity | Op::InsertOrMergeEntity => {
            Change::Merge(condition, entity(context, body, &key).await?.properties)
        }
        _ => return Err(ErrorCode::NotImplemented.into()),
    };
    let timestamp = change_one(context, table, &key, change).await?;
    let mut response = bare(StatusCode::NO_CONTENT);
    if let Some(timestamp) = timestamp {
        set(&mut response, "etag", &etag(timestamp));
    }
    Ok(response)
}

/// Get Entity.
async fn get(context: &Context, table: &str, key: &EntityKey) -> Result<Response<Body>, ProtocolError> {
    let level = level(context)?;
    let select = Query::of(&context.head.query)?.select;
    let entity =
        context.storage.entity(context.account.uid, table, key).await.map_err(|error| told(&error))?;
    let endpoint = endpoint(context);
    let place = Place { account: context.account.name.as_str(), endpoint: &endpoint, table };
    let body = written(entity_body(&entity, select.as_deref(), level, &place))?;
    let mut response = json(StatusCode::OK, level, body);
    set(&mut response, "etag", &etag(entity.timestamp));
    Ok(response)
}

/// Reads the body of a change of the entity that the URL names. Keys in the body must be those of the URL.
async fn entity(
    context: &Context,
    body: &mut RequestBody,
    key: &EntityKey,
) -> Result<EntityBody, ProtocolError> {
    let entity = EntityBody::parse(&json_body(context, body, BODY_BYTES_MAX).await?)?;
    let differs = |given: &Option<String>, own: &str| given.as_deref().is_some_and(|given| given != own);
    if differs(&entity.partition_key, &key.partition) || differs(&entity.row_key, &key.row) {
        let why = "One of the request inputs is not valid: the keys in the body are not those of the URL.";
        return Err(ProtocolError::saying(ErrorCode::InvalidInput, why));
    }
    Ok(entity)
}

async fn change_one(
    context: &Context,
    table: &str,
    key: &EntityKey,
    change: Change,
) -> Result<Option<Timestamp>, ProtocolError> {
    let changed = context.storage.change_entity(context.account.uid, table, key, change, context.now).await;
    changed.map_err(|error| told(&error))
}

/// Refuses an entity outside of what a shared access signature permits.
pub(super) fn check_permitted(context: &Context, key: &EntityKey) -> Result<(), ProtocolError> {
    let property = |name: &str| match name {
        "PartitionKey" => Some(ValueRef::String(&key.partition)),
        "RowKey" => Some(ValueRef::String(&key.row)),
        _ => None,
    };
    match permitted(context) {
        Some(filter) if !filter.matches(&property) => Err(ErrorCode::AuthorizationPermissionMismatch.into()),
        _ => Ok(()),
    }
}

/// The entities that a shared access signature permits, as a filter; `None` is all.
fn permitted(context: &Context) -> Option<Filter> {
    let Authorization::Sas { key_range, .. } = &context.authorization else { return None };
    let sas::KeyRange { start_partition, start_row, end_partition, end_row } = key_range;
    let start =
        start_partition.as_ref().map(|key| bound(key, start_row.as_deref(), Comparison::Gt, Comparison::Ge));
    let end =
        end_partition.as_ref().map(|key| bound(key, end_row.as_deref(), Comparison::Lt, Comparison::Le));
    match (start, end) {
        (Some(start), Some(end)) => Some(Filter::And(vec![start, end])),
        (start, end) => start.or(end),
    }
}

/// On the one side of a partition key, or in it and on that side of the row key.
fn bound(partition: &str, row: Option<&str>, beyond: Comparison, within: Comparison) -> Filter {
    let compare = |name: &str, comparison, text: &str| {
        Filter::Compare(
            Operand::Property(name.to_owned()),
            comparison,
            Operand::Constant(Value::String(text.to_owned())),
        )
    };
    match row {
        None => compare("PartitionKey", within, partition),
        Some(row) => Filter::Or(vec![
            compare("PartitionKey", beyond, partition),
            Filter::And(vec![
                compare("PartitionKey", Comparison::Eq, partition),
                compare("RowKey", within, row),
            ]),
        ]),
    }
}
