//! Every operation of the classic Service Management API and how it is called: SMAPI §6 as a table.
//!
//! Where a template says `{deployment}`, the path has either `deployments/<name>` or
//! `deploymentslots/<slot>`. Of two rows that fit, the first counts.

use http::Method;

use crate::version::Version;

/// An operation. Those that are not built are named all the same, and answered from one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub enum Operation {
    ListSubscriptions,
    GetSubscription,
    ListLocations,
    ListRoleSizes,
    ListOperatingSystems,
    ListOperatingSystemFamilies,
    ListSubscriptionOperations,
    GetOperationStatus,

    ListAffinityGroups,
    GetAffinityGroup,
    CreateAffinityGroup,
    UpdateAffinityGroup,
    DeleteAffinityGroup,

    ListManagementCertificates,
    GetManagementCertificate,
    AddManagementCertificate,
    DeleteManagementCertificate,

    CheckStorageAccountName,
    ListStorageAccounts,
    GetStorageAccount,
    CreateStorageAccount,
    UpdateStorageAccount,
    DeleteStorageAccount,
    GetStorageAccountKeys,
    RegenerateStorageAccountKeys,

    CheckHostedServiceName,
    ListHostedServices,
    GetHostedService,
    CreateHostedService,
    UpdateHostedService,
    DeleteHostedService,
    DeleteHostedServiceWithMedia,

    SwapDeployment,
    GetDeployment,
    CreateDeployment,
    DeleteDeployment,
    ChangeDeploymentConfiguration,
    UpdateDeploymentStatus,
    UpgradeDeployment,
    WalkUpgradeDomain,
    RollbackUpdateOrUpgrade,
    GetPackage,
    ListDeploymentEvents,

    RebootRoleInstance,
    ReimageRoleInstance,
    RebuildRoleInstance,
    DeleteRoleInstances,

    ListServiceCertificates,
    GetServiceCertificate,
    AddServiceCertificate,
    DeleteServiceCertificate,

    // Welkin's own, in JSON, for its command line.
    GetFabricKey,
    GetCloudStatus,
    GetInstanceLog,
}

impl Operation {
    /// The first version of the API that has the operation, where that is known and not the first of all (SMAPI §6).
    #[must_use]
    pub fn since(self) -> Option<Version> {
        Some(Version::new(match self {
            Self::RebootRoleInstance | Self::ReimageRoleInstance => "2010-10-28",
            Self::GetSubscription | Self::RollbackUpdateOrUpgrade => "2011-10-01",
            Self::CheckHostedServiceName
            | Self::CheckStorageAccountName
            | Self::ListManagementCertificates
            | Self::GetManagementCertificate
            | Self::AddManagementCertificate
            | Self::DeleteManagementCertificate => "2012-03-01",
            Self::RebuildRoleInstance => "2013-06-01",
            Self::DeleteRoleInstances => "2013-08-01",
            _ => return None,
        }))
    }
}

/// How an operation is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The operation.
    pub operation: Operation,
    /// Its method.
    pub method: Method,
    /// Its path below `/<subscription>/`.
    pub template: &'static str,
    /// Query parameters that must have these values. Where `comp` is not among them, it must be absent.
    pub query: &'static [(&'static str, &'static str)],
}

impl Row {
    /// A path and query that call the operation, with names made up: for tests that walk the table.
    #[must_use]
    pub fn example(&self, subscription: &str) -> String {
        if self.operation == Operation::ListSubscriptions {
            return format!("/{}", self.template);
        }
        let path = self
            .template
            .replace("{deployment}", "deploymentslots/Production")
            .replace("{service}", "example")
            .replace("{account}", "exampleaccount")
            .replace("{slot}", "production")
            .replace("{instance}", "Web_IN_0")
            .replace("{key}", "example")
            .replace("{operation}", "6ba7b8109dad11d180b400c04fd430c8");
        let query: Vec<String> = self.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/{subscription}/{path}{mark}{}", query.join("&"))
    }
}

const fn row(
    operation: Operation,
    method: Method,
    template: &'static str,
    query: &'static [(&'static str, &'static str)],
) -> Row {
    Row { operation, method, template, query }
}

macro_rules! hosted {
    ($rest:literal) => {
        concat!("services/hostedservices", $rest)
    };
}
macro_rules! deployment {
    ($rest:literal) => {
        concat!("services/hostedservices/{service}/{deployment}", $rest)
    };
}
macro_rules! account {
    ($rest:literal) => {
        concat!("services/storageservices", $rest)
    };
}

/// Every operation, in the order in which rows are tried.
pub const TABLE: &[Row] = {
    use Operation as O;
    const GET: Method = Method::GET;
    const PUT: Method = Method::PUT;
    const POST: Method = Method::POST;
    const DELETE: Method = Method::DELETE;
    &[
        row(O::ListSubscriptions, GET, "subscriptions", &[]),
        row(O::GetSubscription, GET, "", &[]),
        row(O::ListLocations, GET, "locations", &[]),
        row(O::ListRoleSizes, GET, "rolesizes", &[]),
        row(O::ListOperatingSystems, GET, "operatingsystems", &[]),
        row(O::ListOperatingSystemFamilies, GET, "operatingsystemfamilies", &[]),
        row(O::ListSubscriptionOperations, GET, "operations", &[]),
        row(O::GetOperationStatus, GET, "operations/{operation}", &[]),
        row(O::ListAffinityGroups, GET, "affinitygroups", &[]),
        row(O::GetAffinityGroup, GET, "affinitygroups/{key}", &[]),
        row(O::CreateAffinityGroup, POST, "affinitygroups", &[]),
        row(O::UpdateAffinityGroup, PUT, "affinitygroups/{key}", &[]),
        row(O::DeleteAffinityGroup, DELETE, "affinitygroups/{key}", &[]),
        row(O::ListManagementCertificates, GET, "certificates", &[]),
        row(O::GetManagementCertificate, GET, "certificates/{key}", &[]),
        row(O::AddManagementCertificate, POST, "certificates", &[]),
        row(O::DeleteManagementCertificate, DELETE, "certificates/{key}", &[]),
        row(O::CheckStorageAccountName, GET, account!("/operations/isavailable/{account}"), &[]),
        row(O::ListStorageAccounts, GET, account!(""), &[]),
        row(O::GetStorageAccount, GET, account!("/{account}"), &[]),
        row(O::CreateStorageAccount, POST, account!(""), &[]),
        row(O::UpdateStorageAccount, PUT, account!("/{account}"), &[]),
        row(O::DeleteStorageAccount, DELETE, account!("/{account}"), &[]),
        row(O::GetStorageAccountKeys, GET, account!("/{account}/keys"), &[]),
        row(O::RegenerateStorageAccountKeys, POST, account!("/{account}/keys"), &[("action", "regenerate")]),
        row(O::CheckHostedServiceName, GET, hosted!("/operations/isavailable/{service}"), &[]),
        row(O::ListHostedServices, GET, hosted!(""), &[]),
        row(O::GetHostedService, GET, hosted!("/{service}"), &[]),
        row(O::CreateHostedService, POST, hosted!(""), &[]),
        row(O::UpdateHostedService, PUT, hosted!("/{service}"), &[]),
        row(O::DeleteHostedService, DELETE, hosted!("/{service}"), &[]),
        row(O::DeleteHostedServiceWithMedia, DELETE, hosted!("/{service}"), &[("comp", "media")]),
        row(O::SwapDeployment, POST, hosted!("/{service}"), &[]),
        row(O::GetDeployment, GET, deployment!(""), &[]),
        row(O::CreateDeployment, POST, hosted!("/{service}/deploymentslots/{slot}"), &[]),
        row(O::DeleteDeployment, DELETE, deployment!(""), &[]),
        row(O::DeleteDeployment, DELETE, deployment!(""), &[("comp", "media")]),
        row(O::ChangeDeploymentConfiguration, POST, deployment!(""), &[("comp", "config")]),
        row(O::UpdateDeploymentStatus, POST, deployment!(""), &[("comp", "status")]),
        row(O::UpgradeDeployment, POST, deployment!(""), &[("comp", "upgrade")]),
        row(O::WalkUpgradeDomain, POST, deployment!(""), &[("comp", "walkupgradedomain")]),
        row(O::RollbackUpdateOrUpgrade, POST, deployment!(""), &[("comp", "rollback")]),
        row(O::GetPackage, POST, deployment!("/package"), &[]),
        row(O::ListDeploymentEvents, GET, deployment!("/events"), &[]),
        row(O::RebootRoleInstance, POST, deployment!("/roleinstances/{instance}"), &[("comp", "reboot")]),
        row(O::ReimageRoleInstance, POST, deployment!("/roleinstances/{instance}"), &[("comp", "reimage")]),
        row(
            O::RebuildRoleInstance,
            POST,
            deployment!("/roleinstances/{instance}"),
            &[("comp", "rebuild"), ("resources", "allLocalDrives")],
        ),
        row(O::DeleteRoleInstances, POST, deployment!("/roleinstances"), &[("comp", "delete")]),
        row(O::ListServiceCertificates, GET, hosted!("/{service}/certificates"), &[]),
        row(O::GetServiceCertificate, GET, hosted!("/{service}/certificates/{key}"), &[]),
        row(O::AddServiceCertificate, POST, hosted!("/{service}/certificates"), &[]),
        row(O::DeleteServiceCertificate, DELETE, hosted!("/{service}/certificates/{key}"), &[]),
        row(O::GetFabricKey, GET, "welkin/fabric-key", &[]),
        row(O::GetCloudStatus, GET, "welkin/status", &[]),
        row(O::GetInstanceLog, GET, "welkin/services/{service}/slots/{slot}/instances/{instance}/log", &[]),
    ]
};
