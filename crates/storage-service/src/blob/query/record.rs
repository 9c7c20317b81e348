//! Records of a blob: read one after the other from delimited text or JSON, and written as either.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use welkin_storage_wire::blob::query::{Delimited, Format};

use super::value::Value;

/// The largest record; a quote that is never closed must not fill the memory.
const RECORD_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A record.
#[derive(Debug, Clone)]
pub(super) enum Record {
    /// Fields, with names where the first record had them.
    Fields { names: Option<Arc<Vec<String>>>, values: Vec<String> },
    /// A document.
    Document(serde_json::Value),
}

impl Record {
    /// A field by its names, from the outside in.
    pub(super) fn field(&self, path: &[String]) -> Value {
        match (self, path) {
            (Self::Fields { names, values }, [name]) => {
                let named = names.as_ref().and_then(|names| names.iter().position(|own| own == name));
                let index = named.or_else(|| number_of(name));
                let value = index.and_then(|index| values.get(index));
                value.map_or(Value::Null, |text| Value::Text(text.clone()))
            }
            (Self::Document(document), path) => {
                let found = path.iter().try_fold(document, |value, name| match value {
                    serde_json::Value::Object(fields) => fields.get(name),
                    serde_json::Value::Array(items) => items.get(number_of(name)?),
                    _ => None,
                });
                found.map_or(Value::Null, Value::of_json)
            }
            _ => Value::Null,
        }
    }

    /// All fields with their names.
    pub(super) fn all(&self) -> Vec<(String, Value)> {
        match self {
            Self::Fields { names, values } => {
                let name = |index: usize| {
                    let named = names.as_ref().and_then(|names| names.get(index).cloned());
                    named.unwrap_or_else(|| format!("_{}", index + 1))
                };
                let pair = |(index, text): (usize, &String)| (name(index), Value::Text(text.clone()));
                values.iter().enumerate().map(pair).collect()
            }
            Self::Document(serde_json::Value::Object(fields)) => {
                fields.iter().map(|(name, value)| (name.clone(), Value::of_json(value))).collect()
            }
            Self::Document(other) => vec![("_1".to_owned(), Value::of_json(other))],
        }
    }
}

/// `_1` is the first.
fn number_of(name: &str) -> Option<usize> {
    name.strip_prefix('_')?.parse::<usize>().ok()?.checked_sub(1)
}

/// Counts what was read, and fails when one record takes too much.
#[derive(Debug)]
struct Counted<R> {
    inner: R,
    count: Arc<Count>,
}

#[derive(Debug, Default)]
struct Count {
    read: AtomicU64,
    record_began: AtomicU64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let read = self.count.read.fetch_add(length as u64, Ordering::Relaxed) + length as u64;
        if read - self.count.record_began.load(Ordering::Relaxed) > RECORD_BYTES_MAX {
            return Err(io::Error::other(format!("a record has more than {RECORD_BYTES_MAX} bytes")));
        }
        Ok(length)
    }
}

enum Source<R> {
    Delimited { reader: Box<csv::Reader<Counted<R>>>, names: Option<Arc<Vec<String>>> },
    Json { reader: BufReader<Counted<R>>, separator: u8, line: Vec<u8> },
}

/// Reads records.
pub(super) struct Records<R> {
    source: Source<R>,
    count: Arc<Count>,
}

impl<R: Read> Records<R> {
    /// Begins to read; the names of fields are read at once.
    pub(super) fn new(format: &Format, inner: R) -> io::Result<Self> {
        let count = Arc::new(Count::default());
        let counted = Counted { inner, count: count.clone() };
        let source = match format {
            Format::Delimited(form) => {
                let mut reader = Box::new(csv_reader(form, counted));
                let names = match form.has_headers {
                    true => {
                        let names = reader.headers().map_err(io::Error::other)?;
                        Some(Arc::new(names.iter().map(str::to_owned).collect()))
                    }
                    false => None,
                };
                Source::Delimited { reader, names }
            }
            Format::Json { record_separator } => {
                // Of a carriage return and a line feed, JSON ignores the first.
                let separator = record_separator.bytes().last().unwrap_or(b'\n');
                Source::Json { reader: BufReader::new(counted), separator, line: Vec::new() }
            }
        };
        Ok(Self { source, count })
    }

    /// How many bytes were read.
    pub(super) fn scanned_bytes(&self) -> u64 {
        self.count.read.load(Ordering::Relaxed)
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        self.count.record_began.store(self.scanned_bytes(), Ordering::Relaxed);
        match &mut self.source {
            Source::Delimited { reader, names } => {
                let mut fields = csv::ByteRecord::new();
                if !reader.read_byte_record(&mut fields).map_err(io::Error::other)? {
                    return Ok(None);
                }
                let values = fields.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
                Ok(Some(Record::Fields { names: names.clone(), values }))
            }
            Source::Json { reader, separator, line } => loop {
                line.clear();
                if reader.read_until(*separator, line)? == 0 {
                    return Ok(None);
                }
                let text = line.strip_suffix(&[*separator]).unwrap_or(line).trim_ascii();
                if !text.is_empty() {
                    return serde_json::from_slice(text)
                        .map(Record::Document)
                        .map(Some)
                        .map_err(io::Error::from);
                }
            },
        }
    }
}

fn csv_reader<R: Read>(form: &Delimited, inner: R) -> csv::Reader<R> {
    let terminator = match form.record_separator.as_bytes() {
        // The library's CRLF takes a carriage return, a line feed, or both.
        [b'\n'] | [b'\r', b'\n'] => csv::Terminator::CRLF,
        [one, ..] => csv::Terminator::Any(*one),
        [] => csv::Terminator::CRLF,
    };
    csv::ReaderBuilder::new()
        .delimiter(form.column_separator)
        .quote(form.quote.unwrap_or(b'"'))
        .quoting(form.quote.is_some())
        .escape(form.escape)
        .double_quote(form.escape.is_none())
        .has_headers(form.has_headers)
        .terminator(terminator)
        .flexible(true)
        .from_reader(inner)
}

/// Writes records into pieces.
pub(super) struct Output {
    format: Format,
    buffer: Vec<u8>,
    headed: bool,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self { format, buffer: Vec::new(), headed: false }
    }

    /// Adds a record.
    pub(super) fn add(&mut self, fields: &[(String, Value)]) -> io::Result<()> {
        match &self.format {
            Format::Json { record_separator } => {
                let object: serde_json::Map<String, serde_json::Value> =
                    fields.iter().map(|(name, value)| (name.clone(), value.to_json())).collect();
                serde_json::to_writer(&mut self.buffer, &object)?;
                self.buffer.extend_from_slice(record_separator.as_bytes());
            }
            Format::Delimited(form) => {
                let mut writer = csv_writer(form, &mut self.buffer);
                if form.has_headers && !self.headed {
                    self.headed = true;
                    writer.write_record(fields.iter().map(|(name, _)| name)).map_err(io::Error::other)?;
                }
                let texts = fields.iter().map(|(_, value)| value.to_text());
                writer.write_record(texts).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    pub(super) fn length_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// What was written since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }
}

fn csv_writer<'a>(form: &Delimited, buffer: &'a mut Vec<u8>) -> csv::Writer<&'a mut Vec<u8>> {
    let terminator = match form.record_separator.as_bytes() {
        [b'\r', b'\n'] => csv::Terminator::CRLF,
        bytes => csv::Terminator::Any(bytes.first().copied().unwrap_or(b'\n')),
    };
    let style = if form.quote.is_some() { csv::QuoteStyle::Necessary } else { csv::QuoteStyle::Never };
    csv::WriterBuilder::new()
        .delimiter(form.column_separator)
        .quote(form.quote.unwrap_or(b'"'))
        .quote_style(style)
        .escape(form.escape.unwrap_or(b'"'))
        .double_quote(form.escape.is_none())
        .terminator(terminator)
        .flexible(true)
        .from_writer(buffer)
}
