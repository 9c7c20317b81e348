//! The answer of a query: an Avro object container of four kinds of records.

use std::io::{self, Write};

use apache_avro::schema::UnionSchema;
use apache_avro::types::Value;
use apache_avro::{AvroResult, Schema};

/// The kinds of records, as clients know them.
const SCHEMA: &str = r#"[
  {"type":"record","name":"com.microsoft.azure.storage.queryBlobContents.resultData",
   "fields":[{"name":"data","type":"bytes"}]},
  {"type":"record","name":"com.microsoft.azure.storage.queryBlobContents.error",
   "fields":[{"name":"fatal","type":"boolean"},{"name":"name","type":"string"},
             {"name":"description","type":"string"},{"name":"position","type":"long"}]},
  {"type":"record","name":"com.microsoft.azure.storage.queryBlobContents.progress",
   "fields":[{"name":"bytesScanned","type":"long"},{"name":"totalBytes","type":"long"}]},
  {"type":"record","name":"com.microsoft.azure.storage.queryBlobContents.end",
   "fields":[{"name":"totalBytes","type":"long"}]}
]"#;

/// A record of the answer.
#[derive(Debug)]
pub(super) enum Frame {
    Data(Vec<u8>),
    Error { name: String, description: String, position: u64 },
    Progress { scanned_bytes: u64, total_bytes: u64 },
    End { total_bytes: u64 },
}

/// Understands the schema.
pub(super) fn schema() -> io::Result<Schema> {
    Schema::parse_str(SCHEMA).and_then(with_names_in_full).map_err(io::Error::other)
}

/// The library writes a name in two parts, its namespace first. The official client for JavaScript looks at the name
/// alone and wants all of it there, as the service of Azure has it.
fn with_names_in_full(schema: Schema) -> AvroResult<Schema> {
    let Schema::Union(union) = &schema else { return Ok(schema) };
    let mut kinds = union.variants().to_vec();
    for kind in &mut kinds {
        if let Schema::Record(record) = kind {
            record.name.name = record.name.fullname(None);
            record.name.namespace = None;
        }
    }
    UnionSchema::new(kinds).map(Schema::Union)
}

/// Writes frames, each to be read as soon as it is written.
pub(super) struct FrameWriter<'a, W: Write> {
    writer: apache_avro::Writer<'a, W>,
}

impl<'a, W: Write> FrameWriter<'a, W> {
    pub(super) fn new(schema: &'a Schema, inner: W) -> Self {
        Self { writer: apache_avro::Writer::new(schema, inner) }
    }

    pub(super) fn write(&mut self, frame: Frame) -> io::Result<()> {
        let long = |number: u64| Value::Long(i64::try_from(number).unwrap_or(i64::MAX));
        let (index, fields) = match frame {
            Frame::Data(bytes) => (0, vec![("data", Value::Bytes(bytes))]),
            Frame::Error { name, description, position } => (
                1,
                vec![
                    ("fatal", Value::Boolean(true)),
                    ("name", Value::String(name)),
                    ("description", Value::String(description)),
                    ("position", long(position)),
                ],
            ),
            Frame::Progress { scanned_bytes, total_bytes } => {
                (2, vec![("bytesScanned", long(scanned_bytes)), ("totalBytes", long(total_bytes))])
            }
            Frame::End { total_bytes } => (3, vec![("totalBytes", long(total_bytes))]),
        };
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let value = Value::Union(index, Box::new(Value::Record(fields)));
        self.writer.append(value).map_err(io::Error::other)?;
        self.writer.flush().map(|_| ()).map_err(io::Error::other)
    }
}
