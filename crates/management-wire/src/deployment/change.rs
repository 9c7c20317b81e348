//! What may be asked of a deployment that exists: another configuration or package, one domain of an update, the way
//! back, another slot, fewer instances.

use std::fmt;

use welkin_base::{DeploymentName, InstanceName, RoleName};
use welkin_fabric_wire::{UpdateMode, Warnings};

use super::warnings;
use crate::error::ApiError;
use crate::extended_property::{self, ExtendedProperties, PROPERTIES_MAX};
use crate::hosted_service::check_texts;
use crate::xml::{Fields, read};

/// Instances that one request deletes, at most: more than a service has (SMAPI §6: 25 roles).
const INSTANCES_MAX: usize = 10_000;

/// What `ChangeConfiguration` says. `Debug` leaves out the configuration: it may hold keys and passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct ChangeConfiguration {
    /// The text of the service configuration.
    pub configuration: String,
    /// How instances come to follow it.
    pub mode: UpdateMode,
    /// Whether what has no effect is an error.
    pub warnings: Warnings,
    /// The customer's own, instead of those that are there.
    pub extended_properties: Option<ExtendedProperties>,
}

/// What `UpgradeDeployment` says. `Debug` leaves out the configuration, and the URL: it may carry a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct UpgradeDeployment {
    /// How instances come to follow it.
    pub mode: UpdateMode,
    /// Where the package is.
    pub package_url: String,
    /// The text of the service configuration.
    pub configuration: String,
    /// For people.
    pub label: String,
    /// The only role that comes from the package; none for all of them.
    pub role: Option<RoleName>,
    /// Go on even where local data are lost.
    pub force: bool,
    /// Whether what has no effect is an error.
    pub warnings: Warnings,
    /// The customer's own, instead of those that are there.
    pub extended_properties: Option<ExtendedProperties>,
}

/// What `RollbackUpdateOrUpgrade` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollback {
    /// How instances come to follow what was before.
    pub mode: UpdateMode,
    /// Go on even where local data are lost.
    pub force: bool,
}

/// What `Swap` says: the deployment that is to be in production, and the one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// The deployment in the production slot; none when the slot is empty.
    pub production: Option<DeploymentName>,
    /// The deployment in the staging slot.
    pub source: DeploymentName,
}

impl fmt::Debug for ChangeConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeConfiguration").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl fmt::Debug for UpgradeDeployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeDeployment")
            .field("mode", &self.mode)
            .field("role", &self.role)
            .field("force", &self.force)
            .finish_non_exhaustive()
    }
}

impl ChangeConfiguration {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body or breaks a rule.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "ChangeConfiguration", |fields| {
            check_extensions(fields)?;
            Ok(Self {
                configuration: fields.required_base64("Configuration")?,
                mode: mode(fields)?,
                warnings: warnings(fields)?,
                extended_properties: extended_property::read(fields, PROPERTIES_MAX / 2)?,
            })
        })
    }
}

impl UpgradeDeployment {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body or breaks a rule.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "UpgradeDeployment", |fields| {
            check_extensions(fields)?;
            let label = fields.required_base64("Label")?;
            check_texts(Some(&label), None)?;
            let role = fields.text("RoleToUpgrade")?.filter(|name| !name.is_empty());
            let role = role.map(|name| RoleName::new(&name)).transpose();
            Ok(Self {
                mode: mode(fields)?,
                package_url: fields.required("PackageUrl")?,
                configuration: fields.required_base64("Configuration")?,
                label,
                role: role.map_err(|error| ApiError::bad_request(error.to_string()))?,
                force: fields.flag("Force")?,
                warnings: warnings(fields)?,
                extended_properties: extended_property::read(fields, PROPERTIES_MAX / 2)?,
            })
        })
    }
}

impl Rollback {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "RollbackUpdateOrUpgrade", |fields| {
            Ok(Self { mode: mode(fields)?, force: fields.flag("Force")? })
        })
    }
}

impl Swap {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "Swap", |fields| {
            let name = |text: String| {
                DeploymentName::new(&text).map_err(|error| ApiError::bad_request(error.to_string()))
            };
            let production = fields.text("Production")?.filter(|text| !text.is_empty());
            Ok(Self {
                production: production.map(name).transpose()?,
                source: name(fields.required("SourceDeployment")?)?,
            })
        })
    }
}

/// Reads the body of "Walk Upgrade Domain": the domain, counted from 0.
///
/// # Errors
/// When it is not such a body.
pub fn parse_walk(body: &[u8]) -> Result<u32, ApiError> {
    let domain = read(body, "WalkUpgradeDomain", |fields| fields.required("UpgradeDomain"))?;
    let bad = || ApiError::bad_request("UpgradeDomain must be the number of a domain, counted from 0");
    domain.trim().parse().map_err(|_| bad())
}

/// Reads the body of "Delete Role Instances": their names, each once.
///
/// # Errors
/// When it is not such a body, or names nothing.
pub fn parse_instances(body: &[u8]) -> Result<Vec<InstanceName>, ApiError> {
    let names = read(body, "RoleInstances", |fields| {
        let names = fields.each("Name").take(INSTANCES_MAX).map(|name| {
            let text = name.own_text();
            InstanceName::new(text.trim()).map_err(|error| ApiError::bad_request(error.to_string()))
        });
        names.collect::<Result<std::collections::BTreeSet<_>, _>>()
    })?;
    if names.is_empty() {
        return Err(ApiError::bad_request("RoleInstances must have a Name for each instance to delete"));
    }
    Ok(names.into_iter().collect())
}

fn mode(fields: Fields<'_, '_>) -> Result<UpdateMode, ApiError> {
    let mode = fields.text("Mode")?.unwrap_or_default();
    match mode.trim().to_ascii_lowercase().as_str() {
        "" | "auto" => Ok(UpdateMode::Automatic),
        "manual" => Ok(UpdateMode::Manual { domain: None }),
        "simultaneous" => Ok(UpdateMode::Simultaneous),
        _ => Err(ApiError::bad_request("Mode must be Auto, Manual or Simultaneous")),
    }
}

/// What both bodies may say and must leave empty.
fn check_extensions(fields: Fields<'_, '_>) -> Result<(), ApiError> {
    if fields.one("ExtensionConfiguration")?.is_some_and(Fields::has_children) {
        return Err(ApiError::bad_request("there are no extensions: leave ExtensionConfiguration out"));
    }
    Ok(())
}

/// `UpgradeType` of an update (SMAPI §6, "Deployment element").
#[must_use]
pub fn mode_name(mode: UpdateMode) -> &'static str {
    match mode {
        UpdateMode::Automatic => "Auto",
        UpdateMode::Manual { .. } => "Manual",
        UpdateMode::Simultaneous => "Simultaneous",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: fmt::Debug + PartialEq>(parsed: Result<T, ApiError>, expected: Result<T, &str>) {
        match (parsed, expected) {
            (Ok(parsed), Ok(expected)) => assert_eq!(parsed, expected),
            (Err(error), Err(part)) => assert!(error.message.contains(part), "{error}"),
            (parsed, expected) => panic!("{parsed:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn configurations() {
        let parse = |inner: &str| {
            let body = format!("<ChangeConfiguration>{inner}</ChangeConfiguration>");
            ChangeConfiguration::parse(body.as_bytes())
        };
        let expected = |mode| ChangeConfiguration {
            configuration: "<c/>".into(),
            mode,
            warnings: Warnings::Told,
            extended_properties: None,
        };
        let strict = ChangeConfiguration { warnings: Warnings::Refused, ..expected(UpdateMode::Automatic) };
        let flag = "<TreatWarningsAsError>true</TreatWarningsAsError>";
        check(parse(&format!("<Configuration>PGMvPg==</Configuration>{flag}")), Ok(strict));
        check(parse("<Configuration>PGMvPg==</Configuration>"), Ok(expected(UpdateMode::Automatic)));
        check(
            parse("<Mode>manual</Mode><Configuration>PGMvPg==</Configuration>"),
            Ok(expected(UpdateMode::Manual { domain: None })),
        );
        check(
            parse("<Configuration>PGMvPg==</Configuration><Mode>Simultaneous</Mode>"),
            Ok(expected(UpdateMode::Simultaneous)),
        );
        check(parse("<Mode>Auto</Mode>"), Err("Configuration"));
        check(parse("<Configuration>PGMvPg==</Configuration><Mode>fast</Mode>"), Err("Mode must be"));
    }

    #[test]
    fn upgrades() {
        let parse = |inner: &str| {
            let body = format!(
                "<UpgradeDeployment><Mode>Auto</Mode><PackageUrl>http://u</PackageUrl><Label>bA==</Label>\
                 <Configuration>PGMvPg==</Configuration>{inner}</UpgradeDeployment>"
            );
            UpgradeDeployment::parse(body.as_bytes())
        };
        let expected = |role: Option<&str>, force| UpgradeDeployment {
            mode: UpdateMode::Automatic,
            package_url: "http://u".into(),
            configuration: "<c/>".into(),
            label: "l".into(),
            role: role.map(|name| RoleName::new(name).unwrap()),
            force,
            warnings: Warnings::Told,
            extended_properties: None,
        };
        check(parse(""), Ok(expected(None, false)));
        check(parse("<RoleToUpgrade/><Force>true</Force>"), Ok(expected(None, true)));
        check(parse("<RoleToUpgrade>Web</RoleToUpgrade>"), Ok(expected(Some("Web"), false)));
        check(parse("<Force>perhaps</Force>"), Err("Force"));
        check(parse("<ExtensionConfiguration><A/></ExtensionConfiguration>"), Err("there are no extensions"));
    }

    #[test]
    fn the_others() {
        let automatic = Rollback { mode: UpdateMode::Automatic, force: true };
        let body = "<RollbackUpdateOrUpgrade><Mode>auto</Mode><Force>true</Force></RollbackUpdateOrUpgrade>";
        check(Rollback::parse(body.as_bytes()), Ok(automatic));
        check(parse_walk(b"<WalkUpgradeDomain><UpgradeDomain>3</UpgradeDomain></WalkUpgradeDomain>"), Ok(3));
        check(
            parse_walk(b"<WalkUpgradeDomain><UpgradeDomain>-1</UpgradeDomain></WalkUpgradeDomain>"),
            Err("counted from 0"),
        );
        let names = |texts: &[&str]| texts.iter().map(|text| InstanceName::new(text).unwrap()).collect();
        let body = b"<RoleInstances  xmlns='u'><Name>Web_IN_1</Name><Name>Web_IN_0</Name><Name>Web_IN_1</Name></RoleInstances >";
        check(parse_instances(body), Ok(names(&["Web_IN_0", "Web_IN_1"])));
        check(parse_instances(b"<RoleInstances/>"), Err("must have a Name"));
        let name = |text| DeploymentName::new(text).unwrap();
        check(
            Swap::parse(b"<Swap><Production>a</Production><SourceDeployment>b</SourceDeployment></Swap>"),
            Ok(Swap { production: Some(name("a")), source: name("b") }),
        );
        check(
            Swap::parse(b"<Swap><SourceDeployment>b</SourceDeployment></Swap>"),
            Ok(Swap { production: None, source: name("b") }),
        );
        check(Swap::parse(b"<Swap><Production>a</Production></Swap>"), Err("SourceDeployment"));
    }
}
