//! Every operation of the blob service, and the way from a request to it (STORAGE, sections 1 to 3).

use http::Method;

use crate::error::{ErrorCode, ProtocolError};
use crate::operation::{operations, wrong_query, wrong_verb};
use crate::request::RequestHead;

operations! {
    /// An operation of the blob service.
    BlobOperation, Blob;
    // variant, name, built, resource, account SAS, service SAS, anonymous, effect
    ListContainers, "List Containers", Built, Service, "l", "", Never, Reads;
    GetBlobServiceProperties, "Get Blob Service Properties", Built, Service, "r", "", Never, Reads;
    SetBlobServiceProperties, "Set Blob Service Properties", Built, Service, "w", "", Never, Writes;
    GetBlobServiceStats, "Get Blob Service Stats", Built, Service, "r", "", Never, Reads;
    GetUserDelegationKey, "Get User Delegation Key", Built, Service, "", "", Never, Reads;
    GetAccountInformation, "Get Account Information", Built, Service, "rl", "racwdl", Never, Reads;
    BlobBatch, "Blob Batch", Built, Service, "dw", "dw", Never, Writes;
    FindBlobsByTags, "Find Blobs by Tags", Built, Service, "f", "f", Never, Reads;
    PreflightBlobRequest, "Preflight Blob Request", Built, Service, "", "", Always, Reads;
    CreateContainer, "Create Container", Built, Container, "cw", "", Never, Writes;
    GetContainerProperties, "Get Container Properties", Built, Container, "r", "", PublicContainer, Reads;
    GetContainerMetadata, "Get Container Metadata", Built, Container, "r", "", PublicContainer, Reads;
    SetContainerMetadata, "Set Container Metadata", Built, Container, "w", "", Never, Writes;
    GetContainerAcl, "Get Container ACL", Built, Container, "", "", Never, Reads;
    SetContainerAcl, "Set Container ACL", Built, Container, "", "", Never, Writes;
    DeleteContainer, "Delete Container", Built, Container, "d", "", Never, Writes;
    RestoreContainer, "Restore Container", Built, Container, "w", "", Never, Writes;
    RenameContainer, "Rename Container", Built, Container, "w", "", Never, Writes;
    LeaseContainer, "Lease Container", Built, Container, "w", "", Never, Writes;
    ListBlobs, "List Blobs", Built, Container, "l", "l", PublicContainer, Reads;
    ContainerBatch, "Container Batch", Built, Container, "dw", "dw", Never, Writes;
    FindBlobsByTagsInContainer, "Find Blobs by Tags in Container", Built, Container, "f", "f", Never, Reads;
    PutBlob, "Put Blob", Built, Object, "cw", "cw", Never, Writes;
    PutAppendBlob, "Put Blob (append)", Built, Object, "cw", "cw", Never, Writes;
    PutPageBlob, "Put Blob (page)", Built, Object, "cw", "cw", Never, Writes;
    PutBlobFromUrl, "Put Blob From URL", Built, Object, "cw", "cw", Never, Writes;
    GetBlob, "Get Blob", Built, Object, "r", "r", PublicBlob, Reads;
    GetBlobProperties, "Get Blob Properties", Built, Object, "r", "r", PublicBlob, Reads;
    SetBlobProperties, "Set Blob Properties", Built, Object, "w", "w", Never, Writes;
    GetBlobMetadata, "Get Blob Metadata", Built, Object, "r", "r", PublicBlob, Reads;
    SetBlobMetadata, "Set Blob Metadata", Built, Object, "w", "w", Never, Writes;
    GetBlobTags, "Get Blob Tags", Built, Object, "t", "t", Never, Reads;
    SetBlobTags, "Set Blob Tags", Built, Object, "t", "t", Never, Writes;
    DeleteBlob, "Delete Blob", Built, Object, "d", "d", Never, Writes;
    UndeleteBlob, "Undelete Blob", Built, Object, "w", "w", Never, Writes;
    SetBlobTier, "Set Blob Tier", Built, Object, "w", "w", Never, Writes;
    SnapshotBlob, "Snapshot Blob", Built, Object, "cw", "cw", Never, Writes;
    CopyBlob, "Copy Blob", Built, Object, "cw", "cw", Never, Writes;
    CopyBlobFromUrl, "Copy Blob From URL", Built, Object, "cw", "cw", Never, Writes;
    AbortCopyBlob, "Abort Copy Blob", Built, Object, "w", "w", Never, Writes;
    IncrementalCopyBlob, "Incremental Copy Blob", Built, Object, "w", "w", Never, Writes;
    LeaseBlob, "Lease Blob", Built, Object, "wd", "wd", Never, Writes;
    SetBlobExpiry, "Set Blob Expiry", Built, Object, "w", "w", Never, Writes;
    SetImmutabilityPolicy, "Set Blob Immutability Policy", Built, Object, "i", "i", Never, Writes;
    DeleteImmutabilityPolicy, "Delete Blob Immutability Policy", Built, Object, "i", "i", Never, Writes;
    SetLegalHold, "Set Blob Legal Hold", Built, Object, "i", "i", Never, Writes;
    QueryBlobContents, "Query Blob Contents", Built, Object, "r", "r", Never, Reads;
    PutBlock, "Put Block", Built, Object, "w", "w", Never, Writes;
    PutBlockFromUrl, "Put Block From URL", Built, Object, "w", "w", Never, Writes;
    PutBlockList, "Put Block List", Built, Object, "cw", "cw", Never, Writes;
    GetBlockList, "Get Block List", Built, Object, "r", "r", PublicBlob, Reads;
    AppendBlock, "Append Block", Built, Object, "aw", "aw", Never, Writes;
    AppendBlockFromUrl, "Append Block From URL", Built, Object, "aw", "aw", Never, Writes;
    SealBlob, "Append Blob Seal", Built, Object, "w", "w", Never, Writes;
    PutPage, "Put Page", Built, Object, "w", "w", Never, Writes;
    PutPageFromUrl, "Put Page From URL", Built, Object, "w", "w", Never, Writes;
    GetPageRanges, "Get Page Ranges", Built, Object, "r", "r", PublicBlob, Reads;
    GetPageRangesDiff, "Get Page Ranges (difference)", Built, Object, "r", "r", Never, Reads;
}

/// What a path of the blob service names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobResource {
    /// The account itself.
    Account,
    /// A container.
    Container(String),
    /// A blob; the container is `$root` when the path has one segment only.
    Blob {
        /// Its container.
        container: String,
        /// Its name, decoded.
        blob: String,
    },
}

/// The container of blobs whose path names none.
pub const ROOT_CONTAINER: &str = "$root";

impl BlobResource {
    /// The resource that a request's path names.
    ///
    /// # Errors
    /// When the path is not valid percent-encoded UTF-8.
    pub fn of(head: &RequestHead) -> Result<Self, ProtocolError> {
        let path = head.resource_path()?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        match path.split_once('/') {
            None if path.is_empty() => Ok(Self::Account),
            None if names_container(head) => Ok(Self::Container(path.to_owned())),
            None => Ok(Self::Blob { container: ROOT_CONTAINER.to_owned(), blob: path.to_owned() }),
            Some((container, "")) => Ok(Self::Container(container.to_owned())),
            Some((container, blob)) => {
                Ok(Self::Blob { container: container.to_owned(), blob: blob.replace('\\', "/") })
            }
        }
    }
}

/// Whether a path of one segment names a container. Azure says `restype=container` for all of them; without it
/// the segment is a blob of `$root`.
fn names_container(head: &RequestHead) -> bool {
    head.query.get("restype").is_some()
}

pub(super) fn route(head: &RequestHead) -> Result<BlobOperation, ProtocolError> {
    if head.method == Method::OPTIONS {
        return Ok(BlobOperation::PreflightBlobRequest);
    }
    let restype = head.query.get("restype");
    let comp = head.query.get("comp");
    if restype == Some("account") && comp == Some("properties") {
        return only_reads(head, BlobOperation::GetAccountInformation);
    }
    match BlobResource::of(head)? {
        BlobResource::Account => route_account(head, restype, comp),
        BlobResource::Container(_) => route_container(head, comp),
        BlobResource::Blob { .. } => route_blob(head, comp),
    }
}

fn only_reads(head: &RequestHead, operation: BlobOperation) -> Result<BlobOperation, ProtocolError> {
    if is_read(&head.method) { Ok(operation) } else { Err(wrong_verb()) }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn route_account(
    head: &RequestHead,
    restype: Option<&str>,
    comp: Option<&str>,
) -> Result<BlobOperation, ProtocolError> {
    use BlobOperation as Op;
    match (head.method.as_str(), restype, comp) {
        ("GET", None, Some("list")) => Ok(Op::ListContainers),
        ("GET", Some("service"), Some("properties")) => Ok(Op::GetBlobServiceProperties),
        ("PUT", Some("service"), Some("properties")) => Ok(Op::SetBlobServiceProperties),
        ("GET", Some("service"), Some("stats")) => Ok(Op::GetBlobServiceStats),
        ("POST", Some("service"), Some("userdelegationkey")) => Ok(Op::GetUserDelegationKey),
        // In path style the official client for JavaScript takes the account for a container.
        ("POST", None | Some("container"), Some("batch")) => Ok(Op::BlobBatch),
        ("GET", None, Some("blobs")) => Ok(Op::FindBlobsByTags),
        _ => Err(wrong_query(head)),
    }
}

fn route_container(head: &RequestHead, comp: Option<&str>) -> Result<BlobOperation, ProtocolError> {
    use BlobOperation as Op;
    if head.query.get("restype") != Some("container") {
        return Err(wrong_query(head));
    }
    match (head.method.as_str(), comp) {
        ("PUT", None) => Ok(Op::CreateContainer),
        ("GET" | "HEAD", None) => Ok(Op::GetContainerProperties),
        ("DELETE", None) => Ok(Op::DeleteContainer),
        ("GET" | "HEAD", Some("metadata")) => Ok(Op::GetContainerMetadata),
        ("PUT", Some("metadata")) => Ok(Op::SetContainerMetadata),
        ("GET" | "HEAD", Some("acl")) => Ok(Op::GetContainerAcl),
        ("PUT", Some("acl")) => Ok(Op::SetContainerAcl),
        ("PUT", Some("undelete")) => Ok(Op::RestoreContainer),
        ("PUT", Some("rename")) => Ok(Op::RenameContainer),
        ("PUT", Some("lease")) => Ok(Op::LeaseContainer),
        ("GET", Some("list")) => Ok(Op::ListBlobs),
        ("POST", Some("batch")) => Ok(Op::ContainerBatch),
        ("GET", Some("blobs")) => Ok(Op::FindBlobsByTagsInContainer),
        (_, None) => Err(wrong_verb()),
        (_, Some(_)) => Err(wrong_query(head)),
    }
}

fn route_blob(head: &RequestHead, comp: Option<&str>) -> Result<BlobOperation, ProtocolError> {
    use BlobOperation as Op;
    let from_url = head.headers.contains_key("x-ms-copy-source");
    match (head.method.as_str(), comp) {
        ("PUT", None) => route_put(head, from_url),
        ("GET", None) => Ok(Op::GetBlob),
        ("HEAD", None) => Ok(Op::GetBlobProperties),
        ("DELETE", None) => Ok(Op::DeleteBlob),
        ("PUT", Some("properties")) => Ok(Op::SetBlobProperties),
        ("GET" | "HEAD", Some("metadata")) => Ok(Op::GetBlobMetadata),
        ("PUT", Some("metadata")) => Ok(Op::SetBlobMetadata),
        ("GET", Some("tags")) => Ok(Op::GetBlobTags),
        ("PUT", Some("tags")) => Ok(Op::SetBlobTags),
        ("PUT", Some("undelete")) => Ok(Op::UndeleteBlob),
        ("PUT", Some("tier")) => Ok(Op::SetBlobTier),
        ("PUT", Some("snapshot")) => Ok(Op::SnapshotBlob),
        ("PUT", Some("copy")) => Ok(Op::AbortCopyBlob),
        ("PUT", Some("incrementalcopy")) => Ok(Op::IncrementalCopyBlob),
        ("PUT", Some("lease")) => Ok(Op::LeaseBlob),
        ("PUT", Some("expiry")) => Ok(Op::SetBlobExpiry),
        ("PUT", Some("immutabilityPolicies")) => Ok(Op::SetImmutabilityPolicy),
        ("DELETE", Some("immutabilityPolicies")) => Ok(Op::DeleteImmutabilityPolicy),
        ("PUT", Some("legalhold")) => Ok(Op::SetLegalHold),
        ("POST", Some("query")) => Ok(Op::QueryBlobContents),
        ("PUT", Some("block")) => Ok(if from_url { Op::PutBlockFromUrl } else { Op::PutBlock }),
        ("PUT", Some("blocklist")) => Ok(Op::PutBlockList),
        ("GET", Some("blocklist")) => Ok(Op::GetBlockList),
        ("PUT", Some("appendblock")) => Ok(if from_url { Op::AppendBlockFromUrl } else { Op::AppendBlock }),
        ("PUT", Some("seal")) => Ok(Op::SealBlob),
        ("PUT", Some("page")) => Ok(if from_url { Op::PutPageFromUrl } else { Op::PutPage }),
        ("GET", Some("pagelist")) if has_previous(head) => Ok(Op::GetPageRangesDiff),
        ("GET", Some("pagelist")) => Ok(Op::GetPageRanges),
        (_, None) => Err(wrong_verb()),
        (_, Some(_)) => Err(wrong_query(head)),
    }
}

/// Whether page ranges are compared with a snapshot.
fn has_previous(head: &RequestHead) -> bool {
    head.query.get("prevsnapshot").is_some() || head.headers.contains_key("x-ms-previous-snapshot-url")
}

fn route_put(head: &RequestHead, from_url: bool) -> Result<BlobOperation, ProtocolError> {
    use BlobOperation as Op;
    let synchronous = head.header("x-ms-requires-sync")?.is_some_and(|v| v.eq_ignore_ascii_case("true"));
    match (head.header("x-ms-blob-type")?, from_url) {
        (Some("BlockBlob"), true) => Ok(Op::PutBlobFromUrl),
        (None, true) if synchronous => Ok(Op::CopyBlobFromUrl),
        (None, true) => Ok(Op::CopyBlob),
        (Some("BlockBlob"), false) => Ok(Op::PutBlob),
        (Some("AppendBlob"), false) => Ok(Op::PutAppendBlob),
        (Some("PageBlob"), false) => Ok(Op::PutPageBlob),
        (None, false) => Err(ProtocolError::missing_header("x-ms-blob-type")),
        (Some(other), _) => Err(ProtocolError::from(ErrorCode::InvalidHeaderValue)
            .with_detail("HeaderName", "x-ms-blob-type")
            .with_detail("HeaderValue", other)),
    }
}
