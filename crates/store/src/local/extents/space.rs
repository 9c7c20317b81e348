//! Which pages of the extent files are free. Pure: it grows and shrinks by what it is told.

use std::collections::{BTreeMap, BTreeSet};

/// A run of pages of one extent file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) file: u32,
    pub(crate) page: u32,
    pub(crate) pages: u32,
}

/// The free runs, by place and by length.
#[derive(Debug, Default)]
pub(crate) struct Space {
    by_place: BTreeMap<(u32, u32), u32>,
    by_length: BTreeSet<(u32, u32, u32)>,
}

impl Space {
    /// Adds a run that is free now, joined with its neighbours.
    ///
    /// # Errors
    /// The run that it overlaps, when part of it is free already.
    pub(crate) fn free(&mut self, run: Run) -> Result<(), Run> {
        if run.pages == 0 {
            return Ok(());
        }
        let mut joined = run;
        if let Some(before) = self.at_or_before(run) {
            if before.page + before.pages > run.page {
                return Err(before);
            }
            if before.page + before.pages == run.page {
                self.remove(before);
                joined = Run { page: before.page, pages: before.pages + joined.pages, ..joined };
            }
        }
        let end = run.page + run.pages;
        if let Some(after) = self.at_or_after(run) {
            if after.page < end {
                return Err(after);
            }
            if after.page == end {
                self.remove(after);
                joined.pages += after.pages;
            }
        }
        self.insert(joined);
        Ok(())
    }

    /// Takes `pages` pages from the smallest free run that has as many.
    pub(crate) fn allocate(&mut self, pages: u32) -> Option<Run> {
        let &(length, file, page) = self.by_length.range((pages, 0, 0)..).next()?;
        let found = Run { file, page, pages: length };
        self.remove(found);
        let taken = Run { pages, ..found };
        self.insert(Run { file, page: page + pages, pages: length - pages });
        Some(taken)
    }

    /// Takes exactly this run; answers whether all of it was free.
    pub(crate) fn take(&mut self, run: Run) -> bool {
        let Some(found) = self.at_or_before(run) else {
            return false;
        };
        let (end, found_end) = (run.page + run.pages, found.page + found.pages);
        if found_end < end {
            return false;
        }
        self.remove(found);
        self.insert(Run { pages: run.page - found.page, ..found });
        self.insert(Run { page: end, pages: found_end - end, ..found });
        true
    }

    /// Free pages.
    #[cfg(test)]
    pub(crate) fn pages(&self) -> u64 {
        self.by_place.values().map(|&pages| u64::from(pages)).sum()
    }

    fn at_or_before(&self, run: Run) -> Option<Run> {
        let (&(file, page), &pages) =
            self.by_place.range((run.file, 0)..=(run.file, run.page)).next_back()?;
        Some(Run { file, page, pages })
    }

    fn at_or_after(&self, run: Run) -> Option<Run> {
        let (&(file, page), &pages) =
            self.by_place.range((run.file, run.page)..=(run.file, u32::MAX)).next()?;
        Some(Run { file, page, pages })
    }

    fn insert(&mut self, run: Run) {
        if run.pages > 0 {
            self.by_place.insert((run.file, run.page), run.pages);
            self.by_length.insert((run.pages, run.file, run.page));
        }
    }

    fn remove(&mut self, run: Run) {
        self.by_place.remove(&(run.file, run.page));
        self.by_length.remove(&(run.pages, run.file, run.page));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Allocations never overlap, and when all are freed one run is left per file.
        #[test]
        fn no_page_has_two_owners(steps in proptest::collection::vec((any::<bool>(), 1u32..20), 1..200)) {
            let mut space = Space::default();
            for file in 0..2 {
                space.free(Run { file, page: 0, pages: 100 }).unwrap();
            }
            let mut owners = [false; 200];
            let mut runs: Vec<Run> = Vec::new();
            for (is_allocation, number) in steps {
                if is_allocation {
                    let Some(run) = space.allocate(number) else { continue };
                    for page in run.page..run.page + run.pages {
                        let owner = &mut owners[(run.file * 100 + page) as usize];
                        prop_assert!(!*owner);
                        *owner = true;
                    }
                    runs.push(run);
                } else if !runs.is_empty() {
                    let run = runs.swap_remove(number as usize % runs.len());
                    owners[(run.file * 100 + run.page) as usize..][..run.pages as usize].fill(false);
                    space.free(run).unwrap();
                    prop_assert!(space.free(run).is_err());
                }
                let taken = owners.iter().filter(|&&owner| owner).count() as u64;
                prop_assert_eq!(space.pages() + taken, 200);
            }
            for run in runs {
                space.free(run).unwrap();
            }
            prop_assert_eq!(space.by_place.len(), 2);
            let taken_twice = Run { file: 1, page: 10, pages: 5 };
            prop_assert!(space.take(taken_twice) && !space.take(taken_twice));
            prop_assert_eq!(space.pages(), 195);
        }
    }
}
