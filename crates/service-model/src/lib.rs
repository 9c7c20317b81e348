//! The classic cloud-service model: what a customer hands over, and what is wrong with it.
//!
//! | file | parsed by | joined into |
//! |---|---|---|
//! | service definition, `.csdef` | [`ServiceDefinition::parse`] | [`validate`] makes a [`ServiceModel`] of the two |
//! | service configuration, `.cscfg` | [`ServiceConfiguration::parse`] | |
//! | service package, `.cspkg` | [`Package::open`] | written by [`PackageWriter`] |
//!
//! Parsing is strict: an element or attribute that is not known is a [`Problem`] with its line and
//! column, and all of them are told at once. What a Linux guest cannot honour is refused or is a
//! warning; nothing is dropped in silence.

pub mod certificate;
pub mod configuration;
pub mod counts;
pub mod definition;
pub mod endpoint;
pub mod import;
pub mod local_resource;
pub mod model;
pub mod network_configuration;
pub mod package;
pub mod probe;
pub mod problem;
mod reference;
pub mod role;
mod shape;
pub mod site;
pub mod size;
pub mod startup_task;
pub mod text;
pub mod traffic_rule;
pub mod variable;
mod xml;

pub use configuration::{ServiceConfiguration, SettingValue};
pub use counts::with_instance_counts;
pub use definition::ServiceDefinition;
pub use model::{Role, ServiceModel, validate};
pub use network_configuration::NetworkConfiguration;
pub use package::{Package, PackageError, PackageWriter};
pub use problem::{Position, Problem, Problems, SourceFile};
pub use role::{RoleDefinition, RoleKind};
pub use size::RoleSize;
