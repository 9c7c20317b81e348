//! What the service counts, in the text format of OpenMetrics, which Prometheus reads.
//!
//! Labels have few values: services, operations, statuses and error codes. Accounts are none of them: there may be
//! many, and whoever may read the metrics need not know them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use welkin_storage::Storage;
use welkin_storage_wire::Service;
use welkin_transport::{Body, full, text};

mod engine;

use engine::EngineCollector;

/// What the answer's `Content-Type` is (OpenMetrics 1.0.0).
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The shortest latency that is told apart: 64 µs; each of the following buckets is twice as long, up to 67 s.
const LATENCY_FIRST_S: f64 = 0.000_064;
const LATENCY_BUCKETS: u16 = 21;
/// A reader of metrics that sends nothing for this long is given up.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfService {
    service: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOperation {
    service: &'static str,
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAnswer {
    service: &'static str,
    operation: &'static str,
    status: u16,
    code: &'static str,
}

/// The counters of a service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<OfAnswer, Counter>,
    latency: Family<OfOperation, Histogram>,
    received: Family<OfOperation, Counter>,
    sent: Family<OfOperation, Counter>,
    in_hand: Family<OfService, Gauge>,
    connections: Family<OfService, Gauge>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub service: Service,
    /// The operation's name; empty where the request named none.
    pub operation: &'static str,
    pub status: StatusCode,
    /// The error's code.
    pub code: Option<&'static str>,
    /// From the request's head to the answer's.
    pub elapsed: Duration,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

/// Something that is counted as long as it is there.
#[derive(Debug)]
pub(crate) struct Present(Gauge);

impl Present {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Counters of a service over this engine.
    #[must_use]
    pub fn new(storage: &Storage) -> Arc<Self> {
        let latency = || Histogram::new(exponential_buckets(LATENCY_FIRST_S, 2.0, LATENCY_BUCKETS));
        let mut metrics = Self {
            registry: Registry::with_prefix("welkin_storage"),
            requests: Family::default(),
            latency: Family::new_with_constructor(latency as fn() -> Histogram),
            received: Family::default(),
            sent: Family::default(),
            in_hand: Family::default(),
            connections: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests that were answered", metrics.requests.clone());
        registry.register(
            "request_duration_seconds",
            "From a request's head to its answer's head",
            metrics.latency.clone(),
        );
        registry.register("received_bytes", "Bytes of requests' bodies", metrics.received.clone());
        registry.register("sent_bytes", "Bytes of answers' bodies", metrics.sent.clone());
        registry.register("requests_in_hand", "Requests that are not answered yet", metrics.in_hand.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register_collector(Box::new(EngineCollector::new(storage.clone())));
        Arc::new(metrics)
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, answered: &Answered) {
        let service = answered.service.as_str();
        let Answered { operation, status, code, .. } = *answered;
        let of = OfOperation { service, operation };
        self.latency.get_or_create(&of).observe(answered.elapsed.as_secs_f64());
        self.received.get_or_create(&of).inc_by(answered.received_bytes);
        self.sent.get_or_create(&of).inc_by(answered.sent_bytes);
        let of = OfAnswer { service, operation, status: status.as_u16(), code: code.unwrap_or("") };
        self.requests.get_or_create(&of).inc();
    }

    /// Counts a request in, until what is returned is dropped.
    pub(crate) fn request(&self, service: Service) -> Present {
        Present::new(&self.in_hand.get_or_create(&OfService { service: service.as_str() }))
    }

    /// Counts a connection in, until what is returned is dropped.
    pub(crate) fn connection(&self, service: Service) -> Present {
        Present::new(&self.connections.get_or_create(&OfService { service: service.as_str() }))
    }

    /// All of them as text.
    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry).map(|()| text)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => match self.text() {
                Ok(metrics) => {
                    let mut response = Response::new(full(metrics));
                    let value = header::HeaderValue::from_static(CONTENT_TYPE);
                    response.headers_mut().insert(header::CONTENT_TYPE, value);
                    response
                }
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written"),
            },
            _ => text(StatusCode::NOT_FOUND, "the metrics are at /metrics"),
        }
    }
}

/// Serves the metrics over plain HTTP until `ended` says true.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, mut ended: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ended.wait_for(|ended| *ended) => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = metrics.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME_MAX)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "a reader of metrics went away");
            }
        });
    }
}
