//! Lists: lines of a page, and what searches may ask.

use super::{Limit, Service, blob_request, limit, of};

const OUT_OF_RANGE: &str = "400 OutOfRangeQueryParameterValue";
/// More lines than a page has may be asked for: the page then has as many as it can.
const LINES: &[(i128, &str)] = &[
    (-1, OUT_OF_RANGE),
    (0, OUT_OF_RANGE),
    (1, "200"),
    (2, "200"),
    (4999, "200"),
    (5000, "200"),
    (5001, "200"),
];

fn blob_list(target: &'static str) -> impl Fn(i128) -> super::Sample {
    move |n| blob_request("GET", &format!("{target}&maxresults={n}"), &[], "")
}

pub fn limits() -> Vec<Limit> {
    const COMPARISON: &str = "a%3D%27b%27";
    vec![
        limit(
            "lines of List Containers",
            "STORAGE, section 1",
            &["storage-wire/blob/list RESULTS_MAX"],
            blob_list("/?comp=list"),
            LINES,
        ),
        limit(
            "lines of List Blobs",
            "STORAGE, section 2",
            &[],
            blob_list("/container?restype=container&comp=list"),
            LINES,
        ),
        limit(
            "lines of Find Blobs by Tags",
            "STORAGE, section 1",
            &[],
            blob_list("/?comp=blobs&where=a%3D%27b%27"),
            LINES,
        ),
        limit(
            "lines of List Queues",
            "STORAGE, section 6",
            &["storage-wire/queue/list PAGE_QUEUES_MAX"],
            |n| of(Service::Queue, "GET", &format!("/?comp=list&maxresults={n}"), &[], ""),
            LINES,
        ),
        limit(
            "ranges of Get Page Ranges",
            "STORAGE, section 3",
            &["storage-service/blob/page RANGES_MAX"],
            blob_list("/container/page?comp=pagelist"),
            &[
                (-1, OUT_OF_RANGE),
                (0, OUT_OF_RANGE),
                (1, "200"),
                (2, "200"),
                (9999, "200"),
                (10_000, "200"),
                (10_001, "200"),
            ],
        ),
        limit(
            "comparisons of a search by tags",
            "none: a tag has two, and a blob ten tags",
            &["storage-wire/blob/tag_filter COMPARISONS_MAX"],
            |n| {
                let filter = vec![COMPARISON; usize::try_from(n).unwrap()].join("%20AND%20");
                blob_request("GET", &format!("/?comp=blobs&where={filter}"), &[], "")
            },
            &[(99, "200"), (100, "200"), (101, "400 InvalidQueryParameterValue")],
        ),
    ]
}
