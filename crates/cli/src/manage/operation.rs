//! `welkin operation`: what was asked of the cloud, by whom, and how it ended.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use welkin_base::Timestamp;

use super::listing::{self, Column, Form, form, text};
use super::{ManageError, Output, print, print_one};
use crate::client::{Answer, Client};
use crate::deploy::Show;

/// How far back the history is asked for, unless told otherwise.
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Pages of the history that are read, at most.
const PAGES_MAX: usize = 1_000;

/// Verbs of `welkin operation`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:
  welkin operation list --from 2026-01-31 --result failed
  id=$(welkin deployment upgrade shop --package shop.cspkg --configuration shop.cscfg --no-wait)
  welkin operation wait $id")]
pub enum Operation {
    /// List what was created, changed and deleted, the last day's unless told otherwise
    List {
        /// From this day or moment on (UTC), such as 2026-01-31 or 2026-01-31T12:00:00Z
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Until this day or moment (UTC)
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// Only those that ended so
        #[arg(long, value_parser = ["succeeded", "failed", "in-progress"])]
        result: Option<String>,
        /// Whole ids and paths, when it ended, and who asked: wider than most terminals
        #[arg(long, conflicts_with = "json")]
        wide: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Show how an operation is going
    Show {
        /// Its id, or the beginning of it that `list` shows
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Wait until an operation has ended; fails when it did
    Wait {
        /// Its id, or the beginning of it that `list` shows
        id: String,
        /// How long to wait, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 1_800)]
        timeout: u64,
    },
}

const COLUMNS: &[Column] = &[
    text("id", "id", "OperationId"),
    text("operation", "name", "OperationName"),
    text("object", "object", "OperationObjectId"),
    text("status", "status", "OperationStatus/Status"),
    text("started", "started", "OperationStartedTime"),
    text("completed", "completed", "OperationCompletedTime"),
    text("by", "certificate", "OperationCaller/SubscriptionCertificateThumbprint"),
];
/// What fits into 100 columns: the longest name of an operation has 29 characters, the longest status 10.
const NARROW: &[Column] = &[
    text("id", "id", ""),
    text("operation", "name", ""),
    text("object", "object", ""),
    text("status", "status", ""),
    text("started", "started", ""),
];
const WHOLE_ID_CHARS: usize = 32;
/// As many as tell the operations of 90 days apart.
const ID_CHARS: usize = 8;
/// `2026-11-29 13:05`.
const MINUTE_CHARS: usize = 16;
/// What the other columns and the gaps leave of 100 columns.
const OBJECT_CHARS: usize = 100 - ID_CHARS - 29 - 10 - MINUTE_CHARS - 4 * 2;
/// The API tells of operations for so long.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);

type Item = Map<String, Value>;

const STATUS: &[Column] = &[
    text("id", "id", "ID"),
    text("status", "status", "Status"),
    form("http status", "httpStatus", "HttpStatusCode", Form::Number),
    text("error", "code", "Error/Code"),
    text("message", "message", "Error/Message"),
    form("warnings", "warnings", "Warnings/Warning", Form::List),
];

impl Operation {
    /// Carries the command out.
    pub fn run(&self, client: &Client) -> Result<(), ManageError> {
        match self {
            Self::List { from, to, result, wide, output } => {
                let items = history(client, from.as_deref(), to.as_deref(), result.as_deref())?;
                let empty = "nothing was created, changed or deleted in that time";
                if *wide || output.json {
                    return print(&listing::list(&items, COLUMNS, output.json, empty));
                }
                let items: Vec<Item> = items.iter().map(narrow).collect();
                print(&listing::list(&items, NARROW, false, empty))
            }
            Self::Show { id, output } => {
                print_one(&client.get(&format!("operations/{}", whole(client, id)?))?, STATUS, *output)
            }
            Self::Wait { id, timeout } => {
                let id = whole(client, id)?;
                let show = Show::new();
                show.step(&format!("waiting for the operation {id}"));
                let operation = Answer { text: String::new(), request_id: id.clone() };
                let ended =
                    client.wait(&operation, &format!("operation {id}"), Duration::from_secs(*timeout));
                show.clear();
                for warning in ended? {
                    eprintln!("warning: {warning}");
                }
                eprintln!("the operation {id} succeeded");
                Ok(())
            }
        }
    }
}

/// A line of the narrow table.
fn narrow(item: &Item) -> Item {
    let of = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    let first = |text: &str, chars: usize| text.chars().take(chars).collect::<String>();
    // The subscription is the profile's, and all but a few are services.
    let object = of("object").trim_start_matches('/');
    let object = object.split_once('/').map_or(object, |(_, rest)| rest);
    let object = object.strip_prefix("services/hostedservices/").unwrap_or(object);
    let object = object.strip_prefix("services/").unwrap_or(object);
    let object = match object.chars().count() > OBJECT_CHARS {
        true => format!("{}…", first(object, OBJECT_CHARS - 1)),
        false => object.to_owned(),
    };
    let texts = [
        ("id", first(of("id"), ID_CHARS)),
        ("name", of("name").to_owned()),
        ("object", object),
        ("status", of("status").to_owned()),
        ("started", first(of("started"), MINUTE_CHARS).replace('T', " ")),
    ];
    texts.into_iter().map(|(key, text)| (key.to_owned(), Value::from(text))).collect()
}

/// The whole id of an operation of which only the beginning is given.
fn whole(client: &Client, id: &str) -> Result<String, ManageError> {
    let digits: String = id.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let is_beginning = (ID_CHARS..WHOLE_ID_CHARS).contains(&digits.len())
        && digits.chars().all(|digit| digit.is_ascii_hexdigit());
    if !is_beginning {
        return Ok(id.to_owned());
    }
    let kept = Timestamp::from(SystemTime::now() - KEPT).to_iso7();
    for from in [None, Some(kept.as_str())] {
        let items = history(client, from, None, None)?;
        let ids = items.iter().filter_map(|item| item.get("id").and_then(Value::as_str));
        let found: Vec<String> = ids
            .map(|id| id.replace('-', "").to_ascii_lowercase())
            .filter(|id| id.starts_with(&digits))
            .collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one.clone()),
            several => {
                let message = format!("{} operations begin with {id}; give more of the id", several.len());
                return Err(ManageError::Wrong(message));
            }
        }
    }
    Err(ManageError::Wrong(format!("no operation begins with {id}: see `welkin operation list`")))
}

fn history(
    client: &Client,
    from: Option<&str>,
    to: Option<&str>,
    result: Option<&str>,
) -> Result<Vec<Item>, ManageError> {
    // Not in whole seconds: what began in this one is wanted too.
    let at = |moment: SystemTime| Timestamp::from(moment).to_iso7();
    let now = SystemTime::now();
    let from = from.map_or_else(|| at(now - DAY), str::to_owned);
    let to = to.map_or_else(|| at(now), str::to_owned);
    let mut query = format!("operations?StartTime={}&EndTime={}", escaped(&from), escaped(&to));
    if let Some(result) = result {
        let name = match result {
            "succeeded" => "Succeeded",
            "failed" => "Failed",
            _ => "InProgress",
        };
        query.push_str(&format!("&OperationResultFilter={name}"));
    }
    let (mut items, mut page) = (Vec::new(), query.clone());
    for _ in 0..PAGES_MAX {
        let answer = client.get(&page)?;
        items.extend(listing::items(&answer, "SubscriptionOperations/SubscriptionOperation", COLUMNS)?);
        let next = welkin_management_wire::answer::text(&answer.text, &["ContinuationToken"]);
        let Some(next) = next.filter(|token| !token.is_empty()) else { break };
        page = format!("{query}&ContinuationToken={}", escaped(&next));
    }
    Ok(items)
}

/// A text as a value of a query.
pub fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_into_a_hundred_columns() {
        let item = |object: &str| {
            let texts = [
                ("id", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
                ("name", "DeleteHostedServiceWithMedia"),
                ("object", object),
                ("status", "InProgress"),
                ("started", "2026-11-29T13:05:17Z"),
            ];
            texts.into_iter().map(|(key, text)| (key.to_owned(), Value::from(text))).collect::<Item>()
        };
        let sub = "00000000-0000-0000-0000-000000000001";
        for (object, expected) in [
            (format!("/{sub}/services/hostedservices/shop"), "shop"),
            (format!("/{sub}/services/storageservices/pictures"), "storageservices/pictures"),
            (format!("/{sub}/affinitygroups/near"), "affinitygroups/near"),
            (
                format!("/{sub}/services/hostedservices/guestbook/deploymentslots/production/roleinstances"),
                "guestbook/deploymentslots/pr…",
            ),
        ] {
            let narrow = narrow(&item(&object));
            assert_eq!(narrow["object"], expected);
            assert_eq!((&narrow["id"], &narrow["started"]), (&"6ba7b810".into(), &"2026-11-29 13:05".into()));
            let table = listing::list(&[narrow], NARROW, false, "");
            assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
        }
    }
}
