//! Fuzz targets for every parser of the Azure Storage protocol, the management API and the service model,
//! and for the certificates that customers upload.
//!
//! [`TARGETS`] is the one list. `./x fuzz` drives each of them with libFuzzer and looks for an input that panics, takes
//! too long, or breaks what its target asserts: what is parsed and written again is the same, limits hold, a refusal is
//! the client's fault and can be told. An ordinary `cargo test` runs each of them over the committed inputs in `corpus/`,
//! and sees to it that every parser is in the list.
//!
//! Modules by noun: [`request`], [`signature`], [`sas`], [`header`], [`list`]: heads of requests. [`xml`], [`tags`],
//! [`table`], [`batch`], [`sql`]: bodies. [`management`]: the management API. [`service_model`]: definitions,
//! configurations and packages. [`certificate`]: uploaded certificates. [`large`]: anything, many times over. [`server`]: whole requests. [`canary`] must fail.
//! [`input`], [`outcome`]: what they share.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target fails by panicking")]

mod batch;
mod canary;
mod certificate;
mod header;
mod input;
mod large;
mod list;
mod management;
mod outcome;
mod request;
mod sas;
mod server;
mod service_model;
mod signature;
mod sql;
mod table;
mod tags;
mod xml;

/// A parser, or a few of one noun, under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name; also that of its folder in `corpus/`.
    pub name: &'static str,
    /// Runs it over one input. Panics when something is wrong.
    pub run: fn(&[u8]),
    /// The functions of the crates that parse what clients send (`tests/list.rs` names them) that it calls with what it was given.
    pub parsers: &'static [&'static str],
}

/// Must be found failing.
pub const CANARY: Target = Target { name: "canary", run: canary::canary, parsers: &[] };

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "request",
        run: request::request,
        parsers: &[
            "error::ErrorForm::of",
            "operation::Operation::route",
            "operation::blob::BlobResource::of",
            "operation::queue::QueueResource::of",
            "operation::table::TableResource::of",
            "request::ApiVersion::parse",
            "request::RequestHead::parse",
            "request::RequestHead::within",
            "request::RequestHead::within_account",
            "request::client_request_id",
        ],
    },
    Target {
        name: "url_query",
        run: request::query,
        parsers: &["query::Query::number", "query::Query::parse"],
    },
    Target {
        name: "signature",
        run: signature::signature,
        parsers: &["shared_key::Signature::parse", "shared_key::verify", "shared_key::authorize"],
    },
    Target {
        name: "account_key",
        run: signature::account_key,
        parsers: &["shared_key::AccountKey::from_base64", "shared_key::AccountKey::verifies"],
    },
    Target { name: "sas", run: sas::sas, parsers: &["sas::Sas::of"] },
    Target { name: "sas_made", run: sas::sas_made, parsers: &["sas::blob_read_query"] },
    Target { name: "delegation", run: sas::key_info, parsers: &["delegation::KeyInfo::parse"] },
    Target {
        name: "bearer_token",
        run: sas::bearer_token,
        parsers: &["auth::token::of", "auth::token::user"],
    },
    Target { name: "roles", run: sas::roles, parsers: &["bearer::Roles::of", "bearer::challenge"] },
    Target {
        name: "headers",
        run: header::headers,
        parsers: &[
            "blob::lease::LeaseRequest::of",
            "blob::lease::lease_id",
            "blob::lease::source_lease_id",
            "condition::ConditionHeaders::of",
            "metadata::of",
            "table::answer::MetadataLevel::of",
        ],
    },
    Target {
        name: "copy_source",
        run: header::copy_source,
        parsers: &[
            "blob::copy::SourceUrl::of",
            "blob::copy::SourceUrl::parse",
            "blob::copy::conditions",
            "blob::copy::source_range",
        ],
    },
    Target { name: "range", run: header::ranges, parsers: &["range::parse"] },
    Target {
        name: "cors",
        run: header::cors,
        parsers: &["service::cors::preflight", "service::cors::actual"],
    },
    Target {
        name: "listing",
        run: list::listings,
        parsers: &[
            "blob::list::ListQuery::of",
            "queue::list::ListQuery::of",
            "queue::message::messages_max",
            "queue::message::time_to_live",
            "queue::message::visibility_timeout",
            "table::query::Continuation::of",
            "table::query::Query::of",
            "table::query::next_table",
        ],
    },
    Target {
        name: "names",
        run: list::names,
        parsers: &["queue::list::check_queue_name", "table::key::check_table_name"],
    },
    Target { name: "xml", run: xml::written, parsers: &["xml::read"] },
    Target { name: "access_policies", run: xml::access_policies, parsers: &["access::parse"] },
    Target {
        name: "block_list",
        run: xml::blocks,
        parsers: &["blob::block_list::parse", "blob::block_list::parse_block_id"],
    },
    Target { name: "service_properties", run: xml::service_properties, parsers: &["service::read::parse"] },
    Target { name: "query_request", run: xml::query_request, parsers: &["blob::query::parse"] },
    Target {
        name: "sql",
        run: sql::query,
        parsers: &["blob::query::Query::parse", "blob::query::Query::answer"],
    },
    Target { name: "message", run: xml::message, parsers: &["queue::message::parse_body"] },
    Target { name: "tags", run: tags::body, parsers: &["blob::tags::parse"] },
    Target { name: "tags_header", run: tags::header, parsers: &["blob::tags::parse_header"] },
    Target { name: "tag_filter", run: tags::filter, parsers: &["blob::tag_filter::TagFilter::parse"] },
    Target {
        name: "entity",
        run: table::entities,
        parsers: &["table::entity::EntityBody::parse", "table::value::Value::from_json"],
    },
    Target {
        name: "entity_key",
        run: table::keys,
        parsers: &["table::key::EntityKey::new", "table::key::EntityKey::parse"],
    },
    Target { name: "etag", run: table::etags, parsers: &["table::etag::Condition::parse"] },
    Target { name: "filter", run: table::filters, parsers: &["table::filter::parse::Filter::parse"] },
    Target {
        name: "multipart",
        run: batch::parts,
        parsers: &["multipart::boundary", "multipart::parse", "multipart::request"],
    },
    Target { name: "transaction", run: batch::transaction, parsers: &["table::batch::Batch::parse"] },
    Target { name: "pkcs12", run: certificate::pkcs12, parsers: &[] },
    Target { name: "certificate", run: certificate::certificate, parsers: &[] },
    Target {
        name: "management_request",
        run: management::request,
        parsers: &[
            "affinity_group::check_name",
            "route::route",
            "route::subscription_of",
            "subscription_operation::Query::parse",
            "version::check_version",
            "service_certificate::parse_key",
        ],
    },
    Target {
        name: "management_body",
        run: management::body,
        parsers: &[
            "affinity_group::CreateAffinityGroup::parse",
            "affinity_group::UpdateAffinityGroup::parse",
            "deployment::CreateDeployment::parse",
            "deployment::change::ChangeConfiguration::parse",
            "deployment::change::Rollback::parse",
            "deployment::change::Swap::parse",
            "deployment::change::UpgradeDeployment::parse",
            "deployment::change::parse_instances",
            "deployment::change::parse_walk",
            "deployment::parse_status",
            "hosted_service::CreateHostedService::parse",
            "hosted_service::UpdateHostedService::parse",
            "management_certificate::AddCertificate::parse",
            "service_certificate::CertificateFile::parse",
            "storage_account::CreateStorageAccount::parse",
            "storage_account::KeyType::parse",
            "storage_account::UpdateStorageAccount::parse",
            "xml::Fields::base64",
            "xml::Fields::flag",
            "xml::Fields::one",
            "xml::Fields::required",
            "xml::Fields::required_base64",
            "xml::Fields::text",
        ],
    },
    Target {
        name: "management_answer",
        run: management::answers,
        parsers: &["answer::error", "answer::outcome", "answer::text"],
    },
    Target {
        name: "definition",
        run: service_model::definition,
        parsers: &[
            "definition::ServiceDefinition::parse",
            "text::decode",
            "variable::InstanceValue::from_xpath",
        ],
    },
    Target {
        name: "configuration",
        run: service_model::configuration,
        parsers: &[
            "configuration::ServiceConfiguration::parse",
            "xml::Reader::choice",
            "xml::Reader::flag",
            "xml::Reader::number",
            "xml::Reader::port",
        ],
    },
    Target { name: "service", run: service_model::service, parsers: &["model::validate"] },
    Target {
        name: "package",
        run: service_model::package,
        parsers: &[
            "package::archive::Archive::file",
            "package::archive::Archive::read_small",
            "package::open::Package::inside",
            "package::open::Package::open",
            "package::open::Package::read",
            "package::recipient",
        ],
    },
    Target {
        name: "package_manifest",
        run: service_model::manifest,
        parsers: &["package::content::Stored::verify", "package::manifest::Manifest::parse"],
    },
    Target { name: "large", run: large::repeated, parsers: &[] },
    Target { name: "server", run: server::requests, parsers: &[] },
];

/// The target of that name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().chain([&CANARY]).find(|target| target.name == name).copied()
}
