//! A range of a blob that has a list of blocks: only the rows of the list that the range needs are read, so that what
//! a read costs does not grow with the blob.

use std::collections::VecDeque;
use std::ops::Range;

use crate::Storage;
use crate::blob::read::{Part, cut};
use crate::blob::row::{Block, Chunk, RowKey};
use crate::error::EngineError;
use crate::record;
use crate::space::BLOBS;

/// A row of a list, where it is known where it begins.
struct Placed {
    index: u32,
    offset_bytes: u64,
    blocks: Vec<Block>,
}

impl Placed {
    fn end_bytes(&self) -> u64 {
        self.offset_bytes + self.blocks.iter().map(Block::length_bytes).sum::<u64>()
    }
}

/// What was found of a row.
enum Found {
    Placed(Placed),
    /// Rows of the first shape do not say where they begin.
    Placeless,
    /// The blob was overwritten meanwhile: who asks sees that its head changed.
    Gone,
}

impl Storage {
    /// What a list of so many rows has in the range.
    pub(super) async fn listed_parts(
        &self,
        partition: &[u8],
        (list, rows): (u32, u32),
        length_bytes: u64,
        range: &Range<u64>,
    ) -> Result<VecDeque<Part>, EngineError> {
        if range.is_empty() {
            return Ok(VecDeque::new());
        }
        let mut row = match self.row_at(partition, (list, rows), length_bytes, range.start).await? {
            Found::Placed(row) => row,
            Found::Gone => return Ok(VecDeque::new()),
            Found::Placeless => {
                let blocks = self.list_blocks(partition, list, rows).await?;
                return Ok(cut(blocks.into_iter().map(|block| Part::whole(block.piece)), range));
            }
        };
        let mut parts = VecDeque::new();
        loop {
            let (end, next) = (row.end_bytes(), row.index + 1);
            let within = range.start.saturating_sub(row.offset_bytes)..range.end - row.offset_bytes;
            parts.extend(cut(row.blocks.into_iter().map(|block| Part::whole(block.piece)), &within));
            if end >= range.end || next >= rows {
                return Ok(parts);
            }
            row = match self.list_row(partition, list, next).await? {
                Found::Placed(row) => row,
                Found::Gone | Found::Placeless => return Ok(VecDeque::new()),
            };
        }
    }

    /// The row in which this byte of the blob lies. Where blocks are of one length, it is found at once.
    async fn row_at(
        &self,
        partition: &[u8],
        (list, rows): (u32, u32),
        length_bytes: u64,
        offset_bytes: u64,
    ) -> Result<Found, EngineError> {
        let (mut low, mut high) = (0, rows);
        let guess = u128::from(offset_bytes) * u128::from(rows) / u128::from(length_bytes.max(1));
        let mut index = u32::try_from(guess).unwrap_or(0).min(rows.saturating_sub(1));
        while low < high {
            let row = match self.list_row(partition, list, index).await? {
                Found::Placed(row) => row,
                other => return Ok(other),
            };
            if offset_bytes < row.offset_bytes {
                high = index;
            } else if offset_bytes >= row.end_bytes() {
                low = index + 1;
            } else {
                return Ok(Found::Placed(row));
            }
            index = low + (high - low) / 2;
        }
        Ok(Found::Gone)
    }

    async fn list_row(&self, partition: &[u8], list: u32, index: u32) -> Result<Found, EngineError> {
        let key = RowKey::List { list, index }.to_bytes();
        let Some(row) = self.store().get(BLOBS, partition, &key).await? else { return Ok(Found::Gone) };
        let Chunk { offset_bytes, blocks } = record::decode(&row.value)?;
        let placed = |offset_bytes| Found::Placed(Placed { index, offset_bytes, blocks });
        Ok(offset_bytes.map_or(Found::Placeless, placed))
    }
}
