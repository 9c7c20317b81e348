//! Looks at all data.

use tokio::sync::mpsc;
use welkin_storage::check::{Checked, Finding};
use welkin_storage_service::control::access::{Access, AccessError};
use welkin_store::{Store, StoreError};

use super::{DataArgs, failed};
use crate::error::CliError;

/// Findings that wait to be printed.
const WAITING_MAX: usize = 16;

/// `welkin storage check`.
pub async fn run(args: &DataArgs) -> Result<(), CliError> {
    let access = match Access::to(&args.data).await {
        Ok(access) => access,
        Err(AccessError::Store(error @ StoreError::Damaged { .. })) => return Err(cannot_open(args, &error)),
        Err(error) => return Err(failed(&error)),
    };
    let (report, mut findings) = mpsc::channel::<Finding>(WAITING_MAX);
    let print = async {
        while let Some(Finding { is_damage, what, why }) = findings.recv().await {
            let verdict = if is_damage { "DAMAGED " } else { "odd     " };
            println!("{verdict} {what}\n         {why}");
        }
    };
    let (checked, ()) = tokio::join!(access.check(report), print);
    let checked = checked.map_err(|error| failed(&error))?;
    print!("{}", summary(&checked));
    match checked.damaged {
        0 => Ok(()),
        things => Err(CliError::Damaged { things }),
    }
}

/// What can be said of a store that is too damaged to be opened.
fn cannot_open(args: &DataArgs, error: &StoreError) -> CliError {
    println!("DAMAGED  the data as a whole, which cannot be opened\n         {error}");
    for file in Store::damaged_files_in(&args.data).unwrap_or_else(|error| vec![error]) {
        println!("DAMAGED  rows\n         {file}");
    }
    let data = args.data.display();
    CliError::Service(format!("{data} cannot be opened: restore a backup with `welkin storage restore`"))
}

fn summary(checked: &Checked) -> String {
    let Checked { accounts, containers, blobs, revisions, tables, entities, queues, messages, .. } = checked;
    let Checked { rows, extents, extent_bytes, damaged, odd, .. } = checked;
    let bytes = indicatif::BinaryBytes(*extent_bytes);
    format!(
        "checked  {accounts} accounts; {containers} containers, {blobs} blobs, {revisions} snapshots and versions; \
         {tables} tables, {entities} entities; {queues} queues, {messages} messages\n         \
         {rows} rows, and {extents} extents of {bytes}\n\
         found    {damaged} damaged, {odd} odd\n"
    )
}
