//! The bytes that rows name.

use std::collections::HashMap;

use welkin_store::{ExtentRef, StoreError};

use super::Check;
use crate::error::EngineError;

/// Bytes read at a time.
const PIECE_BYTES: usize = 1024 * 1024;
/// Bytes that the store has a checksum for: where a piece is damaged, it is looked for in steps of this.
const STEP_BYTES: usize = 64 * 1024;
/// Extents of one list.
const EXTENTS_LISTED: usize = 10_000;
/// Damaged places of one extent that are told; where there are more, most of it is gone.
const PLACES_TOLD: usize = 16;

/// The extents that there are, and whether a row names them.
#[derive(Debug, Default)]
pub(super) struct Extents(HashMap<ExtentRef, bool>);

impl Check<'_> {
    pub(super) async fn list_extents(&mut self) -> Result<(), EngineError> {
        let mut after = None;
        loop {
            let store = self.storage.store();
            let listed = match store.extents_at(self.snapshot, after.as_ref(), EXTENTS_LISTED).await {
                Ok(listed) => listed,
                Err(StoreError::Closed) => return Err(StoreError::Closed.into()),
                Err(error) => {
                    self.damaged("the list of extents".to_owned(), error.to_string()).await;
                    return Ok(());
                }
            };
            let Some(last) = listed.last() else { return Ok(()) };
            after = Some(last.clone());
            self.extents.0.extend(listed.into_iter().map(|extent| (extent, false)));
        }
    }

    /// Reads all bytes of an extent that a row names; `what` it is a part of.
    pub(super) async fn extent(&mut self, extent: &ExtentRef, what: &str) {
        match self.extents.0.get_mut(extent) {
            Some(is_named) if *is_named => return,
            Some(is_named) => *is_named = true,
            // Reading it tells what is wrong: that it is gone, or shorter.
            None => {}
        }
        self.checked.extents += 1;
        self.checked.extent_bytes += extent.length_bytes();
        let (mut offset, mut places) = (0, 0);
        while offset < extent.length_bytes() {
            if self.is_readable(extent, offset, PIECE_BYTES).await.is_ok() {
                offset += PIECE_BYTES as u64;
                continue;
            }
            let end = (offset + PIECE_BYTES as u64).min(extent.length_bytes());
            while offset < end {
                if let Err(why) = self.is_readable(extent, offset, STEP_BYTES).await {
                    places += 1;
                    self.damaged(what.to_owned(), why).await;
                }
                if places == PLACES_TOLD {
                    return;
                }
                offset += STEP_BYTES as u64;
            }
        }
    }

    async fn is_readable(&self, extent: &ExtentRef, offset: u64, length: usize) -> Result<(), String> {
        let expected = (extent.length_bytes() - offset).min(length as u64);
        match self.storage.store().read_extent_at(self.snapshot, extent, offset, length).await {
            Ok(bytes) if bytes.len() as u64 == expected => Ok(()),
            Ok(_) => Err(format!("its bytes from {offset} on are missing")),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) async fn unnamed_extents(&mut self) {
        let unnamed = self.extents.0.iter().filter(|(_, is_named)| !**is_named);
        let (count, bytes) =
            unnamed.fold((0, 0), |(count, bytes), (extent, _)| (count + 1, bytes + extent.length_bytes()));
        if count > 0 {
            let why = "no row names them: what is just written or deleted, and what a crash left, which the next \
                       start gives back";
            self.odd(format!("{count} extents with {bytes} bytes"), why.to_owned()).await;
        }
    }
}
