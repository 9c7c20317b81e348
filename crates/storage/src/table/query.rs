//! A page of entities. The filter's bounds of the keys say where reading begins and ends; the rest of it is asked
//! of each row between. Work is bounded: a page ends early, with where it goes on, once enough was read.

use std::ops::Bound;

use bytes::Bytes;
use welkin_storage_wire::table::{Continuation, Entity, Filter, KeyRange};
use welkin_store::{Row, ScanFrom, ScanRange};

use crate::space::ENTITIES;
use crate::table::row::{self, ordinal};
use crate::table::{TableError, range};
use crate::{Storage, Uid};

/// Rows that one page looks at: well below the five seconds that a query may take ("Query timeout and
/// pagination").
const ROWS_EXAMINED_MAX: usize = 20_000;
/// Bytes that one page looks at, as they lie in the store, for the same reason.
const EXAMINED_BYTES_MAX: usize = 64 << 20;
/// A page ends once its entities have this many bytes as they lie in the store.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Bytes that one scan should give, by the size of the rows seen before.
const SCAN_BYTES: usize = 1 << 20;
/// Rows of a page's first scan at most, when their size is not known.
const FIRST_SCAN_ROWS: usize = 100;
/// Rows of a scan at most.
const SCAN_ROWS_MAX: usize = 2000;

/// A page of entities, in order of partition key and row key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EntityPage {
    /// Those that match.
    pub entities: Vec<Entity>,
    /// Where the query goes on; there may be nothing more.
    pub next: Option<Continuation>,
}

impl Storage {
    /// Up to `rows_max` entities that match the filter, from `from` on, all as of one moment: queries have snapshot
    /// isolation.
    ///
    /// # Errors
    /// When there is no such table.
    pub async fn query_entities(
        &self,
        account: Uid,
        table: &str,
        filter: Option<&Filter>,
        from: Option<&Continuation>,
        rows_max: usize,
    ) -> Result<EntityPage, TableError> {
        let table = self.table(account, table).await?.uid;
        let mut walk = Walk::new(table, filter, rows_max);
        let mut from = walk.start(from);
        let moment = self.store().moment();
        let mut scan_rows = (rows_max + 1).min(FIRST_SCAN_ROWS);
        loop {
            let range = ScanRange { from, until: walk.end() };
            let rows = self.store().scan_at(&moment, ENTITIES, range, scan_rows).await?;
            let ended = rows.len() < scan_rows;
            let Some(next) = walk.take(&rows)? else { return Ok(walk.page) };
            if ended {
                return Ok(walk.page);
            }
            from = next;
            scan_rows = (SCAN_BYTES / walk.row_bytes()).clamp(16, SCAN_ROWS_MAX);
        }
    }
}

/// A query on its way through the rows.
struct Walk<'a> {
    table: Uid,
    filter: Option<&'a Filter>,
    range: KeyRange,
    rows_max: usize,
    page: EntityPage,
    page_bytes: usize,
    examined: usize,
    examined_bytes: usize,
}

impl<'a> Walk<'a> {
    fn new(table: Uid, filter: Option<&'a Filter>, rows_max: usize) -> Self {
        let page = EntityPage::default();
        Self {
            table,
            filter,
            range: range(filter),
            rows_max,
            page,
            page_bytes: 0,
            examined: 0,
            examined_bytes: 0,
        }
    }

    /// Where reading begins.
    fn start(&self, from: Option<&Continuation>) -> ScanFrom {
        let partition = |text: &str| Bytes::from(row::partition(self.table, text));
        if let Some(Continuation { partition: key, row }) = from {
            return ScanFrom::Row(partition(key), ordinal(row.as_deref().unwrap_or("")).into());
        }
        match &self.range.partition.low {
            Bound::Unbounded => ScanFrom::Partition(partition("")),
            Bound::Excluded(low) => ScanFrom::AfterPartition(partition(low)),
            Bound::Included(low) => ScanFrom::Row(partition(low), self.row_low()),
        }
    }

    /// Where reading ends, if the filter says it.
    fn end(&self) -> Option<ScanFrom> {
        let KeyRange { partition, row } = &self.range;
        let (Bound::Included(last) | Bound::Excluded(last)) = &partition.high else { return None };
        let last_partition = row::partition(self.table, last).into();
        Some(match &row.high {
            Bound::Included(high) | Bound::Excluded(high) if partition.low == partition.high => {
                ScanFrom::AfterRow(last_partition, ordinal(high).into())
            }
            _ => ScanFrom::AfterPartition(last_partition),
        })
    }

    /// The first row key that any partition is read from.
    fn row_low(&self) -> Bytes {
        match &self.range.row.low {
            Bound::Unbounded => Bytes::new(),
            Bound::Included(low) | Bound::Excluded(low) => ordinal(low).into(),
        }
    }

    /// Takes rows; says where the next scan begins, or `None` when the page is done.
    fn take(&mut self, rows: &[Row]) -> Result<Option<ScanFrom>, TableError> {
        for row in rows {
            if !row.partition.starts_with(self.table.as_bytes()) {
                return Ok(None);
            }
            let key = row::key(row)?;
            if self.range.partition.is_below(&key.partition) {
                return Ok(None);
            }
            if self.is_full() {
                self.page.next = Some(Continuation { partition: key.partition, row: Some(key.row) });
                return Ok(None);
            }
            self.examined += 1;
            self.examined_bytes += row.value.len();
            if self.range.row.contains(&key.row) {
                let entity = row::entity_of(key, row)?;
                if self.filter.is_none_or(|filter| filter.matches(&|name: &str| entity.get(name))) {
                    self.page_bytes += row.value.len();
                    self.page.entities.push(entity);
                }
            }
        }
        rows.last().map(|last| self.after(last)).transpose()
    }

    /// Where reading goes on after a row: past what the bounds of the row key leave out.
    fn after(&self, last: &Row) -> Result<ScanFrom, TableError> {
        let key = row::key(last)?;
        let low = self.row_low();
        Ok(if self.range.row.is_below(&key.row) {
            ScanFrom::AfterPartition(last.partition.clone())
        } else if last.key < low {
            ScanFrom::Row(last.partition.clone(), low)
        } else {
            ScanFrom::AfterRow(last.partition.clone(), last.key.clone())
        })
    }

    fn is_full(&self) -> bool {
        self.page.entities.len() == self.rows_max
            || self.page_bytes >= PAGE_BYTES_MAX
            || self.examined >= ROWS_EXAMINED_MAX
            || self.examined_bytes >= EXAMINED_BYTES_MAX
    }

    fn row_bytes(&self) -> usize {
        (self.examined_bytes / self.examined.max(1)).max(1)
    }
}
