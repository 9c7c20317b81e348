//! Which operation a request calls: method, path and query against the table.

use std::collections::BTreeMap;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use welkin_base::{AccountName, DeploymentName, InstanceName, NameError, ServiceName};
use welkin_fabric_wire::Slot;

use crate::error::{ApiError, ErrorCode};
use crate::operation::{Operation, Row, TABLE};

/// A request's operation and what its path and query say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What is asked.
    pub operation: Operation,
    /// Of what.
    pub parameters: Parameters,
}

/// What names the deployment of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeploymentKey {
    /// `deployments/<name>`.
    Name(DeploymentName),
    /// `deploymentslots/<slot>`.
    Slot(Slot),
}

/// The parts of the path that the template leaves open, and the query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    path: BTreeMap<&'static str, String>,
    query: BTreeMap<String, String>,
}

impl Parameters {
    /// The text that the path has for a placeholder such as `{key}`.
    #[must_use]
    pub fn raw(&self, placeholder: &'static str) -> &str {
        self.path.get(placeholder).map_or("", String::as_str)
    }

    /// A query parameter; names are in lower case here.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// The hosted service's name.
    ///
    /// # Errors
    /// `BadRequest` when the text is no such name.
    pub fn service(&self) -> Result<ServiceName, ApiError> {
        ServiceName::new(self.raw("{service}")).map_err(|error| bad_name(&error))
    }

    /// The storage account's name.
    ///
    /// # Errors
    /// `BadRequest` when the text is no such name.
    pub fn account(&self) -> Result<AccountName, ApiError> {
        AccountName::new(self.raw("{account}")).map_err(|error| bad_name(&error))
    }

    /// The role instance's name.
    ///
    /// # Errors
    /// `BadRequest` when the text is no such name.
    pub fn instance(&self) -> Result<InstanceName, ApiError> {
        InstanceName::new(self.raw("{instance}")).map_err(|error| bad_name(&error))
    }

    /// The slot.
    ///
    /// # Errors
    /// `BadRequest` when the text is neither `production` nor `staging`.
    pub fn slot(&self) -> Result<Slot, ApiError> {
        parse_slot(self.raw("{slot}"))
    }

    /// The deployment, by name or by slot.
    ///
    /// # Errors
    /// `BadRequest` when the text is no such name or slot.
    pub fn deployment(&self) -> Result<DeploymentKey, ApiError> {
        if self.path.contains_key("{slot}") {
            return self.slot().map(DeploymentKey::Slot);
        }
        DeploymentName::new(self.raw("{deployment}"))
            .map(DeploymentKey::Name)
            .map_err(|error| bad_name(&error))
    }
}

fn bad_name(error: &NameError) -> ApiError {
    ApiError::bad_request(error.to_string())
}

fn parse_slot(text: &str) -> Result<Slot, ApiError> {
    match text.to_ascii_lowercase().as_str() {
        "production" => Ok(Slot::Production),
        "staging" => Ok(Slot::Staging),
        _ => {
            let shown: String = text.chars().take(40).collect();
            Err(ApiError::bad_request(format!("{shown:?} is not a slot: expected production or staging")))
        }
    }
}

/// The subscription that a path names, as text; `None` for `/subscriptions`, which names none.
#[must_use]
pub fn subscription_of(uri: &Uri) -> Option<&str> {
    let first = uri.path().trim_start_matches('/').split('/').next().unwrap_or("");
    (!first.eq_ignore_ascii_case("subscriptions")).then_some(first)
}

/// The operation that a request calls.
///
/// # Errors
/// `ResourceNotFound` when no operation has the path, `InvalidHttpVerb` when none that has it takes the
/// method, `MissingOrInvalidRequiredQueryParameter` when the query fits none.
pub fn route(method: &Method, uri: &Uri) -> Result<Call, ApiError> {
    let path = uri.path().trim_matches('/');
    let below = if subscription_of(uri).is_none() { path } else { path.split_once('/').map_or("", |p| p.1) };
    let segments: Vec<String> =
        if below.is_empty() { Vec::new() } else { below.split('/').map(decoded).collect() };
    let query = parse_query(uri.query().unwrap_or(""));
    let fits_path = |row: &&Row| fit_path(row.template, &segments).is_some();
    let rows: Vec<&Row> = TABLE.iter().filter(fits_path).collect();
    if rows.is_empty() {
        return Err(ApiError::not_found("the API has no such resource"));
    }
    let rows: Vec<&Row> = rows.into_iter().filter(|row| row.method == *method).collect();
    if rows.is_empty() {
        return Err(ApiError::new(
            ErrorCode::InvalidHttpVerb,
            format!("the resource does not take {method}"),
        ));
    }
    let Some(row) = rows.iter().find(|row| fits_query(row, &query)) else {
        let wanted: Vec<String> = rows
            .iter()
            .map(|row| row.query.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("&"))
            .map(|query| if query.is_empty() { "no comp".to_owned() } else { query })
            .collect();
        let message = format!("the query must be one of: {}", wanted.join(", "));
        return Err(ApiError::new(ErrorCode::MissingOrInvalidRequiredQueryParameter, message));
    };
    let path = fit_path(row.template, &segments).unwrap_or_default();
    Ok(Call { operation: row.operation, parameters: Parameters { path, query } })
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn parse_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name).to_ascii_lowercase(), decoded(value)))
        .collect()
}

fn fits_query(row: &Row, query: &BTreeMap<String, String>) -> bool {
    let has = |name: &str, value: &str| query.get(name).is_some_and(|got| got.eq_ignore_ascii_case(value));
    let says_comp = row.query.iter().any(|(name, _)| *name == "comp");
    row.query.iter().all(|(name, value)| has(name, value)) && (says_comp || !query.contains_key("comp"))
}

/// The values of the template's placeholders, when the path fits it.
fn fit_path(template: &'static str, segments: &[String]) -> Option<BTreeMap<&'static str, String>> {
    let mut values = BTreeMap::new();
    let mut rest = segments.iter();
    for part in template.split('/').filter(|part| !part.is_empty()) {
        let segment = rest.next()?;
        if part == "{deployment}" {
            let placeholder = match segment.to_ascii_lowercase().as_str() {
                "deployments" => "{deployment}",
                "deploymentslots" => "{slot}",
                _ => return None,
            };
            values.insert(placeholder, rest.next()?.clone());
        } else if part.starts_with('{') {
            values.insert(part, segment.clone());
        } else if !segment.eq_ignore_ascii_case(part) {
            return None;
        }
    }
    rest.next().is_none().then_some(values)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn requests_and_their_operations() {
        use Operation as O;
        for (method, path, expected) in [
            ("GET", "/subscriptions", Ok(O::ListSubscriptions)),
            ("GET", "/S", Ok(O::GetSubscription)),
            ("GET", "/S/locations", Ok(O::ListLocations)),
            ("GET", "/S/services/hostedservices", Ok(O::ListHostedServices)),
            ("GET", "/S/services/hostedservices/", Ok(O::ListHostedServices)),
            ("GET", "/S/services/hostedservices/operations/isavailable/a", Ok(O::CheckHostedServiceName)),
            ("GET", "/S/services/hostedservices/operations", Ok(O::GetHostedService)),
            ("GET", "/S/services/hostedservices/a?embed-detail=true", Ok(O::GetHostedService)),
            ("POST", "/S/services/hostedservices/a", Ok(O::SwapDeployment)),
            ("DELETE", "/S/services/hostedservices/a", Ok(O::DeleteHostedService)),
            ("DELETE", "/S/services/hostedservices/a?comp=media", Ok(O::DeleteHostedServiceWithMedia)),
            ("GET", "/S/services/hostedservices/a/deploymentslots/Production", Ok(O::GetDeployment)),
            ("GET", "/S/services/hostedservices/a/DeploymentSlots/sTAGING", Ok(O::GetDeployment)),
            ("GET", "/S/services/hostedservices/a/deployments/d", Ok(O::GetDeployment)),
            ("POST", "/S/services/hostedservices/a/deploymentslots/staging", Ok(O::CreateDeployment)),
            (
                "POST",
                "/S/services/hostedservices/a/deployments/d",
                Err(ErrorCode::MissingOrInvalidRequiredQueryParameter),
            ),
            (
                "POST",
                "/S/services/hostedservices/a/deployments/d/?comp=config",
                Ok(O::ChangeDeploymentConfiguration),
            ),
            (
                "POST",
                "/S/services/hostedservices/a/deployments/d?comp=walkupgradedomain",
                Ok(O::WalkUpgradeDomain),
            ),
            (
                "POST",
                "/S/services/hostedservices/a/deployments/d/?comp=nonsense",
                Err(ErrorCode::MissingOrInvalidRequiredQueryParameter),
            ),
            (
                "POST",
                "/S/services/hostedservices/a/deployments/d/roleinstances/i?comp=reboot",
                Ok(O::RebootRoleInstance),
            ),
            (
                "POST",
                "/S/services/hostedservices/a/deployments/d/roleinstances/?comp=delete",
                Ok(O::DeleteRoleInstances),
            ),
            (
                "POST",
                "/S/services/storageservices/a/keys?action=Regenerate",
                Ok(O::RegenerateStorageAccountKeys),
            ),
            (
                "POST",
                "/S/services/storageservices/a/keys",
                Err(ErrorCode::MissingOrInvalidRequiredQueryParameter),
            ),
            ("PATCH", "/S/locations", Err(ErrorCode::InvalidHttpVerb)),
            ("GET", "/S/nonsense", Err(ErrorCode::ResourceNotFound)),
            ("GET", "/S/services//hostedservices", Err(ErrorCode::ResourceNotFound)),
            ("GET", "/S/welkin/status", Ok(O::GetCloudStatus)),
            ("GET", "/S/welkin/services/a/slots/production/instances/i/log", Ok(O::GetInstanceLog)),
        ] {
            let got = route(&method.parse().unwrap(), &path.parse().unwrap());
            assert_eq!(got.map(|call| call.operation).map_err(|e| e.code), expected, "{method} {path}");
        }
    }

    #[test]
    fn each_row_of_the_table_is_reached() {
        let mut reached = BTreeSet::new();
        for row in TABLE {
            let uri = row.example("6ba7b810-9dad-11d1-80b4-00c04fd430c8").parse().unwrap();
            let call = route(&row.method, &uri).unwrap_or_else(|error| panic!("{row:?}: {error}"));
            assert_eq!(call.operation, row.operation, "{uri}");
            reached.insert(call.operation);
        }
        assert_eq!(reached.last(), Some(&Operation::GetInstanceLog));
        assert_eq!(reached.len(), Operation::GetInstanceLog as usize + 1, "an operation without a row");
    }

    #[test]
    fn parameters_are_typed() {
        let call = |path: &str| route(&Method::GET, &path.parse().unwrap()).unwrap().parameters;
        let by_slot = call("/S/services/hostedservices/a%2Db/deploymentslots/Production");
        assert_eq!(by_slot.service().unwrap().as_str(), "a-b");
        assert_eq!(by_slot.deployment().unwrap(), DeploymentKey::Slot(Slot::Production));
        let by_name = call("/S/services/hostedservices/a/deployments/Production");
        let name = DeploymentName::new("Production").unwrap();
        assert_eq!(by_name.deployment().unwrap(), DeploymentKey::Name(name));
        let bad = call("/S/services/hostedservices/a%2Fb/deploymentslots/blue?A=%3A");
        assert_eq!(bad.service().unwrap_err().code, ErrorCode::BadRequest);
        assert!(bad.deployment().unwrap_err().message.contains("blue"));
        assert_eq!(bad.query("a"), Some(":"));
    }
}
