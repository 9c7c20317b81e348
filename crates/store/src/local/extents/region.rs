//! Which part of the extent files is to be given back to the file system. Pure.

use crate::local::extents::space::Run;

/// One page in so many may be free without anything being moved: a page that is free is used before
/// a file grows, and all that is kept free costs a quarter of the space at most.
const FREE_SHARE_MAX: u64 = 4;
/// When more is free, files are cut until one page in so many is: the distance to
/// [`FREE_SHARE_MAX`] is what has to be deleted before bytes are moved again.
const FREE_SHARE_AFTER: u64 = 8;

/// How full the extent files are, in pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill {
    pub(crate) total: u64,
    pub(crate) free: u64,
    /// By so much a file grows; so much may always be free.
    pub(crate) step: u64,
    /// Rows are refused because the disk is full: every step counts.
    pub(crate) is_short: bool,
}

impl Fill {
    /// Pages to be given back: some steps.
    pub(crate) fn surplus(&self) -> u64 {
        let Self { total, free, step, is_short } = *self;
        let spare = free.saturating_sub(step);
        let surplus = if is_short {
            free
        } else if spare > total / FREE_SHARE_MAX {
            spare - total / FREE_SHARE_AFTER
        } else {
            0
        };
        surplus / step * step
    }
}

/// The end of a file that costs the least to give back: at most `surplus` pages and a file of which
/// as much as possible is free. What is used in it fits elsewhere, since it is smaller than all that is free.
pub(crate) fn choose(files: &[(u32, u32)], surplus: u64, free_within: impl Fn(Run) -> u64) -> Option<Run> {
    let ends = files.iter().filter_map(|&(file, pages)| {
        let taken = u64::from(pages).min(surplus) as u32;
        (taken > 0).then_some(Run { file, page: pages - taken, pages: taken })
    });
    let share = |run: Run| free_within(run) * 1000 / u64::from(run.pages);
    ends.max_by_key(|&run| (share(run), run.pages, run.file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_beyond_a_quarter_and_a_step_is_surplus() {
        let rows = [
            // total, free, is_short, surplus
            (0, 0, false, 0),
            (160, 16, false, 0),
            (160, 56, false, 0),
            (160, 57, false, 16),
            (160, 160, false, 112),
            (1600, 800, false, 576),
            (16, 16, false, 0),
            (16, 16, true, 16),
            (160, 15, true, 0),
            (160, 47, true, 32),
        ];
        for (total, free, is_short, surplus) in rows {
            let fill = Fill { total, free, step: 16, is_short };
            assert_eq!(fill.surplus(), surplus, "{fill:?}");
        }
    }

    #[test]
    fn the_emptiest_end_is_chosen() {
        let run = |file, page, pages| Run { file, page, pages };
        let free = |run: Run| match run.file {
            1 => u64::from(run.pages) / 2,
            2 => u64::from(run.pages) * 3 / 4,
            _ => 0,
        };
        let rows = [
            (vec![], 32, None),
            (vec![(1, 0)], 32, None),
            (vec![(1, 160)], 32, Some(run(1, 128, 32))),
            (vec![(1, 160), (2, 16), (3, 160)], 32, Some(run(2, 0, 16))),
            (vec![(3, 160), (4, 16)], 32, Some(run(3, 128, 32))),
        ];
        for (files, surplus, expected) in rows {
            assert_eq!(choose(&files, surplus, free), expected, "{files:?}");
        }
    }
}
