//! What the service says in its log that it answered: which operations, to which clients.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

/// Operations that were answered with success, each with the client's name for itself (`User-Agent`).
#[derive(Debug, Clone, Default)]
pub struct Answered(Arc<Mutex<BTreeSet<(String, String)>>>);

impl Answered {
    /// Takes the log of everything that runs in this thread, for as long as the thread lives.
    pub fn listen_in_this_thread(&self) {
        let log = Registry::default().with(self.clone());
        std::mem::forget(tracing::subscriber::set_default(log));
    }

    /// The operations that clients with such names did.
    pub fn to(&self, is_client: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|(_, agent)| is_client(agent)).map(|(operation, _)| operation.clone()).collect()
    }
}

impl<S: Subscriber> Layer<S> for Answered {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        if line.message == "answered" && (200..400).contains(&line.status) {
            self.0.lock().unwrap().insert((line.operation, line.user_agent));
        }
    }
}

/// The log's line about a request.
#[derive(Debug, Default)]
struct Line {
    message: String,
    operation: String,
    user_agent: String,
    status: u64,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "operation" => value.clone_into(&mut self.operation),
            "user_agent" => value.clone_into(&mut self.user_agent),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "status" {
            self.status = value;
        }
    }
}
