//! `welkin operation`: what was asked of the cloud, by whom, and how it ended.

use std::time::{Duration, SystemTime};

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
        #[command(flatten)]
        output: Output,
    },
    /// Show how an operation is going
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Wait until an operation has ended; fails when it did
    Wait {
        /// Its id
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
            Self::List { from, to, result, output } => {
                list(client, from.as_deref(), to.as_deref(), result.as_deref(), *output)
            }
            Self::Show { id, output } => {
                print_one(&client.get(&format!("operations/{id}"))?, STATUS, *output)
            }
            Self::Wait { id, timeout } => {
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

fn list(
    client: &Client,
    from: Option<&str>,
    to: Option<&str>,
    result: Option<&str>,
    output: Output,
) -> Result<(), ManageError> {
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
    print(&listing::list(
        &items,
        COLUMNS,
        output.json,
        "nothing was created, changed or deleted in that time",
    ))
}

/// A text as a value of a query.
pub fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
