//! From a request to its answer: head, operation, authorization, handler.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use http::header::USER_AGENT;
use http::{Request, Response};
use hyper::body::Incoming;
use tracing::Instrument as _;
use uuid::Uuid;
use welkin_base::Timestamp;
use welkin_storage::Storage;
use welkin_storage_wire::error::ErrorForm;
use welkin_storage_wire::request::client_request_id;
use welkin_storage_wire::sas::Arrival;
use welkin_storage_wire::{ApiVersion, ErrorCode, Operation, ProtocolError, RequestHead, Service};
use welkin_transport::Body;

use crate::answer::Frame;
use crate::context::{Context, RequestBody};
use crate::{auth, blob, queue, table};

/// What a front-end needs to answer.
#[derive(Debug, Clone)]
pub struct FrontEnd {
    /// The engine.
    pub storage: Storage,
    /// The service.
    pub service: Service,
    /// Domains under which a host names an account.
    pub host_suffixes: Vec<String>,
}

impl FrontEnd {
    /// Answers a request, whatever it is.
    pub async fn answer(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let request_id = Uuid::new_v4().to_string();
        let span = tracing::info_span!("request", service = self.service.as_str(), id = request_id);
        self.answer_as(peer, request, request_id).instrument(span).await
    }

    async fn answer_as(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
        request_id: String,
    ) -> Response<Body> {
        let begun = Instant::now();
        let now = Timestamp::from(SystemTime::now());
        let (parts, incoming) = request.into_parts();
        let mut body = RequestBody::new(incoming, &parts.headers);
        let client_id = client_request_id(&parts.headers).cloned();
        let method = parts.method.clone();
        let error_form = ErrorForm::of(self.service, &parts.headers);
        let user_agent = parts.headers.get(USER_AGENT).cloned();
        let head =
            RequestHead::parse(self.service, parts.method, &parts.uri, parts.headers, &self.host_suffixes);
        let version = head.as_ref().map_or_else(|_| ApiVersion::default(), |head| head.version.clone());
        let arrival = Arrival { now, address: peer.ip(), https: false };
        let (operation, result) = match head {
            Ok(head) => self.handle(head, arrival, &request_id, &mut body).await,
            Err(error) => ("", Err(error)),
        };
        let frame = Frame {
            error_form,
            method: &method,
            request_id: &request_id,
            version: &version,
            client_request_id: client_id.as_ref(),
            now,
        };
        let code = result.as_ref().err().map(ProtocolError::code_text);
        let response = match result {
            Ok(response) => frame.around(response),
            Err(error) => {
                body.drain().await;
                frame.error(&error)
            }
        };
        let status = response.status().as_u16();
        let elapsed_us = begun.elapsed().as_micros();
        let user_agent = user_agent.as_ref().and_then(|name| name.to_str().ok());
        tracing::info!(%method, operation, status, code, user_agent, elapsed_us, "answered");
        response
    }

    async fn handle(
        &self,
        head: RequestHead,
        arrival: Arrival,
        request_id: &str,
        body: &mut RequestBody,
    ) -> (&'static str, Result<Response<Body>, ProtocolError>) {
        let operation = match Operation::route(&head) {
            Ok(operation) => operation,
            Err(error) => return ("", Err(error)),
        };
        let name = operation.spec().name;
        let (account, authorization) = match auth::authorize(&self.storage, &head, operation, arrival).await {
            Ok(found) => found,
            Err(error) => return (name, Err(error)),
        };
        if !operation.spec().built {
            let why = format!("{name} is not built in this server.");
            return (name, Err(ProtocolError::saying(ErrorCode::NotImplemented, why)));
        }
        let storage = self.storage.clone();
        let request_id = request_id.to_owned();
        let context = Context { storage, account, head, authorization, now: arrival.now, request_id };
        let result = match operation {
            Operation::Blob(operation) => blob::handle(&context, operation, body).await,
            Operation::Queue(operation) => queue::handle(&context, operation, body).await,
            Operation::Table(operation) => table::handle(&context, operation, body).await,
        };
        (name, result)
    }
}
