//! Storage for the roles: a configuration written for development runs against the cloud's own storage.
//!
//! A setting whose value is `UseDevelopmentStorage=true` means the emulator on the developer's machine. When such a
//! configuration is deployed, the setting gets the connection string of a storage account, as the classic publishing
//! tools did. Any other value is left as it is.

use welkin_base::AccountName;

use crate::client::GuestEndpoints;

/// What stands for the development storage in a connection string.
const DEVELOPMENT: &str = "UseDevelopmentStorage=true";

/// Whether a configuration has a setting that means the development storage.
pub fn wants_storage(configuration: &str) -> bool {
    configuration.contains(DEVELOPMENT)
}

/// The configuration with the account's connection string in place of the development storage.
pub fn fill_in(configuration: &str, guests: &GuestEndpoints, account: &AccountName, key: &str) -> String {
    configuration.replace(DEVELOPMENT, &connection_string(guests, account, key))
}

/// The connection string of an account, as role instances reach it. A secret.
fn connection_string(guests: &GuestEndpoints, account: &AccountName, key: &str) -> String {
    let at = |endpoint: &str| format!("{}/{account}", endpoint.trim_end_matches('/'));
    format!(
        "DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};BlobEndpoint={};QueueEndpoint={};TableEndpoint={}",
        at(&guests.blob),
        at(&guests.queue),
        at(&guests.table),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_development_storage_is_replaced() {
        let guests = GuestEndpoints {
            blob: "http://10.0.0.1:1".to_owned(),
            queue: "http://10.0.0.1:2".to_owned(),
            table: "http://10.0.0.1:3".to_owned(),
        };
        let account = "photos".parse().unwrap();
        let own = r#"<Setting name="a" value="UseDevelopmentStorage=true" />"#;
        let filled = fill_in(own, &guests, &account, "a2V5");
        assert_eq!(
            filled,
            r#"<Setting name="a" value="DefaultEndpointsProtocol=http;AccountName=photos;AccountKey=a2V5;BlobEndpoint=http://10.0.0.1:1/photos;QueueEndpoint=http://10.0.0.1:2/photos;TableEndpoint=http://10.0.0.1:3/photos" />"#
        );
        assert!(wants_storage(own) && !wants_storage(&filled));
        let other = r#"<Setting name="a" value="AccountName=elsewhere" />"#;
        assert_eq!(fill_in(other, &guests, &account, "a2V5"), other);
    }
}
