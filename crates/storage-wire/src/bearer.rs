//! Roles of the users of bearer tokens, and the operations that each permits (STORAGE, section 0.3).
//!
//! A token's claim holds names of roles: `Storage Blob Data Reader` is one on every account,
//! `Storage Blob Data Reader/pictures` on that one.

use crate::operation::{BlobOperation as Blob, Operation, QueueOperation as Queue, Service};
use crate::request::ApiVersion;

/// A built-in role of Azure Storage's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    BlobReader,
    BlobContributor,
    BlobOwner,
    BlobDelegator,
    QueueReader,
    QueueContributor,
    QueueProcessor,
    QueueSender,
    TableReader,
    TableContributor,
}

/// Each role as Azure names it.
const NAMES: [(Role, &str); 10] = [
    (Role::BlobReader, "Storage Blob Data Reader"),
    (Role::BlobContributor, "Storage Blob Data Contributor"),
    (Role::BlobOwner, "Storage Blob Data Owner"),
    (Role::BlobDelegator, "Storage Blob Delegator"),
    (Role::QueueReader, "Storage Queue Data Reader"),
    (Role::QueueContributor, "Storage Queue Data Contributor"),
    (Role::QueueProcessor, "Storage Queue Data Message Processor"),
    (Role::QueueSender, "Storage Queue Data Message Sender"),
    (Role::TableReader, "Storage Table Data Reader"),
    (Role::TableContributor, "Storage Table Data Contributor"),
];

/// The roles that a user has on one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles(u16);

impl Roles {
    /// The roles on the account among the names of a token's claim. Names that are no roles say nothing.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>, account: &str) -> Self {
        let mut bits = 0;
        for name in names {
            let (name, limited) = name.split_once('/').map_or((name, None), |(name, to)| (name, Some(to)));
            if limited.is_none_or(|to| to == account)
                && let Some((role, _)) =
                    NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name.trim()))
            {
                bits |= bit(*role);
            }
        }
        Self(bits)
    }

    /// One bit for each role.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Those of the roles that are of the service.
    #[must_use]
    pub fn of_service(self, service: Service) -> Self {
        Self(self.0 & mask(service))
    }

    /// Every set of roles that a user may have in the service.
    pub fn every(service: Service) -> impl Iterator<Item = Self> {
        let mask = mask(service);
        (0..=mask).filter(move |bits| bits & !mask == 0).map(Self)
    }

    /// Whether one of the roles permits the operation.
    #[must_use]
    pub fn permit(self, operation: Operation) -> bool {
        NAMES.iter().any(|(role, _)| self.0 & bit(*role) != 0 && permits(*role, operation))
    }
}

fn bit(role: Role) -> u16 {
    1 << role as u16
}

fn mask(service: Service) -> u16 {
    let roles: &[Role] = match service {
        Service::Blob => &[Role::BlobReader, Role::BlobContributor, Role::BlobOwner, Role::BlobDelegator],
        Service::Queue => {
            &[Role::QueueReader, Role::QueueContributor, Role::QueueProcessor, Role::QueueSender]
        }
        Service::Table => &[Role::TableReader, Role::TableContributor],
    };
    roles.iter().fold(0, |bits, role| bits | bit(*role))
}

fn permits(role: Role, operation: Operation) -> bool {
    let writes = operation.spec().writes;
    match (role, operation) {
        (Role::BlobOwner, Operation::Blob(_)) => true,
        (Role::BlobDelegator, Operation::Blob(operation)) => operation == Blob::GetUserDelegationKey,
        (Role::BlobContributor, Operation::Blob(operation)) => !owners(operation),
        (Role::BlobReader, Operation::Blob(operation)) => !writes && !owners(operation),
        (Role::QueueContributor, Operation::Queue(_)) => true,
        (Role::QueueReader, Operation::Queue(operation)) => !writes && operation != Queue::GetQueueAcl,
        (Role::QueueProcessor, Operation::Queue(operation)) => {
            matches!(operation, Queue::GetMessages | Queue::PeekMessages | Queue::DeleteMessage)
        }
        (Role::QueueSender, Operation::Queue(operation)) => operation == Queue::PutMessage,
        (Role::TableContributor, Operation::Table(_)) => true,
        (Role::TableReader, Operation::Table(_)) => !writes,
        _ => false,
    }
}

/// What only owners may do: access, tags, holds, and the service's properties.
fn owners(operation: Blob) -> bool {
    matches!(
        operation,
        Blob::GetBlobServiceProperties
            | Blob::SetBlobServiceProperties
            | Blob::GetContainerAcl
            | Blob::SetContainerAcl
            | Blob::GetBlobTags
            | Blob::SetBlobTags
            | Blob::FindBlobsByTags
            | Blob::FindBlobsByTagsInContainer
            | Blob::SetImmutabilityPolicy
            | Blob::DeleteImmutabilityPolicy
            | Blob::SetLegalHold
    )
}

/// Since then an anonymous request that is refused is told where tokens come from.
const CHALLENGE_SINCE: &str = "2019-12-12";

/// What `WWW-Authenticate` tells a client of the version that could have a token.
#[must_use]
pub fn challenge(version: &ApiVersion, issuer: &str, audience: &str) -> Option<String> {
    let told = version.as_str() >= CHALLENGE_SINCE;
    told.then(|| format!("Bearer authorization_uri={issuer} resource_id={audience}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::TableOperation as Table;

    #[test]
    fn roles_and_operations() {
        for (name, operation, permitted) in [
            ("Storage Blob Data Reader", Operation::Blob(Blob::GetBlob), true),
            ("storage blob data reader/a", Operation::Blob(Blob::GetBlob), true),
            ("Storage Blob Data Reader/b", Operation::Blob(Blob::GetBlob), false),
            ("Storage Blob Data Reader", Operation::Blob(Blob::PutBlob), false),
            ("Storage Blob Data Reader", Operation::Blob(Blob::GetBlobTags), false),
            ("Storage Blob Data Reader", Operation::Queue(Queue::PeekMessages), false),
            ("Storage Blob Data Contributor", Operation::Blob(Blob::PutBlob), true),
            ("Storage Blob Data Contributor", Operation::Blob(Blob::SetContainerAcl), false),
            ("Storage Blob Data Owner", Operation::Blob(Blob::SetContainerAcl), true),
            ("Storage Blob Delegator", Operation::Blob(Blob::GetUserDelegationKey), true),
            ("Storage Blob Delegator", Operation::Blob(Blob::GetBlob), false),
            ("Storage Queue Data Message Sender", Operation::Queue(Queue::PutMessage), true),
            ("Storage Queue Data Message Sender", Operation::Queue(Queue::GetMessages), false),
            ("Storage Queue Data Message Processor", Operation::Queue(Queue::GetMessages), true),
            ("Storage Table Data Reader", Operation::Table(Table::QueryEntities), true),
            ("Storage Table Data Reader", Operation::Table(Table::InsertEntity), false),
            ("Owner", Operation::Blob(Blob::GetBlob), false),
        ] {
            assert_eq!(Roles::of([name], "a").permit(operation), permitted, "{name} {operation:?}");
        }
        assert_eq!(Roles::every(Service::Blob).count(), 16);
        assert_eq!(Roles::every(Service::Table).count(), 4);
    }
}
