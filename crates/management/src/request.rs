//! A request that has been authenticated and routed.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use welkin_base::Timestamp;
use welkin_management_wire::{Operation, Parameters, Version};
use welkin_pki::Sha1Thumbprint;

use crate::operation::RequestId;
use crate::subscription::SubscriptionRecord;

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
    pub subscription: Arc<SubscriptionRecord>,
    /// Who asks.
    pub caller: Sha1Thumbprint,
    /// From where.
    pub client: IpAddr,
    /// When it came.
    pub began: Timestamp,
    /// The version of the API that the caller speaks.
    pub version: Version,
    /// Where the last page that the caller got ended.
    pub continuation: Option<String>,
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
