//! Deployments, as people and programs read them.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use welkin_base::{ServiceName, Timestamp};
use welkin_management_wire::answer;

use super::super::instance::COLUMNS as INSTANCES;
use super::super::listing::{self, Column, Form, form, text};
use super::super::operation::escaped;
use super::super::{ManageError, Output, only, print, print_list};
use super::{Events, Which};
use crate::client::Client;

/// How far back events are asked for, unless told otherwise.
const DAY: Duration = Duration::from_secs(24 * 3_600);

const COLUMNS: &[Column] = &[
    text("name", "name", "Name"),
    text("slot", "slot", "DeploymentSlot"),
    text("id", "id", "PrivateID"),
    text("status", "status", "Status"),
    form("label", "label", "Label", Form::Base64),
    text("url", "url", "Url"),
    form("addresses", "addresses", "VirtualIPs/VirtualIP/Address", Form::List),
    form("update domains", "updateDomains", "UpgradeDomainCount", Form::Number),
    text("update", "updateMode", "UpgradeStatus/UpgradeType"),
    form("updating domain", "updatingDomain", "UpgradeStatus/CurrentUpgradeDomain", Form::Number),
    text("updating", "updatingState", "UpgradeStatus/CurrentUpgradeDomainState"),
    form("locked", "locked", "Locked", Form::Flag),
    form("rollback allowed", "rollbackAllowed", "RollbackAllowed", Form::Flag),
    text("created", "created", "CreatedTime"),
    text("changed", "changed", "LastModifiedTime"),
    form("warnings", "warnings", "Warnings/Warning", Form::List),
];
const LISTED: &[Column] = &[
    text("service", "service", "service"),
    text("name", "name", "Name"),
    text("slot", "slot", "DeploymentSlot"),
    text("status", "status", "Status"),
    form("label", "label", "Label", Form::Base64),
    text("url", "url", "Url"),
    form("instances", "instances", "RoleInstanceList/RoleInstance/InstanceName", Form::List),
];
const EVENTS: &[Column] = &[
    text("role", "role", "RoleName"),
    text("instance", "instance", "InstanceName"),
    text("reason", "reason", "RebootReason"),
    text("time", "time", "RebootStartTime"),
];

/// The deployments of a service, or of all services.
pub(super) fn list(
    client: &Client,
    service: Option<&ServiceName>,
    output: Output,
) -> Result<(), ManageError> {
    let services = match service {
        Some(service) => vec![service.to_string()],
        None => {
            answer::texts(&client.get("services/hostedservices")?.text, &["HostedService", "ServiceName"])
        }
    };
    let mut items = Vec::new();
    for service in services {
        let answer = client.get(&format!("services/hostedservices/{service}?embed-detail=true"))?;
        for mut item in listing::items(&answer, "Deployments/Deployment", LISTED)? {
            item.insert("service".to_owned(), Value::from(service.clone()));
            items.push(item);
        }
    }
    print(&listing::list(&items, LISTED, output.json, "there are no deployments: `welkin deploy` makes one"))
}

/// One deployment, with its instances.
pub(super) fn one(client: &Client, which: &Which, output: Output) -> Result<(), ManageError> {
    let answer = client.get(&which.path())?;
    let mut item = only(&answer, COLUMNS)?;
    let instances = listing::items(&answer, "RoleInstanceList/RoleInstance", INSTANCES)?;
    if output.json {
        let instances = instances.into_iter().map(Value::Object).collect();
        item.insert("instances".to_owned(), Value::Array(instances));
        return print(&listing::pretty(&Value::Object(item)));
    }
    let instances = listing::list(&instances, INSTANCES, false, "there are no instances");
    print(&format!("{}\n{instances}", listing::one(&item, COLUMNS, false)))
}

/// The configuration, as it was given.
pub(super) fn configuration(client: &Client, which: &Which) -> Result<(), ManageError> {
    let answer = client.get(&which.path())?;
    let encoded = answer::text(&answer.text, &["Configuration"]).unwrap_or_default();
    let text = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| ManageError::Wrong("the answer's configuration is no text".to_owned()))?;
    print(&format!("{}\n", text.trim_end()))
}

/// What happened to the instances.
pub(super) fn events(client: &Client, events: &Events) -> Result<(), ManageError> {
    let at = |moment: SystemTime| Timestamp::from(moment).to_iso_seconds();
    let now = SystemTime::now();
    let from = events.from.clone().unwrap_or_else(|| at(now - DAY));
    let to = events.to.clone().unwrap_or_else(|| at(now));
    let path =
        format!("{}/events?starttime={}&endtime={}", events.which.path(), escaped(&from), escaped(&to));
    let empty = "no instance was restarted in that time";
    print_list(&client.get(&path)?, "RebootEvents/RebootEvent", EVENTS, events.output, empty)
}
