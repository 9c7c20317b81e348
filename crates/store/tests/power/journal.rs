//! Everything that was written to the disks, in order, and what may be left of it after a power loss.
//!
//! A disk promises no more than this: what was written before a flush is there after it. Of what
//! was written since, any sector may hold any of the states that it had, independent of the others.

use rand::Rng as _;
use rand::rngs::StdRng;

use crate::image::{Image, PAGE_BYTES};

const SECTOR_BYTES: usize = 512;
/// A copy of the images is kept every so many events, so that a moment is found quickly.
const EVENTS_PER_COPY: usize = 512;

#[derive(Debug)]
struct Event {
    disk: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    Write { offset: u64, bytes: Vec<u8> },
    Flush,
}

/// Disks and their past. A position is a number of events.
#[derive(Debug)]
pub struct Journal {
    now: Vec<Image>,
    events: Vec<Event>,
    /// The images before event 0, [`EVENTS_PER_COPY`], and so on.
    copies: Vec<Vec<Image>>,
}

/// What becomes of a disk's writes after its last flush.
#[derive(Debug, Clone, Copy)]
enum Fate {
    AllLost,
    AllKept,
    /// Kept up to one that is torn.
    Cut,
    /// Each is kept or lost.
    MixedWrites,
    MixedPages,
    MixedSectors,
}

const FATES: [Fate; 7] = [
    Fate::AllLost,
    Fate::AllKept,
    Fate::Cut,
    Fate::MixedWrites,
    Fate::MixedWrites,
    Fate::MixedPages,
    Fate::MixedSectors,
];

impl Journal {
    pub fn new(images: Vec<Image>) -> Self {
        Self { now: images.clone(), events: Vec::new(), copies: vec![images] }
    }

    pub fn disks(&self) -> usize {
        self.now.len()
    }

    pub fn disk_bytes(&self, disk: usize) -> u64 {
        self.now[disk].bytes()
    }

    pub fn read(&self, disk: usize, offset: u64, length: usize) -> Vec<u8> {
        self.now[disk].read(offset, length)
    }

    pub fn position(&self) -> usize {
        self.events.len()
    }

    pub fn write(&mut self, disk: usize, offset: u64, bytes: &[u8]) {
        self.now[disk].write(offset, bytes);
        self.push(Event { disk, what: What::Write { offset, bytes: bytes.to_vec() } });
    }

    pub fn flush(&mut self, disk: usize) {
        self.push(Event { disk, what: What::Flush });
    }

    /// Forgets the past.
    pub fn restart(&mut self) {
        *self = Self::new(self.now.clone());
    }

    fn push(&mut self, event: Event) {
        self.events.push(event);
        if self.events.len().is_multiple_of(EVENTS_PER_COPY) {
            self.copies.push(self.now.clone());
        }
    }

    /// Positions of flushes that at least so many writes to the same disk wait for.
    pub fn flushes_of(&self, writes_min: usize) -> Vec<usize> {
        let mut writes = vec![0; self.now.len()];
        let mut found = Vec::new();
        for (at, event) in self.events.iter().enumerate() {
            match event.what {
                What::Write { .. } => writes[event.disk] += 1,
                What::Flush => {
                    if std::mem::take(&mut writes[event.disk]) >= writes_min {
                        found.push(at);
                    }
                }
            }
        }
        found
    }

    /// What may be left when the power fails at `position`, and words for how it came about.
    pub fn after_power_loss(&self, position: usize, rng: &mut StdRng) -> (Vec<Image>, String) {
        let (images, stories): (Vec<_>, Vec<_>) =
            (0..self.now.len()).map(|disk| self.disk_after_power_loss(disk, position, rng)).unzip();
        (images, stories.join("; "))
    }

    fn disk_after_power_loss(&self, disk: usize, position: usize, rng: &mut StdRng) -> (Image, String) {
        let flushed = self.events[..position]
            .iter()
            .rposition(|event| event.disk == disk && matches!(event.what, What::Flush))
            .unwrap_or(0);
        let mut image = self.image_at(disk, flushed);
        let writes: Vec<_> = self.writes(disk, flushed, position).collect();
        let fate = FATES[rng.random_range(0..FATES.len())];
        let share = rng.random_range(0.05..0.95);
        let cut = rng.random_range(0..=writes.len());
        for (index, &(offset, bytes)) in writes.iter().enumerate() {
            match fate {
                Fate::AllLost => {}
                Fate::AllKept => image.write(offset, bytes),
                Fate::Cut if index < cut => image.write(offset, bytes),
                Fate::Cut if index > cut => {}
                Fate::Cut => keep_some(&mut image, offset, bytes, SECTOR_BYTES, 0.5, rng),
                Fate::MixedWrites => keep_some(&mut image, offset, bytes, bytes.len(), share, rng),
                Fate::MixedPages => keep_some(&mut image, offset, bytes, PAGE_BYTES, share, rng),
                Fate::MixedSectors => keep_some(&mut image, offset, bytes, SECTOR_BYTES, share, rng),
            }
        }
        (image, format!("{} writes since {flushed}: {fate:?}", writes.len()))
    }

    /// The writes to a disk between two positions.
    fn writes(&self, disk: usize, from: usize, to: usize) -> impl Iterator<Item = (u64, &[u8])> {
        self.events[from..to].iter().filter_map(move |event| match &event.what {
            What::Write { offset, bytes } if event.disk == disk => Some((*offset, &bytes[..])),
            _ => None,
        })
    }

    fn image_at(&self, disk: usize, position: usize) -> Image {
        let copy = position / EVENTS_PER_COPY;
        let mut image = self.copies[copy][disk].clone();
        for (offset, bytes) in self.writes(disk, copy * EVENTS_PER_COPY, position) {
            image.write(offset, bytes);
        }
        image
    }
}

/// Writes each unit of `bytes` with a probability. The first page is written as a whole: it has the
/// superblock of the file system, which ext4 overwrites in place and cannot read when it is torn.
fn keep_some(image: &mut Image, offset: u64, bytes: &[u8], unit: usize, share: f64, rng: &mut StdRng) {
    let unit = if offset < PAGE_BYTES as u64 { bytes.len() } else { unit };
    for (index, piece) in bytes.chunks(unit).enumerate() {
        if rng.random_bool(share) {
            image.write(offset + (index * unit) as u64, piece);
        }
    }
}
