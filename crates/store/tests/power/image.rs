//! What a disk holds: pages that are shared between copies until one of them is written.

use std::sync::Arc;

pub const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

/// Content of a disk. A copy costs a pointer per page.
#[derive(Debug, Clone)]
pub struct Image {
    /// `None`: zeros.
    pages: Vec<Option<Arc<Page>>>,
}

impl Image {
    /// A disk of zeros.
    pub fn new(bytes: usize) -> Self {
        Self { pages: vec![None; bytes.div_ceil(PAGE_BYTES)] }
    }

    pub fn bytes(&self) -> u64 {
        (self.pages.len() * PAGE_BYTES) as u64
    }

    pub fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        let mut at = offset as usize;
        while !bytes.is_empty() {
            let within = at % PAGE_BYTES;
            let (now, later) = bytes.split_at(bytes.len().min(PAGE_BYTES - within));
            let page = self.pages[at / PAGE_BYTES].get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            Arc::make_mut(page)[within..within + now.len()].copy_from_slice(now);
            at += now.len();
            bytes = later;
        }
    }

    /// `length` bytes from `offset` on; fewer at the end.
    pub fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let end = (offset + length as u64).min(self.bytes()) as usize;
        let mut at = (offset as usize).min(end);
        let mut out = Vec::with_capacity(end - at);
        while at < end {
            let within = at % PAGE_BYTES;
            let to = PAGE_BYTES.min(within + end - at);
            match &self.pages[at / PAGE_BYTES] {
                Some(page) => out.extend_from_slice(&page[within..to]),
                None => out.resize(out.len() + to - within, 0),
            }
            at += to - within;
        }
        out
    }
}
