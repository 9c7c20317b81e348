//! A request that has been authenticated and routed.

use std::sync::Arc;

use bytes::Bytes;
use welkin_management_wire::{Operation, Parameters};
use welkin_pki::Sha1Thumbprint;

use crate::config::SubscriptionConfig;
use crate::operation::RequestId;

/// A request, as handlers see it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its id; of an operation too, when it starts one.
    pub id: RequestId,
    /// What is asked.
    pub operation: Operation,
    /// Of what.
    pub parameters: Parameters,
    /// Whose things it is about.
    pub subscription: Arc<SubscriptionConfig>,
    /// Who asks.
    pub caller: Sha1Thumbprint,
    /// Where the caller reached us, as `https://host:port`.
    pub origin: String,
    /// What is said.
    pub body: Bytes,
}

impl Request {
    /// The address of a resource of the subscription.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{}/{path}", self.origin, self.subscription.id)
    }
}
