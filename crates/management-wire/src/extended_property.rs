//! Extended properties: names and values that customers keep with a service, deployment or account.

use std::collections::BTreeMap;

use crate::error::ApiError;
use crate::xml::{Element, Fields};

/// A name in characters, at most (SMAPI §6, "Limits").
const NAME_CHARS_MAX: usize = 64;
/// A value in characters, at most (SMAPI §6, "Limits").
const VALUE_CHARS_MAX: usize = 255;
/// Properties of one service, at most (SMAPI §6, "Limits"); a deployment takes half.
pub const PROPERTIES_MAX: usize = 50;

/// Extended properties by name.
pub type ExtendedProperties = BTreeMap<String, String>;

/// Reads `ExtendedProperties` of a request; `None` when it is absent.
///
/// # Errors
/// When a name or value breaks a limit.
pub fn read(fields: Fields<'_, '_>, properties_max: usize) -> Result<Option<ExtendedProperties>, ApiError> {
    let Some(list) = fields.one("ExtendedProperties")? else { return Ok(None) };
    let mut properties = ExtendedProperties::new();
    for property in list.each("ExtendedProperty") {
        let name = property.required("Name")?;
        let value = property.text("Value")?.unwrap_or_default();
        check(&name, &value)?;
        if properties.insert(name.clone(), value).is_some() {
            return Err(ApiError::bad_request(format!("the extended property {name} occurs twice")));
        }
    }
    if properties.len() > properties_max {
        return Err(ApiError::bad_request(format!("at most {properties_max} extended properties are taken")));
    }
    Ok(Some(properties))
}

fn check(name: &str, value: &str) -> Result<(), ApiError> {
    let word = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !word || name.len() > NAME_CHARS_MAX {
        return Err(ApiError::bad_request(format!(
            "an extended property's name has at most {NAME_CHARS_MAX} letters, digits and underscores, \
             and begins with a letter"
        )));
    }
    if value.chars().count() > VALUE_CHARS_MAX {
        return Err(ApiError::bad_request(format!(
            "the extended property {name} has more than {VALUE_CHARS_MAX} characters"
        )));
    }
    Ok(())
}

/// The element `ExtendedProperties`.
#[must_use]
pub fn element(properties: &ExtendedProperties) -> Element {
    Element::new("ExtendedProperties").children(
        properties
            .iter()
            .map(|(name, value)| Element::new("ExtendedProperty").with("Name", name).with("Value", value)),
    )
}
