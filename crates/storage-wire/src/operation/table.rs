//! Every operation of the table service, and the way from a request to it (STORAGE, section 7).

use http::Method;

use crate::error::{ErrorCode, ProtocolError};
use crate::operation::{operations, wrong_query, wrong_verb};
use crate::request::RequestHead;

operations! {
    /// An operation of the table service.
    TableOperation, Table;
    // variant, name, built, resource, account SAS, service SAS, anonymous, effect
    QueryTables, "Query Tables", Built, Container, "l", "", Never, Reads;
    CreateTable, "Create Table", Built, Container, "cw", "", Never, Writes;
    DeleteTable, "Delete Table", Built, Container, "d", "", Never, Writes;
    GetTableAcl, "Get Table ACL", Built, Container, "", "", Never, Reads;
    SetTableAcl, "Set Table ACL", Built, Container, "", "", Never, Writes;
    GetTableServiceProperties, "Get Table Service Properties", Built, Service, "r", "", Never, Reads;
    SetTableServiceProperties, "Set Table Service Properties", Built, Service, "w", "", Never, Writes;
    GetTableServiceStats, "Get Table Service Stats", Built, Service, "r", "", Never, Reads;
    PreflightTableRequest, "Preflight Table Request", Built, Service, "", "", Always, Reads;
    QueryEntities, "Query Entities", Built, Object, "r", "r", Never, Reads;
    GetEntity, "Get Entity", Built, Object, "r", "r", Never, Reads;
    InsertEntity, "Insert Entity", Built, Object, "a", "a", Never, Writes;
    UpdateEntity, "Update Entity", Built, Object, "u", "u", Never, Writes;
    MergeEntity, "Merge Entity", Built, Object, "u", "u", Never, Writes;
    InsertOrReplaceEntity, "Insert Or Replace Entity", Built, Object, "u", "u", Never, Writes;
    InsertOrMergeEntity, "Insert Or Merge Entity", Built, Object, "u", "u", Never, Writes;
    DeleteEntity, "Delete Entity", Built, Object, "d", "d", Never, Writes;
    EntityGroupTransaction, "Entity Group Transaction", Built, Object, "audr", "audr", Never, Writes;
}

/// What a path of the table service names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableResource {
    /// The account itself.
    Account,
    /// The collection of tables: `/Tables`.
    Tables,
    /// One table as a member of that collection: `/Tables('name')`.
    TableEntry(String),
    /// A table's entities: `/name` or `/name()`.
    Table(String),
    /// One entity: `/name(PartitionKey='p',RowKey='r')`.
    Entity {
        /// The table.
        table: String,
        /// What the parentheses hold, decoded and not yet parsed.
        keys: String,
    },
    /// The batch endpoint: `/$batch`.
    Batch,
}

impl TableResource {
    /// The resource that a request's path names.
    ///
    /// # Errors
    /// When the path names nothing that the service has.
    pub fn of(head: &RequestHead) -> Result<Self, ProtocolError> {
        let path = head.resource_path()?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        match path {
            "" => return Ok(Self::Account),
            "$batch" => return Ok(Self::Batch),
            "Tables" | "Tables()" => return Ok(Self::Tables),
            _ => {}
        }
        let Some((name, rest)) = path.split_once('(') else {
            return table_name(path).map(Self::Table);
        };
        let Some(keys) = rest.strip_suffix(')') else {
            return Err(ErrorCode::InvalidUri.into());
        };
        match (name, keys) {
            ("Tables", key) => quoted(key).map(Self::TableEntry),
            (name, "") => table_name(name).map(Self::Table),
            (name, keys) => Ok(Self::Entity { table: table_name(name)?, keys: keys.to_owned() }),
        }
    }
}

fn table_name(text: &str) -> Result<String, ProtocolError> {
    if text.contains('/') { Err(ErrorCode::InvalidUri.into()) } else { Ok(text.to_owned()) }
}

/// Takes an OData text literal: in single quotes, with quotes inside doubled.
fn quoted(text: &str) -> Result<String, ProtocolError> {
    let inner = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
    inner.map(|t| t.replace("''", "'")).ok_or_else(|| ErrorCode::InvalidUri.into())
}

pub(super) fn route(head: &RequestHead) -> Result<TableOperation, ProtocolError> {
    use TableOperation as Op;
    if head.method == Method::OPTIONS {
        return Ok(Op::PreflightTableRequest);
    }
    let comp = head.query.get("comp");
    let resource = TableResource::of(head)?;
    let method = method_of(head)?;
    match (&resource, method, comp) {
        (TableResource::Account, "GET", Some("properties")) => Ok(Op::GetTableServiceProperties),
        (TableResource::Account, "PUT", Some("properties")) => Ok(Op::SetTableServiceProperties),
        (TableResource::Account, "GET", Some("stats")) => Ok(Op::GetTableServiceStats),
        (TableResource::Account, ..) => Err(wrong_query(head)),
        (TableResource::Tables | TableResource::TableEntry(_), "GET", _) => Ok(Op::QueryTables),
        (TableResource::Tables, "POST", _) => Ok(Op::CreateTable),
        (TableResource::TableEntry(_), "DELETE", _) => Ok(Op::DeleteTable),
        (TableResource::Table(_), "GET" | "HEAD", Some("acl")) => Ok(Op::GetTableAcl),
        (TableResource::Table(_), "PUT", Some("acl")) => Ok(Op::SetTableAcl),
        (TableResource::Table(_), _, Some(_)) => Err(wrong_query(head)),
        (TableResource::Table(_), "GET", None) => Ok(Op::QueryEntities),
        (TableResource::Table(_), "POST", None) => Ok(Op::InsertEntity),
        (TableResource::Entity { .. }, method, _) => route_entity(head, method),
        (TableResource::Batch, "POST", _) => Ok(Op::EntityGroupTransaction),
        _ => Err(wrong_verb()),
    }
}

fn route_entity(head: &RequestHead, method: &str) -> Result<TableOperation, ProtocolError> {
    use TableOperation as Op;
    let conditional = head.headers.contains_key(http::header::IF_MATCH);
    match method {
        "GET" => Ok(Op::GetEntity),
        "PUT" if conditional => Ok(Op::UpdateEntity),
        "PUT" => Ok(Op::InsertOrReplaceEntity),
        "MERGE" | "PATCH" if conditional => Ok(Op::MergeEntity),
        "MERGE" | "PATCH" => Ok(Op::InsertOrMergeEntity),
        "DELETE" => Ok(Op::DeleteEntity),
        _ => Err(wrong_verb()),
    }
}

/// The method, which `X-HTTP-Method` of a POST may replace.
fn method_of(head: &RequestHead) -> Result<&str, ProtocolError> {
    let mut tunneled = head.headers.get_all("x-http-method").iter();
    match (tunneled.next(), tunneled.next()) {
        (None, _) => Ok(head.method.as_str()),
        (Some(_), Some(_)) => Err(ErrorCode::XMethodIncorrectCount.into()),
        (Some(_), None) if head.method != Method::POST => Err(ErrorCode::XMethodNotUsingPost.into()),
        (Some(value), None) => match value.to_str() {
            Ok(method @ ("MERGE" | "PATCH" | "PUT" | "DELETE")) => Ok(method),
            _ => Err(ErrorCode::XMethodIncorrectValue.into()),
        },
    }
}
