//! Entities: rows of a table, found by partition key and row key.

use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, IF_MATCH};
use http::{Method, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use welkin_storage_wire::Service;

use crate::account::{Call, StorageAccount};
use crate::error::{StorageError, exists_is_fine};

const JSON: &str = "application/json";
const JSON_PLAIN: &str = "application/json;odata=nometadata";
const DATA_VERSION: HeaderName = HeaderName::from_static("dataserviceversion");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// A table of entities. An entity is any type that serializes to a JSON object with the strings
/// `PartitionKey` and `RowKey`.
#[derive(Debug, Clone)]
pub struct Table {
    account: StorageAccount,
    name: String,
}

/// One page of a query's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entities, by partition key and row key.
    pub entities: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<(String, String)>,
}

impl Table {
    pub(crate) fn new(account: StorageAccount, name: &str) -> Self {
        Self { account, name: name.to_owned() }
    }

    /// Creates the table unless it exists.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn create_if_missing(&self) -> Result<(), StorageError> {
        let body = json!({ "TableName": self.name }).to_string();
        exists_is_fine(self.call(Method::POST, "Tables".to_owned(), Some(&body), None).map(drop))
    }

    /// Inserts a new entity.
    ///
    /// # Errors
    /// See [`StorageError`]; a conflict when there is one with these keys.
    pub fn insert<T: Serialize>(&self, entity: &T) -> Result<(), StorageError> {
        let body = serde_json::to_string(entity).map_err(|e| StorageError::Request(e.to_string()))?;
        self.call(Method::POST, self.name.clone(), Some(&body), None).map(drop)
    }

    /// Changes the properties that `changes` holds, of an entity that exists, whatever its ETag.
    ///
    /// # Errors
    /// See [`StorageError`]; not found when there is none with these keys.
    pub fn merge<T: Serialize>(&self, partition: &str, row: &str, changes: &T) -> Result<(), StorageError> {
        let body = serde_json::to_string(changes).map_err(|e| StorageError::Request(e.to_string()))?;
        self.call(Method::PATCH, self.key(partition, row), Some(&body), Some("*")).map(drop)
    }

    /// Reads an entity.
    ///
    /// # Errors
    /// See [`StorageError`]; not found when there is none with these keys.
    pub fn get<T: DeserializeOwned>(&self, partition: &str, row: &str) -> Result<T, StorageError> {
        read(self.call(Method::GET, self.key(partition, row), None, None)?.body())
    }

    /// Deletes an entity, whatever its ETag.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn delete(&self, partition: &str, row: &str) -> Result<(), StorageError> {
        self.call(Method::DELETE, self.key(partition, row), None, Some("*")).map(drop)
    }

    /// The first `top` entities that match an OData filter, such as `PartitionKey eq 'a'`. A page may be shorter
    /// and still have a next one.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn query<T: DeserializeOwned>(
        &self,
        filter: &str,
        top: u32,
        from: Option<&(String, String)>,
    ) -> Result<Page<T>, StorageError> {
        let filter = utf8_percent_encode(filter, NON_ALPHANUMERIC);
        let mut path = format!("{}()?$filter={filter}&$top={top}", self.name);
        if let Some((partition, row)) = from {
            let (partition, row) = (escape(partition), escape(row));
            path.push_str(&format!("&NextPartitionKey={partition}&NextRowKey={row}"));
        }
        let answer = self.call(Method::GET, path, None, None)?;
        let header =
            |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let next = header("x-ms-continuation-NextPartitionKey");
        let next =
            next.map(|partition| (partition, header("x-ms-continuation-NextRowKey").unwrap_or_default()));
        let mut list: serde_json::Value = read(answer.body())?;
        let entities = serde_json::from_value(list["value"].take())
            .map_err(|e| StorageError::Malformed(e.to_string()))?;
        Ok(Page { entities, next })
    }

    fn key(&self, partition: &str, row: &str) -> String {
        // A quote inside a string of OData is written twice.
        let quoted = |key: &str| escape(&key.replace('\'', "''"));
        format!("{}(PartitionKey='{}',RowKey='{}')", self.name, quoted(partition), quoted(row))
    }

    fn call(
        &self,
        method: Method,
        path: String,
        body: Option<&str>,
        etag: Option<&str>,
    ) -> Result<Response<Vec<u8>>, StorageError> {
        let mut headers = vec![(ACCEPT, JSON_PLAIN.to_owned()), (DATA_VERSION, "3.0".to_owned())];
        if body.is_some() {
            headers.extend([(CONTENT_TYPE, JSON.to_owned()), (PREFER, "return-no-content".to_owned())]);
        }
        headers.extend(etag.map(|etag| (IF_MATCH, etag.to_owned())));
        self.account.send(Call {
            service: Service::Table,
            method,
            path,
            headers,
            body: body.map(str::as_bytes),
        })
    }
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, StorageError> {
    serde_json::from_slice(body).map_err(|e| StorageError::Malformed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_quoted() {
        let account = StorageAccount::from_connection_string("UseDevelopmentStorage=true").unwrap();
        let table = account.table("Entries");
        let check = |partition, row, expected| assert_eq!(table.key(partition, row), expected);
        check("a", "b1", "Entries(PartitionKey='a',RowKey='b1')");
        check("it's", "a b/c", "Entries(PartitionKey='it%27%27s',RowKey='a%20b%2Fc')");
    }
}
