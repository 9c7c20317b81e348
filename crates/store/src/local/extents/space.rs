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
    /// Without the pages that are withheld.
    by_length: BTreeSet<(u32, u32, u32)>,
    pages: u64,
    withheld: Option<Run>,
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

    /// Takes `pages` pages from the smallest free run that has as many; else some times `pages_min`
    /// pages from the longest one.
    pub(crate) fn allocate(&mut self, pages: u32, pages_min: u32) -> Option<Run> {
        let fitting = self.by_length.range((pages, 0, 0)..).next();
        let &(length, file, page) = fitting.or_else(|| self.by_length.last())?;
        let pages = pages.min(length / pages_min.max(1) * pages_min);
        let taken = Run { file, page, pages };
        (pages > 0 && self.take(taken)).then_some(taken)
    }

    /// Does not allocate these pages, the last of a file, until [`Self::offer`].
    pub(crate) fn withhold(&mut self, run: Run) {
        self.offer();
        self.set_withheld(Some(run), run);
    }

    /// Allocates what was withheld, too; answers whether something was.
    pub(crate) fn offer(&mut self) -> bool {
        match self.withheld {
            Some(run) => self.set_withheld(None, run),
            None => return false,
        }
        true
    }

    /// What is withheld.
    pub(crate) fn withheld(&self) -> Option<Run> {
        self.withheld
    }

    fn set_withheld(&mut self, withheld: Option<Run>, changed: Run) {
        let touched: Vec<Run> = self.within(changed).map(|(run, _)| run).collect();
        touched.iter().for_each(|&run| self.remove(run));
        self.withheld = withheld;
        touched.iter().for_each(|&run| self.insert(run));
    }

    /// Free pages of this part of a file.
    pub(crate) fn pages_within(&self, part: Run) -> u64 {
        self.within(part).map(|(_, pages)| u64::from(pages)).sum()
    }

    /// The longest end of this part of a file that is free.
    pub(crate) fn free_end(&self, part: Run) -> Option<Run> {
        let end = part.page + part.pages;
        let last = self.at_or_before(Run { page: end.checked_sub(1)?, ..part })?;
        let page = last.page.max(part.page);
        (last.page + last.pages == end).then_some(Run { page, pages: end - page, ..part })
    }

    /// The free runs that have pages of this part of a file, and how many.
    fn within(&self, part: Run) -> impl Iterator<Item = (Run, u32)> {
        let end = part.page + part.pages;
        let first = self.at_or_before(part).map_or(part.page, |run| run.page);
        self.by_place.range((part.file, first)..(part.file, end)).filter_map(
            move |(&(file, page), &pages)| {
                let inside = end.min(page + pages).saturating_sub(part.page.max(page));
                (inside > 0).then_some((Run { file, page, pages }, inside))
            },
        )
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
    pub(crate) fn pages(&self) -> u64 {
        self.pages
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
        if run.pages == 0 {
            return;
        }
        self.by_place.insert((run.file, run.page), run.pages);
        self.pages += u64::from(run.pages);
        let offered = self.offered(run);
        if offered > 0 {
            self.by_length.insert((offered, run.file, run.page));
        }
    }

    fn remove(&mut self, run: Run) {
        self.by_place.remove(&(run.file, run.page));
        self.pages -= u64::from(run.pages);
        self.by_length.remove(&(self.offered(run), run.file, run.page));
    }

    /// How many pages of a free run, from its begin on, are not withheld.
    fn offered(&self, run: Run) -> u32 {
        match self.withheld {
            Some(withheld) if withheld.file == run.file => {
                run.pages.min(withheld.page.saturating_sub(run.page))
            }
            _ => run.pages,
        }
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
                    // From time to time the end of a file is withheld.
                    let withheld = Run { file: number % 2, page: 70, pages: 30 };
                    match number % 5 {
                        0 => space.withhold(withheld),
                        1 => _ = space.offer(),
                        _ => {}
                    }
                    let Some(run) = space.allocate(number, 1 + number / 4) else { continue };
                    prop_assert!(run.pages == number || run.pages.is_multiple_of(1 + number / 4));
                    if let Some(withheld) = space.withheld() {
                        prop_assert!(run.file != withheld.file || run.page + run.pages <= withheld.page);
                    }
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
                let end = Run { file: 1, page: 40, pages: 60 };
                let free = owners[140..].iter().filter(|&&owner| !owner).count();
                let free_end = owners[140..].iter().rev().take_while(|&&owner| !owner).count();
                prop_assert_eq!(space.pages_within(end), free as u64);
                prop_assert_eq!(space.free_end(end).map_or(0, |run| run.pages as usize), free_end);
            }
            for run in runs {
                space.free(run).unwrap();
            }
            prop_assert_eq!(space.by_place.len(), 2);
            space.offer();
            prop_assert_eq!(space.by_length.len(), 2);
            let taken_twice = Run { file: 1, page: 10, pages: 5 };
            prop_assert!(space.take(taken_twice) && !space.take(taken_twice));
            prop_assert_eq!(space.pages(), 195);
        }
    }
}
