//! One keep-alive HTTP/1.1 connection. Each worker has its own, so that their number is the concurrency.
//!
//! The load generator shares the machine with the servers, so that it must be lean: heads of requests are bytes that
//! can be sent again, a body that is only counted is never kept, and nothing but the worker itself waits for the
//! socket. What comes is read by `httparse`.

use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::storage::error::StorageError;

/// How much is read at once.
const READ_BYTES: usize = 256 * 1024;
/// Headers that an answer may have.
const HEADERS_MAX: usize = 64;
/// How much of an unexpected answer an error shows.
const SHOWN_BYTES: usize = 300;

/// An open connection; it opens itself again when the server has said that it closes it.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    /// What came and is not consumed yet.
    came: BytesMut,
    is_closing: bool,
    acknowledges: bool,
}

/// An answer with the expected status.
#[derive(Debug)]
pub struct Answer {
    /// How long the body is.
    pub length: u64,
    /// The body, unless it was only counted.
    pub body: Bytes,
}

/// What to do with the body of a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Keep it.
    Body,
    /// Count its bytes as they come.
    Length,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    bytes: usize,
    status: u16,
    framing: Framing,
    closes: bool,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self, StorageError> {
        let came = BytesMut::with_capacity(READ_BYTES);
        Ok(Self { address, stream: connect(address).await?, came, is_closing: false, acknowledges: false })
    }

    /// Has what comes acknowledged at once. A server that leaves Nagle's algorithm on sends the rest of a small answer
    /// only then, 40 ms later by default, and would be measured for that and nothing else.
    pub fn acknowledging(mut self) -> Self {
        self.acknowledges = true;
        self
    }

    /// Sends a request, whose `head` ends with an empty line, and reads the whole answer, which must have the status
    /// `wanted`.
    pub async fn send(
        &mut self,
        head: &Bytes,
        body: &Bytes,
        wanted: StatusCode,
        keep: Keep,
    ) -> Result<Answer, StorageError> {
        if self.is_closing {
            self.stream = connect(self.address).await?;
            self.came.clear();
        }
        let mut request = head.clone().chain(body.clone());
        self.stream.write_all_buf(&mut request).await?;
        let head = self.head().await?;
        self.is_closing = head.closes;
        let kept = keep == Keep::Body || head.status != wanted.as_u16();
        let mut answer = Body { length: 0, kept: kept.then(BytesMut::new) };
        match head.framing {
            Framing::Length(length) => self.take(length, &mut answer).await?,
            Framing::Chunked => self.take_chunks(&mut answer).await?,
        }
        let body = answer.kept.unwrap_or_default().freeze();
        if head.status != wanted.as_u16() {
            let body =
                String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]).replace(['\r', '\n'], " ");
            return Err(StorageError::Status { status: head.status, wanted, body });
        }
        Ok(Answer { length: answer.length, body })
    }

    async fn head(&mut self) -> Result<Head, StorageError> {
        loop {
            if let Some(head) = parse_head(&self.came)? {
                self.came.advance(head.bytes);
                return Ok(head);
            }
            self.read().await?;
        }
    }

    /// Takes the next `length` bytes for the body.
    async fn take(&mut self, length: u64, body: &mut Body) -> Result<(), StorageError> {
        body.length += length;
        let mut missing = length;
        while missing > 0 {
            if self.came.is_empty() {
                self.read().await?;
            }
            let here = self.came.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
            if let Some(kept) = &mut body.kept {
                kept.extend_from_slice(&self.came[..here]);
            }
            self.came.advance(here);
            missing -= here as u64;
        }
        Ok(())
    }

    async fn take_chunks(&mut self, body: &mut Body) -> Result<(), StorageError> {
        let mut ends = Body { length: 0, kept: None };
        loop {
            let parsed = httparse::parse_chunk_size(&self.came);
            match parsed.map_err(|_| StorageError::Http("a chunk has no size".to_owned()))? {
                httparse::Status::Partial => self.read().await?,
                httparse::Status::Complete((bytes, size)) => {
                    self.came.advance(bytes);
                    self.take(size, body).await?;
                    // The line end after a chunk; after the last one, that of the trailers, of which there are none.
                    self.take(2, &mut ends).await?;
                    if size == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn read(&mut self) -> Result<(), StorageError> {
        if self.acknowledges {
            // The kernel falls back to delays by itself, so that it must be told each time.
            rustix::net::sockopt::set_tcp_quickack(&self.stream, true).map_err(std::io::Error::from)?;
        }
        self.came.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.came).await? {
            0 => Err(StorageError::Http("the server closed the connection within an answer".to_owned())),
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Body {
    length: u64,
    kept: Option<BytesMut>,
}

/// `None` when more must come.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, StorageError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| StorageError::Http(error.to_string()))?;
    let httparse::Status::Complete(bytes) = parsed else { return Ok(None) };
    let mut head =
        Head { bytes, status: response.code.unwrap_or(0), framing: Framing::Length(0), closes: false };
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or("").trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| StorageError::Http("no Content-Length".to_owned()))?;
            head.framing = Framing::Length(length);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.closes = value.eq_ignore_ascii_case("close");
        }
    }
    Ok(Some(head))
}

async fn connect(address: SocketAddr) -> Result<TcpStream, StorageError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let head = |bytes, status, framing, closes| Some(Head { bytes, status, framing, closes });
        let rows: [(&str, Option<Head>); 5] = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n", None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nab", head(39, 200, Framing::Length(12), false)),
            ("HTTP/1.1 204 No Content\r\n\r\n", head(27, 204, Framing::Length(0), false)),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", head(47, 200, Framing::Chunked, false)),
            (
                "HTTP/1.1 500 No\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n",
                head(57, 500, Framing::Length(0), true),
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_head(text.as_bytes()).unwrap(), expected, "{text:?}");
        }
    }

    #[tokio::test]
    async fn bodies_in_pieces() {
        let answers = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel|lo", "hello"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3|\r\nabc\r|\n2\r\nde\r\n0\r\n\r|\n",
                "abcde",
            ),
            ("HTTP/1.1 200 OK\r\nconte|nt-length: 0\r\nconnection: close\r\n\r\n", ""),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", "x"),
        ];
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let mut stream = listener.accept().await.unwrap().0;
            for (answer, _) in answers {
                let mut request = BytesMut::new();
                while !request.ends_with(b"\r\n\r\n!") {
                    // The client opens another connection after `connection: close`.
                    if stream.read_buf(&mut request).await.unwrap() == 0 {
                        stream = listener.accept().await.unwrap().0;
                    }
                }
                for piece in answer.split('|') {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        let mut connection = Connection::open(address).await.unwrap();
        let (head, body) = (Bytes::from("GET / HTTP/1.1\r\n\r\n"), Bytes::from("!"));
        for (_, expected) in answers {
            let answer = connection.send(&head, &body, StatusCode::OK, Keep::Body).await.unwrap();
            assert_eq!((answer.body.as_ref(), answer.length), (expected.as_bytes(), expected.len() as u64));
        }
        server.await.unwrap();
    }
}
