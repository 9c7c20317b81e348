//! Messages: work that one role leaves for another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use welkin_storage_wire::Service;

use crate::account::{Call, StorageAccount};
use crate::error::{StorageError, exists_is_fine};

/// A queue of messages.
#[derive(Debug, Clone)]
pub struct Queue {
    account: StorageAccount,
    name: String,
}

/// A message that was got: nobody else sees it until its visibility timeout ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Proves, for a delete, that this reader got it last.
    pub pop_receipt: String,
    /// Times that it was got, this one included.
    pub dequeue_count: u32,
    /// What was put.
    pub text: String,
}

impl Queue {
    pub(crate) fn new(account: StorageAccount, name: &str) -> Self {
        Self { account, name: name.to_owned() }
    }

    /// Creates the queue unless it exists.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn create_if_missing(&self) -> Result<(), StorageError> {
        exists_is_fine(self.call(Method::PUT, self.name.clone(), Some(b"")).map(drop))
    }

    /// Puts a message at the end.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn put(&self, text: &str) -> Result<(), StorageError> {
        // Base64, as the protocol's other clients write by default: XML cannot hold every character.
        let body =
            format!("<QueueMessage><MessageText>{}</MessageText></QueueMessage>", STANDARD.encode(text));
        self.call(Method::POST, format!("{}/messages", self.name), Some(body.as_bytes())).map(drop)
    }

    /// Gets the first visible message and hides it from others for a while.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn get(&self, visibility_timeout_seconds: u32) -> Result<Option<Message>, StorageError> {
        let path =
            format!("{}/messages?numofmessages=1&visibilitytimeout={visibility_timeout_seconds}", self.name);
        read_message(self.call(Method::GET, path, None)?.body())
    }

    /// Deletes a message that was got and is done with.
    ///
    /// # Errors
    /// See [`StorageError`]; not found when another reader got it meanwhile.
    pub fn delete(&self, message: &Message) -> Result<(), StorageError> {
        let receipt = utf8_percent_encode(&message.pop_receipt, NON_ALPHANUMERIC);
        let path = format!("{}/messages/{}?popreceipt={receipt}", self.name, message.id);
        self.call(Method::DELETE, path, None).map(drop)
    }

    fn call(
        &self,
        method: Method,
        path: String,
        body: Option<&[u8]>,
    ) -> Result<Response<Vec<u8>>, StorageError> {
        self.account.send(Call { service: Service::Queue, method, path, headers: vec![], body })
    }
}

fn read_message(body: &[u8]) -> Result<Option<Message>, StorageError> {
    let malformed = |error: String| StorageError::Malformed(error);
    let text = std::str::from_utf8(body).map_err(|e| malformed(e.to_string()))?;
    let document = roxmltree::Document::parse(text.trim_start_matches('\u{feff}'))
        .map_err(|e| malformed(e.to_string()))?;
    let Some(node) = document.descendants().find(|node| node.has_tag_name("QueueMessage")) else {
        return Ok(None);
    };
    let field = |name: &str| {
        let child = node.children().find(|child| child.has_tag_name(name));
        let text = child.and_then(|child| child.text());
        text.map(str::to_owned).ok_or_else(|| malformed(format!("a message without {name}")))
    };
    let text = field("MessageText").unwrap_or_default();
    // Another client may have put plain text.
    let decoded = STANDARD.decode(&text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(Some(Message {
        id: field("MessageId")?,
        pop_receipt: field("PopReceipt")?,
        dequeue_count: field("DequeueCount")?.parse().map_err(|_| malformed("a DequeueCount".to_owned()))?,
        text: decoded.unwrap_or(text),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        let message = |text: &str| {
            format!(
                "<QueueMessagesList><QueueMessage><MessageId>m</MessageId><PopReceipt>r+1=</PopReceipt>\
                 <DequeueCount>2</DequeueCount><MessageText>{text}</MessageText></QueueMessage></QueueMessagesList>"
            )
        };
        let check = |body: &str, expected: Option<&str>| {
            let read = read_message(body.as_bytes()).unwrap();
            assert_eq!(read.as_ref().map(|message| message.text.as_str()), expected);
            assert!(
                read.is_none_or(|m| (m.id, m.pop_receipt, m.dequeue_count) == ("m".into(), "r+1=".into(), 2))
            );
        };
        check("<QueueMessagesList />", None);
        check(&message("aGVsbG8="), Some("hello"));
        check(&message("plain text"), Some("plain text"));
        check(&message(""), Some(""));
        assert!(read_message(b"<QueueMessage><MessageId>m</MessageId></QueueMessage>").is_err());
    }
}
