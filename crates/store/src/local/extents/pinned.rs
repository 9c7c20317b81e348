//! Extents as of a moment that may have passed, and those of a backup.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::StoreError;
use crate::extent::ExtentRef;
use crate::local::extents::layout::{EXTENTS, extent_key};
use crate::local::extents::writer::Writer;
use crate::local::extents::{Extents, parse_id, parse_layout};
use crate::local::run_blocking;
use crate::moment::Moment;
use crate::row::ScanFrom;

impl Extents {
    /// Begins an extent with the id that it had when the backup was taken.
    pub(crate) fn restored(self: &Arc<Self>, id: u64, length_bytes: u64) -> Result<Writer, StoreError> {
        Ok(self.writer(Some(length_bytes))?.with_id(id))
    }

    /// Reads a part of an extent that was there at the moment, verified. Its pages must not be given back meanwhile.
    pub(crate) async fn read_at(
        self: &Arc<Self>,
        moment: &Moment,
        extent: &ExtentRef,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, StoreError> {
        let (extents, moment, id) = (self.clone(), moment.clone(), extent.place.0);
        run_blocking(move || {
            let row = extents.tables.get(&moment, &extent_key(id))?;
            let (_, value) = row.ok_or_else(|| StoreError::NoExtent(id.to_string()))?;
            let layout = parse_layout(id, &value)?;
            let rest = layout.length_bytes.saturating_sub(offset);
            let length = length.min(usize::try_from(rest).unwrap_or(usize::MAX));
            if length == 0 {
                return Ok(Bytes::new());
            }
            extents.read_now(&layout, offset, length)
        })
        .await
    }

    /// Extents that were there at the moment, in the order of their ids.
    pub(crate) async fn list_at(
        self: &Arc<Self>,
        moment: Moment,
        after: Option<&ExtentRef>,
        extents_max: usize,
    ) -> Result<Vec<ExtentRef>, StoreError> {
        let from = match after {
            None => ScanFrom::Start,
            Some(extent) => {
                ScanFrom::AfterRow(Bytes::new(), Bytes::copy_from_slice(&extent.place.0.to_be_bytes()))
            }
        };
        let tables = self.tables.clone();
        run_blocking(move || {
            let rows = tables.scan(&moment, EXTENTS, &from.into(), extents_max)?;
            rows.iter()
                .map(|row| {
                    let id = parse_id(&row.key)?;
                    let length_bytes = parse_layout(id, &row.value)?.length_bytes;
                    Ok(ExtentRef { place: (id, 0), length_bytes })
                })
                .collect()
        })
        .await
    }
}
