//! Takes a backup.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::backend::Store;
use crate::backup::encode::{Encoder, put_row};
use crate::backup::{BackupError, Header, Totals};
use crate::extent::ExtentRef;
use crate::local::last_commit;
use crate::moment::Snapshot;

/// Rows gathered in one record.
const ROWS_BYTES: usize = 256 * 1024;
/// Bytes of an extent in one record.
const PIECE_BYTES: usize = 1024 * 1024;
/// Extents of one list.
const EXTENTS_LISTED: usize = 1000;

impl Store {
    /// Gives out the whole store as of a snapshot, piece by piece; waits while `out` is full. Says what was in it.
    ///
    /// # Errors
    /// When the store fails or something in it is damaged, or when `out` is closed.
    pub async fn backup(
        &self,
        snapshot: &Snapshot,
        now: SystemTime,
        out: &mpsc::Sender<Bytes>,
    ) -> Result<Totals, BackupError> {
        let mut encoder = Encoder::default();
        let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = Header {
            taken_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            store: self.backend().salt(),
            last_commit: last_commit(snapshot.moment()),
        };
        send(out, encoder.header(header)).await?;
        let taken = self.backup_all(snapshot, &mut encoder, out).await;
        if let Err(error) = &taken {
            // Who reads the backup learns why it has no end. Nobody may read it any more, which is the error then.
            let _ = send(out, encoder.failure(&error.to_string())).await;
        }
        taken.map(|()| encoder.totals)
    }

    async fn backup_all(
        &self,
        snapshot: &Snapshot,
        encoder: &mut Encoder,
        out: &mpsc::Sender<Bytes>,
    ) -> Result<(), BackupError> {
        self.backup_rows(snapshot, encoder, out).await?;
        let mut after = None;
        loop {
            let extents = self.extents_at(snapshot, after.as_ref(), EXTENTS_LISTED).await?;
            for extent in &extents {
                self.backup_extent(snapshot, extent, encoder, out).await?;
            }
            match extents.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        send(out, encoder.end()).await
    }

    async fn backup_rows(
        &self,
        snapshot: &Snapshot,
        encoder: &mut Encoder,
        out: &mpsc::Sender<Bytes>,
    ) -> Result<(), BackupError> {
        let mut from = Vec::new();
        loop {
            let rows = self.backend().stored_rows(snapshot, from, ROWS_BYTES).await?;
            let mut content = BytesMut::new();
            for (key, version, value) in &rows {
                put_row(&mut content, key, *version, value);
            }
            let Some((last, _, _)) = rows.last() else {
                return Ok(());
            };
            from = [last, &[0][..]].concat();
            send(out, encoder.rows(rows.len() as u64, &content)).await?;
        }
    }

    async fn backup_extent(
        &self,
        snapshot: &Snapshot,
        extent: &ExtentRef,
        encoder: &mut Encoder,
        out: &mpsc::Sender<Bytes>,
    ) -> Result<(), BackupError> {
        send(out, encoder.extent(extent.place.0, extent.length_bytes)).await?;
        let mut offset = 0;
        while offset < extent.length_bytes {
            let bytes = self.read_extent_at(snapshot, extent, offset, PIECE_BYTES).await?;
            offset += bytes.len() as u64;
            send(out, encoder.bytes(&bytes)).await?;
        }
        Ok(())
    }
}

async fn send(out: &mpsc::Sender<Bytes>, bytes: Bytes) -> Result<(), BackupError> {
    out.send(bytes).await.map_err(|_| BackupError::Abandoned)
}
