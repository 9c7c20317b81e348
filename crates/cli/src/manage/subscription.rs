//! The subscription of a profile, as whoever manages it sees it. Making subscriptions is the operator's.

use serde_json::{Map, Value};

use super::listing::{self, Column, Form, form, text};
use super::{ManageError, Output, only, print};
use crate::client::{Client, Settings};

const COLUMNS: &[Column] = &[
    text("management", "management", ""),
    text("folder", "folder", ""),
    text("subscription", "subscription", "SubscriptionID"),
    text("name", "name", "SubscriptionName"),
    text("status", "status", "SubscriptionStatus"),
    form("cores used", "cores", "CurrentCoreCount", Form::Number),
    form("of", "coresMax", "MaxCoreCount", Form::Number),
    form("services", "hostedServices", "CurrentHostedServices", Form::Number),
    form("of", "hostedServicesMax", "MaxHostedServices", Form::Number),
    form("accounts", "storageAccounts", "CurrentStorageAccounts", Form::Number),
    form("of", "storageAccountsMax", "MaxStorageAccounts", Form::Number),
];
const PROFILES: &[Column] = &[
    text("profile", "profile", ""),
    text("management", "management", ""),
    text("subscription", "subscription", ""),
    text("folder", "folder", ""),
];

/// Shows where the profile's cloud is, and the subscription with its quotas.
pub fn show(client: &Client, output: Output) -> Result<(), ManageError> {
    let mut item = only(&client.get("")?, COLUMNS)?;
    let settings = client.settings();
    item.insert("management".to_owned(), Value::from(settings.management.clone()));
    item.insert("folder".to_owned(), Value::from(settings.folder.display().to_string()));
    print(&listing::one(&item, COLUMNS, output.json))
}

/// Lists profiles.
pub fn print_profiles(profiles: &[(String, Settings)], output: Output) -> Result<(), ManageError> {
    let item = |(name, settings): &(String, Settings)| -> Map<String, Value> {
        let values = [
            name.clone(),
            settings.management.clone(),
            settings.subscription.to_string(),
            settings.folder.display().to_string(),
        ];
        PROFILES.iter().zip(values).map(|(column, value)| (column.key.to_owned(), value.into())).collect()
    };
    let items: Vec<_> = profiles.iter().map(item).collect();
    print(&listing::list(&items, PROFILES, output.json, "there are no profiles: `welkin login` makes one"))
}
