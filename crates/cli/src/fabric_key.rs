//! `welkin fabric-key`: the key to which service packages are encrypted.

use welkin_management_wire::cloud_status::FabricKey;

use crate::client::{Client, ClientError, Settings};

/// Prints the fabric controller's public key.
///
/// # Errors
/// When the cloud does not answer.
pub fn run(settings: &Settings) -> Result<(), ClientError> {
    let key: FabricKey = Client::new(settings)?.get_json("welkin/fabric-key")?;
    println!("{}", key.recipient);
    Ok(())
}
