//! What is said to etcd's gateway and what it answers: protocol buffers in their JSON form, where 64-bit numbers are
//! text, bytes are base64, and what is zero is left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes, base64 on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(de::Error::custom)
    }
}

/// A 64-bit number, text on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Int64(pub u64);

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        // A lease that is gone has -1 seconds left, or none.
        let number: i64 = text.parse().map_err(de::Error::custom)?;
        Ok(Self(u64::try_from(number).unwrap_or(0)))
    }
}

/// `RangeRequest`: one key, or those from it to `range_end`.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Range {
    pub key: Base64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_end: Option<Base64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Int64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Int64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keys_only: bool,
}

/// `PutRequest`.
#[derive(Debug, Serialize)]
pub(crate) struct Put {
    pub key: Base64,
    pub value: Base64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Int64>,
}

/// `DeleteRangeRequest` of one key.
#[derive(Debug, Serialize)]
pub(crate) struct Delete {
    pub key: Base64,
}

/// `RequestOp`.
#[derive(Debug, Serialize)]
pub(crate) enum Operation {
    #[serde(rename = "request_range")]
    Range(Range),
    #[serde(rename = "request_put")]
    Put(Put),
    #[serde(rename = "request_delete_range")]
    DeleteRange(Delete),
}

/// `Compare`.
#[derive(Debug, Serialize)]
pub(crate) struct Compare {
    pub key: Base64,
    pub result: CompareResult,
    #[serde(flatten)]
    pub with: With,
}

/// How the key's number must be to the given one.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum CompareResult {
    Equal,
    Greater,
}

/// What of the key is compared, and with what. A key that does not exist has zeros.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "target")]
pub(crate) enum With {
    /// The revision that made the key.
    #[serde(rename = "CREATE")]
    Create { create_revision: Int64 },
    /// The revision that wrote it last.
    #[serde(rename = "MOD")]
    Mod { mod_revision: Int64 },
}

/// `TxnRequest`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Txn {
    pub compare: Vec<Compare>,
    pub success: Vec<Operation>,
    pub failure: Vec<Operation>,
}

/// `ResponseHeader`, of which only the revision matters here.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Header {
    #[serde(default)]
    pub revision: Int64,
}

/// `KeyValue`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct KeyValue {
    #[serde(default)]
    pub key: Base64,
    #[serde(default)]
    pub value: Base64,
    #[serde(default)]
    pub create_revision: Int64,
    #[serde(default)]
    pub mod_revision: Int64,
    #[serde(default)]
    pub lease: Int64,
}

/// `RangeResponse`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RangeAnswer {
    #[serde(default)]
    pub header: Header,
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
}

/// `TxnResponse`.
#[derive(Debug, Deserialize)]
pub(crate) struct TxnAnswer {
    #[serde(default)]
    pub header: Header,
    #[serde(default)]
    pub succeeded: bool,
    #[serde(default)]
    pub responses: Vec<OperationAnswer>,
}

/// `ResponseOp`, of which only ranges matter here.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct OperationAnswer {
    #[serde(default)]
    pub response_range: RangeAnswer,
}

/// `LeaseGrantRequest`.
#[derive(Debug, Serialize)]
pub(crate) struct Grant {
    #[serde(rename = "TTL")]
    pub ttl_seconds: Int64,
}

/// `LeaseKeepAliveRequest` and `LeaseRevokeRequest`.
#[derive(Debug, Serialize)]
pub(crate) struct LeaseId {
    #[serde(rename = "ID")]
    pub id: Int64,
}

/// `LeaseGrantResponse` and `LeaseKeepAliveResponse`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct LeaseAnswer {
    #[serde(rename = "ID", default)]
    pub id: Int64,
    #[serde(rename = "TTL", default)]
    pub ttl_seconds: Int64,
}

/// An answer of a call that streams: one of its messages.
#[derive(Debug, Deserialize)]
pub(crate) struct Streamed<T> {
    pub result: T,
}

/// An answer that is not read.
#[derive(Debug, Deserialize)]
pub(crate) struct Nothing {}

/// What the gateway says of a failure.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    /// For people.
    #[serde(default)]
    pub error: String,
    /// The status of gRPC.
    #[serde(default)]
    pub code: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_as_the_gateway_reads_it() {
        let bytes = |text: &str| Base64(text.as_bytes().to_vec());
        let txn = Txn {
            compare: vec![
                Compare {
                    key: bytes("foo"),
                    result: CompareResult::Equal,
                    with: With::Mod { mod_revision: Int64(7) },
                },
                Compare {
                    key: bytes("foo"),
                    result: CompareResult::Greater,
                    with: With::Create { create_revision: Int64(0) },
                },
            ],
            success: vec![
                Operation::Put(Put { key: bytes("foo"), value: bytes("bar"), lease: None }),
                Operation::DeleteRange(Delete { key: bytes("foo") }),
            ],
            failure: vec![Operation::Range(Range { key: bytes("foo"), keys_only: true, ..Range::default() })],
        };
        let expected = r#"{"compare":[{"key":"Zm9v","result":"EQUAL","target":"MOD","mod_revision":"7"},"#
            .to_owned()
            + r#"{"key":"Zm9v","result":"GREATER","target":"CREATE","create_revision":"0"}],"#
            + r#""success":[{"request_put":{"key":"Zm9v","value":"YmFy"}},"#
            + r#"{"request_delete_range":{"key":"Zm9v"}}],"#
            + r#""failure":[{"request_range":{"key":"Zm9v","keys_only":true}}]}"#;
        assert_eq!(serde_json::to_string(&txn).unwrap(), expected);
    }

    #[test]
    fn answers_are_read_with_what_they_leave_out() {
        let answer: RangeAnswer = serde_json::from_str(
            r#"{"header":{"cluster_id":"6","revision":"4"},"kvs":[{"key":"Zm9v","mod_revision":"2"}],"count":"1"}"#,
        )
        .unwrap();
        assert_eq!((answer.header.revision.0, answer.kvs[0].mod_revision.0), (4, 2));
        assert_eq!((answer.kvs[0].key.0.as_slice(), answer.kvs[0].value.0.len()), (&b"foo"[..], 0));
        let gone: LeaseAnswer = serde_json::from_str(r#"{"ID":"5","TTL":"-1"}"#).unwrap();
        assert_eq!((gone.id.0, gone.ttl_seconds.0), (5, 0));
        assert!(serde_json::from_str::<Base64>("\"%\"").is_err());
    }
}
