//! Subscriptions.

use welkin_base::{SubscriptionId, Timestamp};

use crate::xml::Element;

/// A subscription as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Its name.
    pub name: String,
    /// Whether the operator has disabled it.
    pub disabled: bool,
    /// When it was created.
    pub created: Timestamp,
    /// Cores: in use and at most.
    pub cores: Usage,
    /// Hosted services: in use and at most.
    pub hosted_services: Usage,
    /// Storage accounts: in use and at most.
    pub storage_accounts: Usage,
}

/// How much of a quota is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// In use.
    pub current: u32,
    /// The quota.
    pub max: u32,
}

impl Subscription {
    /// The element `Subscription`.
    #[must_use]
    pub fn element(&self) -> Element {
        Element::new("Subscription")
            .with("SubscriptionID", &self.id)
            .with("SubscriptionName", &self.name)
            .with("SubscriptionStatus", if self.disabled { "Disabled" } else { "Active" })
            .with("AccountAdminLiveEmailId", "")
            .with("ServiceAdminLiveEmailId", "")
            .with("MaxCoreCount", self.cores.max)
            .with("MaxStorageAccounts", self.storage_accounts.max)
            .with("MaxHostedServices", self.hosted_services.max)
            .with("CurrentCoreCount", self.cores.current)
            .with("CurrentHostedServices", self.hosted_services.current)
            .with("CurrentStorageAccounts", self.storage_accounts.current)
            .with("MaxVirtualNetworkSites", 0)
            .with("MaxLocalNetworkSites", 0)
            .with("MaxDnsServers", 0)
            .with("CreatedTime", self.created.to_iso_seconds())
    }
}

/// The element `Subscriptions`.
#[must_use]
pub fn list(subscriptions: &[Subscription]) -> Element {
    Element::new("Subscriptions").children(subscriptions.iter().map(Subscription::element))
}
