//! From a request to its answer: head, operation, authorization, handler.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use http::{Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tracing::Instrument as _;
use uuid::Uuid;
use welkin_base::Timestamp;
use welkin_storage::Storage;
use welkin_storage::service::CorsRule;
use welkin_storage_wire::error::ErrorForm;
use welkin_storage_wire::request::client_request_id;
use welkin_storage_wire::sas::Arrival;
use welkin_storage_wire::{
    ApiVersion, BlobOperation, ErrorCode, Operation, ProtocolError, QueueOperation, RequestHead, Service,
};
use welkin_transport::Body;

use crate::admission::Admission;
use crate::answer::{Frame, held};
use crate::auth::issuer::Issuer;
use crate::config::Timeouts;
use crate::context::{Context, RequestBody};
use crate::copies::Copies;
use crate::metrics::{Answered, Metrics};
use crate::{auth, blob, queue, service, table};

/// What became of a request, and what its answer's frame needs.
pub(crate) struct Handled {
    operation: &'static str,
    version: ApiVersion,
    cors: Vec<CorsRule>,
    pub(crate) result: Result<Response<Body>, ProtocolError>,
}

/// What a front-end needs to answer.
#[derive(Debug, Clone)]
pub struct FrontEnd {
    /// The engine.
    pub storage: Storage,
    /// The service.
    pub service: Service,
    /// Domains under which a host names an account.
    pub host_suffixes: Vec<String>,
    /// Whether it is reached over HTTPS.
    pub https: bool,
    /// Whether plain HTTP came to an address of HTTPS, which is refused.
    pub(crate) plain_at_https: bool,
    /// Whose bearer tokens are taken.
    pub issuer: Option<Arc<Issuer>>,
    /// What copies need of the server.
    pub copies: Arc<Copies>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who may take how much.
    pub(crate) admission: Arc<Admission>,
    /// How long clients have.
    pub(crate) timeouts: Timeouts,
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
        let _in_hand = self.metrics.request(self.service);
        let now = Timestamp::from(SystemTime::now());
        let (parts, incoming) = request.into_parts();
        let mut body = RequestBody::new(incoming, &parts.headers, &self.timeouts);
        let client_id = client_request_id(&parts.headers).cloned();
        let method = parts.method.clone();
        let error_form = ErrorForm::of(self.service, &parts.headers);
        let user_agent = parts.headers.get(USER_AGENT).cloned();
        let origin = service::origin(&parts.headers);
        let head =
            RequestHead::parse(self.service, parts.method, &parts.uri, parts.headers, &self.host_suffixes);
        let arrival = Arrival { now, address: peer.ip(), https: self.https };
        let handled = match head {
            Ok(head) if self.plain_at_https => {
                self.refused("", &head, ErrorCode::AccountRequiresHttps.into()).await
            }
            Ok(head) => self.handle(head, arrival, &request_id, &mut body).await,
            Err(error) => Handled {
                operation: "",
                version: ApiVersion::default(),
                cors: Vec::new(),
                result: Err(error),
            },
        };
        let Handled { operation, version, cors, result } = handled;
        let frame = Frame {
            error_form,
            method: &method,
            request_id: &request_id,
            version: &version,
            client_request_id: client_id.as_ref(),
            now,
        };
        let code = result.as_ref().err().map(ProtocolError::code_text);
        let mut response = match result {
            Ok(response) => frame.around(response),
            Err(error) => {
                body.drain().await;
                frame.error(&error)
            }
        };
        service::add_cors(&mut response, &cors, &method, origin.as_ref());
        let answered = Answered {
            service: self.service,
            operation,
            status: response.status(),
            code,
            elapsed: begun.elapsed(),
            received_bytes: body.received_bytes(),
            sent_bytes: length_of(&response),
        };
        self.metrics.answered(&answered);
        log(&answered, &method, user_agent.as_ref());
        response
    }

    /// Does what a request asks for, when it may.
    pub(crate) async fn handle(
        &self,
        mut head: RequestHead,
        arrival: Arrival,
        request_id: &str,
        body: &mut RequestBody,
    ) -> Handled {
        let storage = &self.storage;
        if let Some(result) = service::website::answer(self, &mut head, arrival.now, request_id, body).await {
            let operation = BlobOperation::GetBlob.spec().name;
            return Handled { operation, version: head.version, cors: Vec::new(), result };
        }
        let operation = match Operation::route(&head) {
            Ok(operation) => operation,
            Err(error) => return self.refused("", &head, error).await,
        };
        let name = operation.spec().name;
        if head.method == Method::OPTIONS {
            let result = service::preflight(storage, &head).await;
            return Handled { operation: name, version: head.version, cors: Vec::new(), result };
        }
        let (account, authorization) =
            match auth::authorize(storage, self.issuer.as_deref(), &head, operation, arrival).await {
                Ok(found) => found,
                Err(error) => return self.refused(name, &head, error).await,
            };
        service::set_default_version(&mut head, &account);
        if !operation.spec().built {
            let why = format!("{name} is not built in this server.");
            return self.refused(name, &head, ProtocolError::saying(ErrorCode::NotImplemented, why)).await;
        }
        if let Err(error) = check_form(operation, &head) {
            return self.refused(name, &head, error).await;
        }
        let (version, storage) = (head.version.clone(), storage.clone());
        let cors = service::properties_of(&account, self.service).cors.clone();
        let request_id = request_id.to_owned();
        let context = Context {
            storage,
            account,
            head,
            authorization,
            now: arrival.now,
            arrival,
            issuer: self.issuer.clone(),
            copies: self.copies.clone(),
            admission: self.admission.clone(),
            request_id,
        };
        let result = self.serve(&context, operation, body).await;
        Handled { operation: name, version, cors, result }
    }

    async fn serve(
        &self,
        context: &Context,
        operation: Operation,
        body: &mut RequestBody,
    ) -> Result<Response<Body>, ProtocolError> {
        if let Operation::Blob(BlobOperation::BlobBatch | BlobOperation::ContainerBatch) = operation {
            // Each request of a batch is counted on its own.
            return blob::batch::handle(self, context, body).await;
        }
        let entered = self.admission.enter(context.account.uid, operation, &context.head).await?;
        let response = match operation {
            Operation::Blob(operation) => blob::handle(context, operation, body).await,
            Operation::Queue(operation) => queue::handle(context, operation, body).await,
            Operation::Table(operation) => table::handle(context, operation, body).await,
        };
        response.map(|response| response.map(|body| held(body, entered.in_hand)))
    }

    /// A refusal. Scripts of other origins may read it too.
    async fn refused(&self, operation: &'static str, head: &RequestHead, error: ProtocolError) -> Handled {
        let cors = service::cors_rules(&self.storage, head).await;
        Handled { operation, version: head.version.clone(), cors, result: Err(error) }
    }
}

/// Checks what every request may say, and what its body must.
fn check_form(operation: Operation, head: &RequestHead) -> Result<(), ProtocolError> {
    const TIMEOUT: &str = "timeout";
    // Every answer is sooner than the shortest timeout that clients ask for, so that it only has to be one.
    if let Some(text) = head.query.get_filled(TIMEOUT).filter(|text| text.parse::<u32>().is_err()) {
        return Err(ProtocolError::query(TIMEOUT, text));
    }
    match needs_length(operation) && !says_length(head) {
        true => Err(ErrorCode::MissingContentLengthHeader.into()),
        false => Ok(()),
    }
}

/// How long an answer's body is, by what the client is told or the body itself says.
fn length_of(response: &Response<Body>) -> u64 {
    let told = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    response.body().size_hint().exact().or(told).unwrap_or(0)
}

/// Operations whose body is content: without its length an empty body could be one that was cut off.
fn needs_length(operation: Operation) -> bool {
    use BlobOperation as Op;
    matches!(
        operation,
        Operation::Blob(Op::PutBlob | Op::PutBlock | Op::PutBlockList | Op::AppendBlock)
            | Operation::Queue(QueueOperation::PutMessage)
    )
}

fn says_length(head: &RequestHead) -> bool {
    head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(TRANSFER_ENCODING)
}
/// One line for each answer. What went well is for whoever looks closely: a busy server would fill the disk with it.
fn log(answered: &Answered, method: &Method, user_agent: Option<&HeaderValue>) {
    let Answered { operation, code, .. } = answered;
    let (status, elapsed_us) = (answered.status.as_u16(), answered.elapsed.as_micros());
    let user_agent = user_agent.and_then(|name| name.to_str().ok());
    if answered.status.is_client_error() || answered.status.is_server_error() {
        tracing::info!(%method, operation, status, code, user_agent, elapsed_us, "answered");
    } else {
        tracing::debug!(%method, operation, status, code, user_agent, elapsed_us, "answered");
    }
}
