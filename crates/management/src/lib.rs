//! Subscriptions, hosted services, storage accounts, deployments, operations; the management API.
