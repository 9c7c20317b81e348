//! What is written of one segment: pure.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::blob::content::Piece;
use crate::blob::row::{Run, Segment};
use crate::blob::state::Content;

/// The rows of one segment, by epoch.
pub(crate) type Epochs = BTreeMap<u32, Segment>;

/// The row of a segment that a content has, with its epoch.
pub(crate) fn seen<'a>(content: &Content, segment: u32, rows: &'a Epochs) -> Option<(u32, &'a Segment)> {
    let epochs = content.epochs_of(segment)?;
    rows.range(epochs).next_back().map(|(epoch, row)| (*epoch, row))
}

impl Run {
    /// Which bytes of the segment it has.
    pub(crate) fn range(&self) -> Range<u32> {
        self.start_bytes..self.start_bytes + self.length_bytes
    }

    /// A part of it.
    fn part(&self, range: Range<u32>) -> Self {
        Self {
            start_bytes: range.start,
            length_bytes: range.end - range.start,
            piece: self.piece.clone(),
            skipped_bytes: self.skipped_bytes + (range.start - self.start_bytes),
            epoch: self.epoch,
        }
    }

    /// Whether the other one goes on where this one ends, in the segment and in its piece.
    pub(crate) fn goes_on(&self, other: &Self) -> bool {
        self.start_bytes + self.length_bytes == other.start_bytes
            && self.skipped_bytes + self.length_bytes == other.skipped_bytes
            && self.epoch == other.epoch
            && self.piece == other.piece
    }
}

impl Segment {
    /// Without what lies in the range.
    pub(crate) fn without(&self, range: &Range<u32>) -> Self {
        let mut runs = Vec::new();
        for run in &self.0 {
            let own = run.range();
            if own.end <= range.start || own.start >= range.end {
                runs.push(run.clone());
                continue;
            }
            if own.start < range.start {
                runs.push(run.part(own.start..range.start));
            }
            if own.end > range.end {
                runs.push(run.part(range.end..own.end));
            }
        }
        Self(runs)
    }

    /// With a run over whatever lies there.
    pub(crate) fn with(&self, run: Run) -> Self {
        let mut segment = self.without(&run.range());
        let at = segment.0.partition_point(|other| other.start_bytes < run.start_bytes);
        segment.0.insert(at, run);
        segment
    }

    /// Bytes that lie in the row itself.
    pub(crate) fn inline_bytes(&self) -> u64 {
        self.0.iter().filter(|run| is_inline(run)).map(|run| run.piece.length_bytes()).sum()
    }

    /// The fewest runs that the same pages can have.
    pub(crate) fn stretches(&self) -> usize {
        let begins = |pair: &[Run]| match pair {
            [a, b] => a.range().end != b.start_bytes || a.epoch != b.epoch,
            _ => false,
        };
        usize::from(!self.0.is_empty()) + self.0.windows(2).filter(|pair| begins(pair)).count()
    }
}

/// Whether the bytes of a run lie in the row.
pub(crate) fn is_inline(run: &Run) -> bool {
    match &run.piece {
        Piece::Inline(_) => true,
        piece => piece.extent().is_none(),
    }
}
