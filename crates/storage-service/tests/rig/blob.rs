//! A request for each operation of the blob service.

use welkin_storage_wire::operation::{BlobOperation, Service};

use super::Sample;

const KEY_INFO: &str = "<KeyInfo><Expiry>2030-01-01T00:00:00Z</Expiry></KeyInfo>";
const URL: (&str, &str) = ("x-ms-copy-source", "http://127.0.0.1:1/devstoreaccount1/other/blob");

pub fn sample(operation: BlobOperation) -> Sample {
    use BlobOperation as Op;
    let of = |method: &str, target: &str, headers: &[(&str, &str)], body: &str| {
        Sample::new(Service::Blob, method, target, headers, body)
    };
    let at = |target: &str| format!("/container{target}");
    let blob = |query: &str| at(&format!("/blob{query}"));
    let put = |query: &str, headers: &[(&str, &str)]| of("PUT", &blob(query), headers, "");
    let batch = [("content-type", "multipart/mixed; boundary=b")];
    let parts = "--b\r\n\r\nDELETE /container/blob HTTP/1.1\r\n\r\n\r\n--b--\r\n";
    match operation {
        Op::ListContainers => of("GET", "/?comp=list", &[], ""),
        Op::GetBlobServiceProperties => of("GET", "/?restype=service&comp=properties", &[], ""),
        Op::SetBlobServiceProperties => {
            of("PUT", "/?restype=service&comp=properties", &[], "<StorageServiceProperties/>")
        }
        Op::GetBlobServiceStats => of("GET", "/?restype=service&comp=stats", &[], ""),
        Op::GetUserDelegationKey => of("POST", "/?restype=service&comp=userdelegationkey", &[], KEY_INFO),
        Op::GetAccountInformation => of("GET", "/?restype=account&comp=properties", &[], ""),
        Op::BlobBatch => of("POST", "/?comp=batch", &batch, parts),
        Op::FindBlobsByTags => of("GET", "/?comp=blobs&where=a%3D%27b%27", &[], ""),
        Op::PreflightBlobRequest => {
            of("OPTIONS", &blob(""), &[("origin", "http://a"), ("access-control-request-method", "GET")], "")
        }
        Op::CreateContainer => of("PUT", "/made?restype=container", &[], ""),
        Op::GetContainerProperties => of("GET", &at("?restype=container"), &[], ""),
        Op::GetContainerMetadata => of("GET", &at("?restype=container&comp=metadata"), &[], ""),
        Op::SetContainerMetadata => of("PUT", &at("?restype=container&comp=metadata"), &[], ""),
        Op::GetContainerAcl => of("GET", &at("?restype=container&comp=acl"), &[], ""),
        Op::SetContainerAcl => of("PUT", &at("?restype=container&comp=acl"), &[], "<SignedIdentifiers/>"),
        Op::DeleteContainer => of("DELETE", "/none?restype=container", &[], ""),
        Op::RestoreContainer => of("PUT", "/none?restype=container&comp=undelete", &[], ""),
        Op::RenameContainer => {
            of("PUT", "/none?restype=container&comp=rename", &[("x-ms-source-container-name", "absent")], "")
        }
        Op::LeaseContainer => of(
            "PUT",
            "/none?restype=container&comp=lease",
            &[("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "15")],
            "",
        ),
        Op::ListBlobs => of("GET", &at("?restype=container&comp=list"), &[], ""),
        Op::ContainerBatch => of("POST", &at("?restype=container&comp=batch"), &batch, parts),
        Op::FindBlobsByTagsInContainer => {
            of("GET", &at("?restype=container&comp=blobs&where=a%3D%27b%27"), &[], "")
        }
        Op::PutBlob => of("PUT", &blob(""), &[("x-ms-blob-type", "BlockBlob")], "content"),
        Op::PutAppendBlob => of("PUT", &at("/append"), &[("x-ms-blob-type", "AppendBlob")], ""),
        Op::PutPageBlob => of(
            "PUT",
            &at("/page"),
            &[("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", "512")],
            "",
        ),
        Op::PutBlobFromUrl => put("", &[("x-ms-blob-type", "BlockBlob"), URL]),
        Op::GetBlob => of("GET", &blob(""), &[], ""),
        Op::GetBlobProperties => of("HEAD", &blob(""), &[], ""),
        Op::SetBlobProperties => put("?comp=properties", &[]),
        Op::GetBlobMetadata => of("GET", &blob("?comp=metadata"), &[], ""),
        Op::SetBlobMetadata => put("?comp=metadata", &[]),
        Op::GetBlobTags => of("GET", &blob("?comp=tags"), &[], ""),
        Op::SetBlobTags => of("PUT", &blob("?comp=tags"), &[], "<Tags><TagSet/></Tags>"),
        Op::DeleteBlob => of("DELETE", &at("/none"), &[], ""),
        Op::UndeleteBlob => put("?comp=undelete", &[]),
        Op::SetBlobTier => put("?comp=tier", &[("x-ms-access-tier", "Cool")]),
        Op::SnapshotBlob => put("?comp=snapshot", &[]),
        Op::CopyBlob => put("", &[URL]),
        Op::CopyBlobFromUrl => put("", &[URL, ("x-ms-requires-sync", "true")]),
        Op::AbortCopyBlob => put("?comp=copy&copyid=1", &[("x-ms-copy-action", "abort")]),
        Op::IncrementalCopyBlob => put("?comp=incrementalcopy", &[URL]),
        Op::LeaseBlob => of(
            "PUT",
            &at("/none?comp=lease"),
            &[("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "15")],
            "",
        ),
        Op::SetBlobExpiry => put("?comp=expiry", &[("x-ms-expiry-option", "NeverExpire")]),
        Op::SetImmutabilityPolicy => put("?comp=immutabilityPolicies", &[]),
        Op::DeleteImmutabilityPolicy => of("DELETE", &blob("?comp=immutabilityPolicies"), &[], ""),
        Op::SetLegalHold => put("?comp=legalhold", &[("x-ms-legal-hold", "false")]),
        Op::QueryBlobContents => of("POST", &blob("?comp=query"), &[], "<QueryRequest/>"),
        Op::PutBlock => of("PUT", &blob("?comp=block&blockid=YWE%3D"), &[], "content"),
        Op::PutBlockFromUrl => put("?comp=block&blockid=YWE%3D", &[URL]),
        Op::PutBlockList => of("PUT", &blob("?comp=blocklist"), &[], "<BlockList/>"),
        Op::GetBlockList => of("GET", &blob("?comp=blocklist"), &[], ""),
        Op::AppendBlock => of("PUT", &at("/append?comp=appendblock"), &[], "content"),
        Op::AppendBlockFromUrl => of("PUT", &at("/append?comp=appendblock"), &[URL], ""),
        Op::SealBlob => put("?comp=seal", &[]),
        Op::PutPage => of(
            "PUT",
            &at("/page?comp=page"),
            &[("x-ms-page-write", "clear"), ("x-ms-range", "bytes=0-511")],
            "",
        ),
        Op::PutPageFromUrl => of(
            "PUT",
            &at("/page?comp=page"),
            &[("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-511"), URL],
            "",
        ),
        Op::GetPageRanges => of("GET", &at("/page?comp=pagelist"), &[], ""),
        Op::GetPageRangesDiff => {
            of("GET", &at("/page?comp=pagelist&prevsnapshot=2026-01-01T00%3A00%3A00.0000000Z"), &[], "")
        }
    }
}
