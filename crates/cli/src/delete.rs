//! `welkin delete`: a deployment and its hosted service, and nothing left of them.

use std::time::Duration;

use welkin_base::ServiceName;

use crate::client::{Client, ClientError, Settings};

/// Instances are stopped in order, which may take as long as a role takes to stop.
const OPERATION_LIMIT: Duration = Duration::from_secs(900);

/// Arguments of `welkin delete`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  welkin delete guestbook                   deletes both deployments and the service
  welkin delete guestbook --slot staging    deletes one deployment and keeps the service")]
pub struct DeleteArgs {
    /// The hosted service
    pub service: ServiceName,
    /// Delete only the deployment in this slot, and keep the service
    #[arg(long, value_parser = ["production", "staging"])]
    pub slot: Option<String>,
}

/// Deletes and waits until it is gone.
///
/// # Errors
/// When the cloud does not answer or refuses.
pub fn run(args: &DeleteArgs, settings: &Settings) -> Result<(), ClientError> {
    let client = Client::new(settings)?;
    let service = format!("services/hostedservices/{}", args.service);
    // Says that there is no such service before anything is done.
    client.get(&service)?;
    let slots = args.slot.as_ref().map_or_else(|| vec!["production", "staging"], |slot| vec![slot.as_str()]);
    for slot in slots {
        match client.delete(&format!("{service}/deploymentslots/{slot}")) {
            Ok(operation) => {
                eprintln!("deleting the {slot} deployment of {}", args.service);
                client.wait(&operation, "deleting the deployment", OPERATION_LIMIT)?;
            }
            Err(error) if error.is_not_found() && args.slot.is_none() => {}
            Err(error) => return Err(error),
        }
    }
    if args.slot.is_none() {
        client.delete(&service)?;
        eprintln!("deleted the hosted service {}", args.service);
    }
    Ok(())
}
