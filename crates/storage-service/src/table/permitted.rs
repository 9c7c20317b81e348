//! The entities that a shared access signature is limited to (`spk`, `srk`, `epk`, `erk`).

use welkin_storage_wire::sas;
use welkin_storage_wire::table::filter::{Comparison, Operand};
use welkin_storage_wire::table::{EntityKey, Filter, Value, ValueRef};
use welkin_storage_wire::{ErrorCode, ProtocolError};

use crate::context::{Authorization, Context};

/// Refuses an entity outside of what a shared access signature permits.
pub(super) fn check(context: &Context, key: &EntityKey) -> Result<(), ProtocolError> {
    let property = |name: &str| match name {
        "PartitionKey" => Some(ValueRef::String(&key.partition)),
        "RowKey" => Some(ValueRef::String(&key.row)),
        _ => None,
    };
    match filter(context) {
        Some(filter) if !filter.matches(&property) => Err(ErrorCode::AuthorizationPermissionMismatch.into()),
        _ => Ok(()),
    }
}

/// The entities that a shared access signature permits, as a filter; `None` is all.
pub(super) fn filter(context: &Context) -> Option<Filter> {
    let Authorization::Sas { key_range, .. } = &context.authorization else { return None };
    let sas::KeyRange { start_partition, start_row, end_partition, end_row } = key_range;
    let start =
        start_partition.as_ref().map(|key| bound(key, start_row.as_deref(), Comparison::Gt, Comparison::Ge));
    let end =
        end_partition.as_ref().map(|key| bound(key, end_row.as_deref(), Comparison::Lt, Comparison::Le));
    match (start, end) {
        (Some(start), Some(end)) => Some(Filter::And(vec![start, end])),
        (start, end) => start.or(end),
    }
}

/// On the one side of a partition key, or in it and on that side of the row key.
fn bound(partition: &str, row: Option<&str>, beyond: Comparison, within: Comparison) -> Filter {
    let compare = |name: &str, comparison, text: &str| {
        Filter::Compare(
            Operand::Property(name.to_owned()),
            comparison,
            Operand::Constant(Value::String(text.to_owned())),
        )
    };
    match row {
        None => compare("PartitionKey", within, partition),
        Some(row) => Filter::Or(vec![
            compare("PartitionKey", beyond, partition),
            Filter::And(vec![
                compare("PartitionKey", Comparison::Eq, partition),
                compare("RowKey", within, row),
            ]),
        ]),
    }
}
