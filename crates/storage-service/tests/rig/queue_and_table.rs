//! A request for each operation of the queue and table services.

use welkin_storage_wire::operation::{QueueOperation, Service, TableOperation};

use super::Sample;

const KEY_INFO: &str = "<KeyInfo><Expiry>2030-01-01T00:00:00Z</Expiry></KeyInfo>";
const ORIGIN: [(&str, &str); 2] = [("origin", "http://a"), ("access-control-request-method", "GET")];
const MESSAGE: &str = "<QueueMessage><MessageText>text</MessageText></QueueMessage>";
const ENTITY: &str = "{\"PartitionKey\":\"p\",\"RowKey\":\"r\"}";
const JSON: [(&str, &str); 2] =
    [("content-type", "application/json"), ("accept", "application/json;odata=minimalmetadata")];

pub fn queue(operation: QueueOperation) -> Sample {
    use QueueOperation as Op;
    let of = |method: &str, target: &str, headers: &[(&str, &str)], body: &str| {
        Sample::new(Service::Queue, method, target, headers, body)
    };
    match operation {
        Op::ListQueues => of("GET", "/?comp=list", &[], ""),
        Op::GetQueueServiceProperties => of("GET", "/?restype=service&comp=properties", &[], ""),
        Op::SetQueueServiceProperties => {
            of("PUT", "/?restype=service&comp=properties", &[], "<StorageServiceProperties/>")
        }
        Op::GetQueueServiceStats => of("GET", "/?restype=service&comp=stats", &[], ""),
        Op::GetUserDelegationKey => of("POST", "/?restype=service&comp=userdelegationkey", &[], KEY_INFO),
        Op::PreflightQueueRequest => of("OPTIONS", "/queue", &ORIGIN, ""),
        Op::CreateQueue => of("PUT", "/made", &[], ""),
        Op::DeleteQueue => of("DELETE", "/none", &[], ""),
        Op::GetQueueMetadata => of("GET", "/queue?comp=metadata", &[], ""),
        Op::SetQueueMetadata => of("PUT", "/queue?comp=metadata", &[], ""),
        Op::GetQueueAcl => of("GET", "/queue?comp=acl", &[], ""),
        Op::SetQueueAcl => of("PUT", "/queue?comp=acl", &[], "<SignedIdentifiers/>"),
        Op::PutMessage => of("POST", "/queue/messages", &[], MESSAGE),
        Op::GetMessages => of("GET", "/queue/messages", &[], ""),
        Op::PeekMessages => of("GET", "/queue/messages?peekonly=true", &[], ""),
        Op::ClearMessages => of("DELETE", "/queue/messages", &[], ""),
        Op::UpdateMessage => of("PUT", "/queue/messages/id?popreceipt=AA&visibilitytimeout=1", &[], MESSAGE),
        Op::DeleteMessage => of("DELETE", "/queue/messages/id?popreceipt=AA", &[], ""),
    }
}

pub fn table(operation: TableOperation) -> Sample {
    use TableOperation as Op;
    let of = |method: &str, target: &str, headers: &[(&str, &str)], body: &str| {
        Sample::new(Service::Table, method, target, headers, body)
    };
    let entity = "/table(PartitionKey='p',RowKey='r')";
    let matched = [JSON[0], JSON[1], ("if-match", "*")];
    let batch = [("content-type", "multipart/mixed; boundary=b")];
    let parts = "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n\r\n\
        POST http://127.0.0.1/devstoreaccount1/table HTTP/1.1\r\nContent-Type: application/json\r\n\r\n\
        {\"PartitionKey\":\"p\",\"RowKey\":\"r\"}\r\n--c--\r\n\r\n--b--\r\n";
    match operation {
        Op::QueryTables => of("GET", "/Tables", &JSON, ""),
        Op::CreateTable => of("POST", "/Tables", &JSON, "{\"TableName\":\"made\"}"),
        Op::DeleteTable => of("DELETE", "/Tables('none')", &JSON, ""),
        Op::GetTableAcl => of("GET", "/table?comp=acl", &[], ""),
        Op::SetTableAcl => of("PUT", "/table?comp=acl", &[], "<SignedIdentifiers/>"),
        Op::GetTableServiceProperties => of("GET", "/?restype=service&comp=properties", &[], ""),
        Op::SetTableServiceProperties => {
            of("PUT", "/?restype=service&comp=properties", &[], "<StorageServiceProperties/>")
        }
        Op::GetTableServiceStats => of("GET", "/?restype=service&comp=stats", &[], ""),
        Op::PreflightTableRequest => of("OPTIONS", "/table", &ORIGIN, ""),
        Op::QueryEntities => of("GET", "/table()", &JSON, ""),
        Op::GetEntity => of("GET", entity, &JSON, ""),
        Op::InsertEntity => of("POST", "/table", &JSON, ENTITY),
        Op::UpdateEntity => of("PUT", entity, &matched, "{}"),
        Op::MergeEntity => of("MERGE", entity, &matched, "{}"),
        Op::InsertOrReplaceEntity => of("PUT", entity, &JSON, "{}"),
        Op::InsertOrMergeEntity => of("MERGE", entity, &JSON, "{}"),
        Op::DeleteEntity => of("DELETE", entity, &matched, ""),
        Op::EntityGroupTransaction => of("POST", "/$batch", &batch, parts),
    }
}
