//! Query Blob Contents: a small SQL over delimited text and JSON, evaluated as the blob is read.
//!
//! [`Query`] is the whole of it, over any reader and writer.
//!
//! * `statement`: SQL as it is served. `value`, `evaluate`: expressions. `record`: reading and writing records.
//! * `frame`: the answer's records.
//!
//! The query runs on a thread of its own, between a channel from the blob and one to the client, so that it holds
//! a few pieces at a time.

mod evaluate;
mod frame;
mod record;
mod statement;
mod value;

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes};
use http::{Response, StatusCode};
use tokio::sync::mpsc;
use welkin_storage_wire::blob::query::{self as wire, QueryRequest};
use welkin_storage_wire::{ErrorCode, ProtocolError};

use self::evaluate::Running;
use self::frame::{Frame, FrameWriter};
use self::record::{Output, Records};
use self::statement::{Selection, Statement};
use self::value::Value;
use super::properties::set_all;
use super::read::{channel_body, read_ahead};
use super::{Answer, conditions, target, told};
use crate::answer::set;
use crate::context::{Context, RequestBody};

/// The body: an expression of 256 KiB, and the rest.
const QUERY_BYTES_MAX: usize = 512 * 1024;
/// Pieces of the answer that wait for the client.
const PIECES_WAITING: usize = 2;
/// Output is sent in pieces of about this much.
const PIECE_BYTES: usize = 256 * 1024;
/// Progress is told after this many bytes were read.
const PROGRESS_BYTES: u64 = 4 * 1024 * 1024;

pub(super) async fn query(context: &Context, body: &mut RequestBody) -> Answer {
    let (target, conditions) = (target(context)?, conditions(context)?);
    let query = Query::parse(&body.whole(QUERY_BYTES_MAX).await?)?;
    let path = target.path(context);
    let read = context.storage.read_blob(path, target.revision, None, &conditions, context.now);
    let (blob, _, reader) = read.await.map_err(told)?;
    let in_query = context.admission.query(context.account.uid)?;
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    let total_bytes = blob.length_bytes;
    let (pieces, sink) =
        (Pieces { receiver: read_ahead(context, reader), current: Bytes::new() }, Sink(sender));
    tokio::task::spawn_blocking(move || {
        if let Err(error) = query.answer(total_bytes, pieces, sink) {
            tracing::debug!(%error, "a query ended early");
        }
        drop(in_query);
    });
    let mut response = Response::new(channel_body(receiver));
    *response.status_mut() = StatusCode::OK;
    set_all(&mut response, &blob, false, context.now);
    set(&mut response, "content-type", "avro/binary");
    Ok(response)
}

/// The blob's bytes, on the query's thread.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let length = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// The client, from the query's thread.
struct Sink(mpsc::Sender<io::Result<Bytes>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::other("the client went away"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A query, understood.
#[derive(Debug)]
pub struct Query {
    statement: Statement,
    request: QueryRequest,
}

impl Query {
    /// Reads the body of Query Blob Contents.
    ///
    /// # Errors
    /// When it is no query, or one that is not served.
    pub fn parse(body: &[u8]) -> Result<Self, ProtocolError> {
        let refuse = |why: String| ProtocolError::from(ErrorCode::InvalidInput).with_detail("Reason", &why);
        let request = wire::parse(body)?;
        let statement = Statement::parse(&request.expression).map_err(|error| refuse(error.to_string()))?;
        Ok(Self { statement, request })
    }

    /// Writes the answer over a blob of `total_bytes`. What is wrong with the blob's records is told in it.
    ///
    /// # Errors
    /// When the answer cannot be written.
    pub fn answer(&self, total_bytes: u64, blob: impl Read, client: impl Write) -> io::Result<()> {
        let schema = frame::schema()?;
        let mut frames = FrameWriter::new(&schema, client);
        let mut records = match Records::new(&self.request.input, blob) {
            Ok(records) => records,
            Err(error) => return frames.write(failure(&error, 0)),
        };
        if let Err(error) = self.write_records(total_bytes, &mut records, &mut frames)? {
            frames.write(failure(&error, records.scanned_bytes()))?;
        }
        let scanned_bytes = records.scanned_bytes();
        frames.write(Frame::Progress { scanned_bytes, total_bytes })?;
        frames.write(Frame::End { total_bytes })
    }

    /// The outer error is the client's end, the inner one that of the records.
    fn write_records<R: Read, W: Write>(
        &self,
        total_bytes: u64,
        records: &mut Records<R>,
        frames: &mut FrameWriter<'_, W>,
    ) -> io::Result<io::Result<()>> {
        let mut output = Output::new(self.request.output.clone());
        let mut aggregates = self.aggregates();
        let mut left = self.statement.limit.unwrap_or(u64::MAX);
        let mut told_bytes = 0;
        while left > 0 {
            let record = match records.next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    frames.write(Frame::Data(output.take()))?;
                    return Ok(Err(error));
                }
            };
            let meets = |filter: &statement::Expr| filter.of(&record) == Value::Bool(true);
            if !self.statement.filter.as_ref().is_none_or(meets) {
                continue;
            }
            match &self.statement.selection {
                Selection::All => output.add(&record.all())?,
                Selection::Items(items) => {
                    let fields: Vec<_> =
                        items.iter().map(|(name, expr)| (name.clone(), expr.of(&record))).collect();
                    output.add(&fields)?;
                }
                Selection::Aggregates(items) => {
                    for (running, (_, _, expr)) in aggregates.iter_mut().zip(items) {
                        running.take(expr.as_ref().map(|expr| expr.of(&record)));
                    }
                    continue;
                }
            }
            left -= 1;
            if output.length_bytes() >= PIECE_BYTES {
                frames.write(Frame::Data(output.take()))?;
            }
            if records.scanned_bytes() - told_bytes >= PROGRESS_BYTES {
                told_bytes = records.scanned_bytes();
                frames.write(Frame::Progress { scanned_bytes: told_bytes, total_bytes })?;
            }
        }
        if let Selection::Aggregates(items) = &self.statement.selection {
            let names = items.iter().map(|(name, _, _)| name.clone());
            let fields: Vec<_> = names.zip(aggregates.into_iter().map(Running::finish)).collect();
            output.add(&fields)?;
        }
        frames.write(Frame::Data(output.take()))?;
        Ok(Ok(()))
    }

    fn aggregates(&self) -> Vec<Running> {
        match &self.statement.selection {
            Selection::Aggregates(items) => items.iter().map(|(_, kind, _)| Running::new(*kind)).collect(),
            _ => Vec::new(),
        }
    }
}

fn failure(error: &io::Error, position: u64) -> Frame {
    Frame::Error { name: "InvalidRecord".to_owned(), description: error.to_string(), position }
}
