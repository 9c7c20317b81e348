//! Reading entities: Query Entities and Get Entity.

use http::StatusCode;
use welkin_storage_wire::operation::TableResource;
use welkin_storage_wire::table::answer::{Place, entities_body, entity_body};
use welkin_storage_wire::table::etag::etag;
use welkin_storage_wire::table::{Continuation, EntityKey, Filter, Query};
use welkin_storage_wire::{ErrorCode, ProtocolError};

use super::{Answer, endpoint, json, level, permitted, told, written};
use crate::answer::set;
use crate::context::Context;

/// Query Entities or Get Entity, by what the URL names.
pub(super) async fn read(context: &Context, resource: &TableResource) -> Answer {
    match resource {
        TableResource::Table(table) => query(context, table).await,
        TableResource::Entity { table, keys } => get(context, table, &EntityKey::parse(keys)?).await,
        _ => Err(ProtocolError::from(ErrorCode::InvalidUri)),
    }
}

async fn query(context: &Context, table: &str) -> Answer {
    let level = level(&context.head)?;
    let mut asked = Query::of(&context.head.query)?;
    if let Some(permitted) = permitted::filter(context) {
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

async fn get(context: &Context, table: &str, key: &EntityKey) -> Answer {
    permitted::check(context, key)?;
    let level = level(&context.head)?;
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
