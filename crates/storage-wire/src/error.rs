//! One table maps each error code to its HTTP status and message (STORAGE, sections 0 and 8).
//!
//! A handler answers with a [`ProtocolError`]; [`ProtocolError::body`] writes it in the form of its
//! service: XML for blobs and queues, JSON or XML for tables.

use std::fmt;

use http::{HeaderMap, StatusCode};
use quick_xml::escape::escape;

use crate::operation::Service;
use crate::xml::is_xml;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $code:ident, $status:ident, $message:literal;)*) => {
        /// An error code of the protocol. The variant's name is what the wire says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "each variant's meaning is its message, in the table below")]
        pub enum ErrorCode { $($(#[$doc])* $code,)* }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The code as the wire spells it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)* }
            }

            /// The HTTP status that goes with the code.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)* }
            }

            /// What it means, for people.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$code => $message,)* }
            }
        }
    };
}

error_codes! {
    // Any service.
    NotModified, NOT_MODIFIED, "The condition specified using HTTP conditional header(s) is not met.";
    InvalidAuthenticationInfo, BAD_REQUEST, "The Authorization header is not in a form that is understood.";
    InvalidHeaderValue, BAD_REQUEST, "The value of one of the HTTP headers is not in the correct format.";
    InvalidInput, BAD_REQUEST, "One of the request inputs is not valid.";
    InvalidMd5, BAD_REQUEST, "The MD5 value specified in the request is invalid: it is 128 bits in base64.";
    Md5Mismatch, BAD_REQUEST, "The MD5 value specified in the request did not match the MD5 of what arrived.";
    InvalidMetadata, BAD_REQUEST, "The metadata is invalid: names are identifiers, and values are printable.";
    EmptyMetadataKey, BAD_REQUEST, "The name of one of the metadata pairs is empty.";
    MetadataTooLarge, BAD_REQUEST, "The metadata has more than 8 KiB.";
    InvalidQueryParameterValue, BAD_REQUEST, "The value of one of the query parameters is not valid.";
    OutOfRangeQueryParameterValue, BAD_REQUEST, "A query parameter is outside the permissible range.";
    OutOfRangeInput, BAD_REQUEST, "One of the request inputs is out of range.";
    InvalidResourceName, BAD_REQUEST, "The specified resource name contains invalid characters.";
    InvalidUri, BAD_REQUEST, "The requested URI does not represent any resource on the server.";
    RequestUrlFailedToParse, BAD_REQUEST, "The URL in the request could not be parsed.";
    InvalidXmlDocument, BAD_REQUEST, "The specified XML is not syntactically valid.";
    InvalidXmlNodeValue, BAD_REQUEST, "The value of one of the XML nodes is not valid.";
    MissingRequiredXmlNode, BAD_REQUEST, "A required XML node was not in the request body.";
    MissingRequiredHeader, BAD_REQUEST, "A required HTTP header was not specified.";
    MissingRequiredQueryParameter, BAD_REQUEST, "A required query parameter was not specified.";
    UnsupportedHeader, BAD_REQUEST, "One of the HTTP headers specified in the request is not supported.";
    MultipleConditionHeadersNotSupported, BAD_REQUEST, "More condition headers were given than are supported.";
    ConditionHeadersNotSupported, BAD_REQUEST, "Condition headers are not supported on this operation.";
    /// A bearer token that is not taken; the wire says `InvalidAuthenticationInfo`, with another status.
    InvalidToken, UNAUTHORIZED, "The server failed to authenticate the request. Refer to the WWW-Authenticate header.";
    NoAuthenticationInformation, UNAUTHORIZED, "The request has no credentials, and this resource is not public.";
    AuthenticationFailed, FORBIDDEN, "The server failed to authenticate the request. Check the Authorization header, or the shared access signature.";
    AuthorizationFailure, FORBIDDEN, "This request is not authorized to perform this operation.";
    AuthorizationPermissionMismatch, FORBIDDEN, "The credentials do not have the permission that this operation needs.";
    AuthorizationServiceMismatch, FORBIDDEN, "The credentials are not for this service.";
    AuthorizationResourceTypeMismatch, FORBIDDEN, "The credentials are not for this type of resource.";
    AuthorizationProtocolMismatch, FORBIDDEN, "The credentials are not for this protocol.";
    AuthorizationSourceIPMismatch, FORBIDDEN, "The credentials are not for this source address.";
    AccountRequiresHttps, BAD_REQUEST, "Plain HTTP was sent to an address of HTTPS.";
    InsufficientAccountPermissions, FORBIDDEN, "The account does not permit this operation.";
    UnauthorizedBlobOverwrite, FORBIDDEN, "The credentials may create blobs, but not overwrite them.";
    CorsPreflightFailure, FORBIDDEN, "CORS not enabled or no matching rule found for this request.";
    ResourceNotFound, NOT_FOUND, "The specified resource does not exist.";
    UnsupportedHttpVerb, METHOD_NOT_ALLOWED, "The resource does not support the specified HTTP verb.";
    ResourceAlreadyExists, CONFLICT, "The specified resource already exists.";
    MissingContentLengthHeader, LENGTH_REQUIRED, "The Content-Length header was not specified.";
    ConditionNotMet, PRECONDITION_FAILED, "The condition specified using HTTP conditional header(s) is not met.";
    RequestBodyTooLarge, PAYLOAD_TOO_LARGE, "The request body is larger than this operation takes.";
    InvalidRange, RANGE_NOT_SATISFIABLE, "The range specified is invalid for the current size of the resource.";
    InternalError, INTERNAL_SERVER_ERROR, "The server encountered an internal error. Please retry the request.";
    OperationTimedOut, INTERNAL_SERVER_ERROR, "The operation did not complete within the permitted time.";
    NotImplemented, NOT_IMPLEMENTED, "This operation of the protocol is not built in this server.";
    ServerBusy, SERVICE_UNAVAILABLE, "The server is busy. Please retry the request.";
    InsufficientStorage, INSUFFICIENT_STORAGE, "The server has no space left for writes.";
    // Blobs.
    ContainerNotFound, NOT_FOUND, "The specified container does not exist.";
    ContainerAlreadyExists, CONFLICT, "The specified container already exists.";
    ContainerBeingDeleted, CONFLICT, "The specified container is being deleted.";
    BlobNotFound, NOT_FOUND, "The specified blob does not exist.";
    BlobAlreadyExists, CONFLICT, "The specified blob already exists.";
    InvalidBlobType, CONFLICT, "The blob type is invalid for this operation.";
    InvalidBlobOrBlock, BAD_REQUEST, "The specified blob or block content is invalid: all block ids of a blob have one length.";
    InvalidBlockId, BAD_REQUEST, "The specified block ID is invalid: it is base64 of at most 64 bytes.";
    InvalidBlockList, BAD_REQUEST, "The specified block list is invalid: it names a block that was not uploaded.";
    BlockListTooLong, BAD_REQUEST, "The block list has more than 50,000 blocks.";
    BlockCountExceedsLimit, CONFLICT, "The blob has as many blocks as it can: 100,000 uncommitted, or 50,000 appended.";
    LeaseNotPresentWithBlobOperation, PRECONDITION_FAILED, "There is currently no lease on the blob.";
    LeaseNotPresentWithContainerOperation, PRECONDITION_FAILED, "There is currently no lease on the container.";
    Crc64Mismatch, BAD_REQUEST, "The CRC64 value specified in the request did not match the CRC64 of what arrived.";
    BlobIsSealed, CONFLICT, "The append blob is sealed: nothing more can be appended.";
    MaxBlobSizeConditionNotMet, PRECONDITION_FAILED, "The append blob would be longer than the max size condition permits.";
    AppendPositionConditionNotMet, PRECONDITION_FAILED, "The append blob does not end at the position that the condition says.";
    InvalidPageRange, RANGE_NOT_SATISFIABLE, "The page range is invalid: it is of whole pages of 512 bytes within the blob.";
    SequenceNumberConditionNotMet, PRECONDITION_FAILED, "The sequence number condition is not met.";
    SequenceNumberIncrementTooLarge, CONFLICT, "The sequence number is the highest that there is.";
    PreviousSnapshotNotFound, CONFLICT, "The previous snapshot is not found.";
    PreviousSnapshotCannotBeNewer, BAD_REQUEST, "The previous snapshot is newer than what it is compared with.";
    BlobOverwritten, CONFLICT, "The blob was overwritten after the previous snapshot.";
    BlobUsesCustomerSpecifiedEncryption, CONFLICT, "The blob is encrypted with a key of the client, which the request must bring.";
    BlobCustomerSpecifiedEncryptionMismatch, CONFLICT, "The content is encrypted with another key than the request brings.";
    BlobDoesNotUseCustomerSpecifiedEncryption, CONFLICT, "The blob is not encrypted with a key of the client.";
    RequestForbiddenByContainerEncryptionPolicy, FORBIDDEN, "The container permits no other encryption scope than its own.";
    DuplicateTagNames, BAD_REQUEST, "The tags have one key more than once.";
    EmptyTagName, BAD_REQUEST, "The key of a tag is empty.";
    InvalidTag, BAD_REQUEST, "A tag has characters that are not permitted: letters, digits, spaces and + - . / : = _ are.";
    TagsTooLarge, BAD_REQUEST, "The tags exceed the limit: 10 tags, keys of 128 and values of 256 characters.";
    InvalidBlobTier, CONFLICT, "The access tier is not one of this type of blob.";
    CannotChangeToLowerTier, CONFLICT, "A premium access tier cannot be changed to a lower one.";
    BlobArchived, CONFLICT, "The blob is archived: set another access tier before it is read.";
    PendingCopyOperation, CONFLICT, "There is a pending copy to the blob: nothing else may write it.";
    NoPendingCopyOperation, CONFLICT, "There is no pending copy to the blob.";
    CopyIdMismatch, CONFLICT, "The pending copy to the blob has another id.";
    // The status is that of the source's own answer.
    CannotVerifyCopySource, BAD_REQUEST, "The source of the copy cannot be read.";
    SourceConditionNotMet, PRECONDITION_FAILED, "A condition on the source of the copy is not met.";
    InvalidSourceBlobUrl, BAD_REQUEST, "The URL of the source is not one of a blob.";
    InvalidSourceBlobType, CONFLICT, "The source is of another type of blob than the operation copies.";
    IncrementalCopySourceMustBeSnapshot, CONFLICT, "The source of an incremental copy is a snapshot of a page blob.";
    IncrementalCopyBlobMismatch, CONFLICT, "The blob was not made by incremental copies of this source.";
    // Azure spells it so.
    IncrementalCopyOfEralierVersionSnapshotNotAllowed, CONFLICT, "A later snapshot of the source was copied already.";
    OperationNotAllowedOnIncrementalCopyBlob, CONFLICT, "The blob is made by incremental copies: its snapshots can be read and copied, and it can be deleted.";
    BlobImmutableDueToPolicy, CONFLICT, "The blob is protected by an immutability policy or a legal hold.";
    LeaseAlreadyPresent, CONFLICT, "There is already a lease present.";
    LeaseIdMismatchWithLeaseOperation, CONFLICT, "The lease ID specified did not match the lease ID of the lease.";
    LeaseNotPresentWithLeaseOperation, CONFLICT, "There is currently no lease.";
    LeaseIsBreakingAndCannotBeAcquired, CONFLICT, "The lease is being broken and cannot be acquired until it is broken.";
    LeaseIsBreakingAndCannotBeChanged, CONFLICT, "The lease is being broken, and its ID cannot be changed.";
    LeaseIsBrokenAndCannotBeRenewed, CONFLICT, "The lease has been broken explicitly and cannot be renewed.";
    LeaseIdMissing, PRECONDITION_FAILED, "There is currently a lease and no lease ID was specified in the request.";
    LeaseIdMismatchWithBlobOperation, PRECONDITION_FAILED, "The lease ID specified did not match the lease ID of the blob.";
    LeaseIdMismatchWithContainerOperation, PRECONDITION_FAILED, "The lease ID specified did not match the lease ID of the container.";
    LeaseLost, PRECONDITION_FAILED, "A lease ID was specified, but the lease has expired or was broken.";
    SnapshotsPresent, CONFLICT, "This operation is not permitted while the blob has snapshots.";
    OperationNotAllowedOnRootBlob, FORBIDDEN, "The operation is not allowed on the current version of a blob.";
    InvalidMarker, BAD_REQUEST, "The marker was not made by this listing.";
    SnapshotOperationNotSupported, BAD_REQUEST, "The operation is not supported on a snapshot.";
    InvalidVersionForOperation, BAD_REQUEST, "The operation is not supported on a version that is not the current one.";
    MutuallyExclusiveQueryParameters, BAD_REQUEST, "The request has query parameters that exclude each other.";
    WebContentNotFound, NOT_FOUND, "The requested content does not exist.";
    // Queues.
    QueueNotFound, NOT_FOUND, "The specified queue does not exist.";
    QueueAlreadyExists, CONFLICT, "The specified queue already exists.";
    QueueBeingDeleted, CONFLICT, "The specified queue is being deleted.";
    QueueNotEmpty, CONFLICT, "The specified queue is not empty.";
    MessageNotFound, NOT_FOUND, "The specified message does not exist.";
    MessageTooLarge, BAD_REQUEST, "The message exceeds the maximum of 64 KiB.";
    PopReceiptMismatch, BAD_REQUEST, "The specified pop receipt did not match the pop receipt of the message.";
    // Tables.
    TableNotFound, NOT_FOUND, "The table specified does not exist.";
    TableAlreadyExists, CONFLICT, "The table specified already exists.";
    TableBeingDeleted, CONFLICT, "The specified table is being deleted.";
    EntityNotFound, NOT_FOUND, "The entity specified does not exist.";
    EntityAlreadyExists, CONFLICT, "The specified entity already exists.";
    UpdateConditionNotSatisfied, PRECONDITION_FAILED, "The update condition specified in the request was not satisfied.";
    EntityTooLarge, BAD_REQUEST, "The entity is larger than the maximum of 1 MiB.";
    KeyValueTooLarge, BAD_REQUEST, "The PartitionKey or RowKey has more than 1 KiB.";
    TooManyProperties, BAD_REQUEST, "The entity contains more properties than allowed: 252 of its own.";
    PropertiesNeedValue, BAD_REQUEST, "The values are not specified for all properties in the entity.";
    PropertyNameInvalid, BAD_REQUEST, "The property name is invalid.";
    PropertyNameTooLong, BAD_REQUEST, "The property name exceeds the maximum of 255 characters.";
    PropertyValueTooLarge, BAD_REQUEST, "The property value exceeds the maximum of 64 KiB.";
    DuplicatePropertiesSpecified, BAD_REQUEST, "A property is specified more than one time.";
    InvalidValueType, BAD_REQUEST, "The value specified is not of the property's type.";
    InvalidDuplicateRow, BAD_REQUEST, "The entity group transaction names an entity more than once.";
    CommandsInBatchActOnDifferentPartitions, BAD_REQUEST, "All commands in an entity group transaction must act on one partition.";
    JsonFormatNotSupported, UNSUPPORTED_MEDIA_TYPE, "The JSON format asked for is not supported.";
    AtomFormatNotSupported, UNSUPPORTED_MEDIA_TYPE, "The Atom format is not supported; use JSON.";
    MediaTypeNotSupported, UNSUPPORTED_MEDIA_TYPE, "None of the media types in the Accept header is supported.";
    XMethodNotUsingPost, BAD_REQUEST, "The request uses X-HTTP-Method with an HTTP verb other than POST.";
    XMethodIncorrectValue, BAD_REQUEST, "The value of X-HTTP-Method is invalid.";
    XMethodIncorrectCount, BAD_REQUEST, "More than one X-HTTP-Method is specified.";
    HostInformationNotPresent, BAD_REQUEST, "The required host information is not present in the request.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An answer that is an error. What it says goes to the client; internal detail never does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {}", self.message())]
pub struct ProtocolError {
    code: ErrorCode,
    status: Option<StatusCode>,
    message: Option<String>,
    details: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
}

impl From<ErrorCode> for ProtocolError {
    fn from(code: ErrorCode) -> Self {
        Self { code, status: None, message: None, details: Vec::new(), headers: Vec::new() }
    }
}

impl ProtocolError {
    /// The error with a message of its own in place of the table's.
    #[must_use]
    pub fn saying(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..code.into() }
    }

    /// A header whose value cannot be used.
    #[must_use]
    pub fn header(name: &'static str, value: &str) -> Self {
        Self::from(ErrorCode::InvalidHeaderValue)
            .with_detail("HeaderName", name)
            .with_detail("HeaderValue", value)
    }

    /// A header that is missing.
    #[must_use]
    pub fn missing_header(name: &'static str) -> Self {
        Self::from(ErrorCode::MissingRequiredHeader).with_detail("HeaderName", name)
    }

    /// A query parameter whose value cannot be used.
    #[must_use]
    pub fn query(name: &str, value: &str) -> Self {
        Self::from(ErrorCode::InvalidQueryParameterValue)
            .with_detail("QueryParameterName", name)
            .with_detail("QueryParameterValue", value)
    }

    /// Adds an element to the XML body, such as `HeaderName`.
    #[must_use]
    pub fn with_detail(mut self, element: &'static str, value: &str) -> Self {
        self.details.push((element, value.chars().take(ECHO_CHARS_MAX).collect()));
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or(self.code.status())
    }

    /// Another status than the table's: an error of a copy's source has that of the source's answer.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    /// What `x-ms-error-code` says: a failed condition is `ConditionNotMet` for reads (304) and writes (412).
    #[must_use]
    pub fn code_text(&self) -> &'static str {
        match self.code {
            ErrorCode::NotModified => ErrorCode::ConditionNotMet.as_str(),
            ErrorCode::InvalidToken => ErrorCode::InvalidAuthenticationInfo.as_str(),
            code => code.as_str(),
        }
    }

    /// Headers that the answer has beside the common ones.
    #[must_use]
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// The message, without the request id and time.
    #[must_use]
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or(self.code.message())
    }

    /// The body and its content type. `request_id` and `time` end the message, as clients show them.
    #[must_use]
    pub fn body(&self, form: ErrorForm, request_id: &str, time: &str) -> (String, &'static str) {
        let message = format!("{}\nRequestId:{request_id}\nTime:{time}", self.message());
        match form {
            ErrorForm::Xml => (self.xml(&message), "application/xml"),
            ErrorForm::ODataJson => {
                (self.odata_json(&message), "application/json;odata=minimalmetadata;charset=utf-8")
            }
            ErrorForm::ODataXml => (self.odata_xml(&message), "application/xml;charset=utf-8"),
        }
    }

    fn xml(&self, message: &str) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error>");
        let mut element = |name: &str, value: &str| {
            let clean: String = value.chars().filter(|c| is_xml(*c)).collect();
            text.push_str(&format!("<{name}>{}</{name}>", escape(&clean)));
        };
        element("Code", self.code_text());
        element("Message", message);
        for (name, value) in &self.details {
            element(name, value);
        }
        text.push_str("</Error>");
        text
    }

    fn odata_xml(&self, message: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\
             <error xmlns=\"http://schemas.microsoft.com/ado/2007/08/dataservices/metadata\">\
             <code>{}</code><message xml:lang=\"en-US\">{}</message></error>",
            self.code_text(),
            escape(message.chars().filter(|c| is_xml(*c)).collect::<String>())
        )
    }

    fn odata_json(&self, message: &str) -> String {
        let code = self.code_text();
        let message = serde_json::json!({ "lang": "en-US", "value": message });
        serde_json::json!({ "odata.error": { "code": code, "message": message } }).to_string()
    }
}

/// In which form an error is written (STORAGE, section 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorForm {
    /// XML of blobs and queues.
    Xml,
    /// JSON of tables.
    ODataJson,
    /// XML of tables, for a client that does not accept JSON.
    ODataXml,
}

impl ErrorForm {
    /// The form for a request with these headers.
    #[must_use]
    pub fn of(service: Service, headers: &HeaderMap) -> Self {
        match service {
            Service::Blob | Service::Queue => Self::Xml,
            Service::Table => {
                let mut accept = headers.get_all(http::header::ACCEPT).iter().peekable();
                let any = accept.peek().is_none();
                let json = |value: &http::HeaderValue| {
                    value.to_str().is_ok_and(|text| text.contains("json") || text.contains('*'))
                };
                if any || accept.any(json) { Self::ODataJson } else { Self::ODataXml }
            }
        }
    }
}

/// An error echoes at most this much of a value that the client sent.
const ECHO_CHARS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let error = ProtocolError::query("comp", "<x\0\u{FFFE}>");
        let (xml, _) = error.body(ErrorForm::Xml, "id", "now");
        let document = roxmltree::Document::parse(&xml).unwrap();
        let text = |name: &str| {
            document.descendants().find(|n| n.has_tag_name(name)).and_then(|n| n.text()).unwrap().to_owned()
        };
        assert_eq!(text("Code"), "InvalidQueryParameterValue");
        assert_eq!(text("QueryParameterValue"), "<x>");
        assert!(text("Message").ends_with("RequestId:id\nTime:now"));
        let (json, _) = error.body(ErrorForm::ODataJson, "id", "now");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["odata.error"]["code"], "InvalidQueryParameterValue");
        let (xml, _) = ProtocolError::saying(ErrorCode::InvalidInput, "<\u{1}\u{FFFF}&>").body(
            ErrorForm::ODataXml,
            "id",
            "now",
        );
        let document = roxmltree::Document::parse(&xml).unwrap();
        let message = document.root_element().children().find(|n| n.tag_name().name() == "message").unwrap();
        assert_eq!(message.text().unwrap(), "<&>\nRequestId:id\nTime:now");
    }

    #[test]
    fn forms() {
        for (service, accept, expected) in [
            (Service::Queue, Some("application/json"), ErrorForm::Xml),
            (Service::Table, None, ErrorForm::ODataJson),
            (Service::Table, Some("application/json;odata=nometadata"), ErrorForm::ODataJson),
            (Service::Table, Some("application/xml, */*;q=0.1"), ErrorForm::ODataJson),
            (Service::Table, Some("application/atom+xml,application/xml"), ErrorForm::ODataXml),
            (Service::Table, Some(""), ErrorForm::ODataXml),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert("accept", accept.parse().unwrap());
            }
            assert_eq!(ErrorForm::of(service, &headers), expected, "{service:?} {accept:?}");
        }
    }

    #[test]
    fn statuses_are_errors() {
        for code in ErrorCode::ALL {
            assert!(code.status().as_u16() == 304 || code.status().as_u16() >= 400, "{code}");
        }
    }
}
