//! No limit is forgotten: what the code limits by a constant, and what rows and exceptions name, are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const CRATES: [&str; 3] = ["storage-wire", "storage", "storage-service"];

/// Constants that no row has, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    // Tested elsewhere.
    ("storage/blob/append APPENDED_BLOCKS_MAX", "storage/src/blob/staged.rs: 50,000 requests take too long"),
    ("storage/blob/staged STAGED_BLOCKS_MAX", "storage/src/blob/staged.rs: 100,000 requests take too long"),
    ("storage/blob/block_list STAGED_MAX", "storage/tests/retention.rs: a time, which is an argument there"),
    ("storage-service/auth SKEW_MAX", "storage-service/src/auth.rs: a time, which is an argument there"),
    ("storage-wire/delegation VALIDITY_MAX", "its own test; asking for a key needs a bearer token"),
    (
        "storage-service/delegation KEY_INFO_BYTES_MAX",
        "read as the bodies in body.rs; asking for a key needs a bearer token",
    ),
    ("storage-wire/admin RETENTION_DAYS_MAX", "its own test: not of the protocol"),
    ("storage-wire/admin SCOPES_MAX", "its own test: not of the protocol"),
    (
        "storage-service/admin SETTINGS_BYTES_MAX",
        "not of the protocol; holds the most settings that there can be",
    ),
    (
        "storage-wire/request CLIENT_REQUEST_ID_CHARS_MAX",
        "names.rs: the request is answered, and the id left out",
    ),
    ("storage-service/server BUFFER_BYTES_MAX", "tests/rude.rs: heads that are no HTTP"),
    ("storage-service/config ACCOUNT_REQUESTS_MAX", "tests/fair.rs: with a smaller number"),
    ("storage-wire/multipart PARTS_MAX", "both kinds of batches have lower limits, which have rows"),
    (
        "storage-service/blob/query/record RECORD_BYTES_MAX",
        "body.rs: a bound of what is buffered, which is read in pieces",
    ),
    ("storage-wire/blob/copy URL_CHARS_MAX", "its own test: a source's URL is read before it is asked"),
    ("storage-service/blob/query/statement PATTERN_BYTES_MAX", "its own test: one below, at and one above"),
    ("storage-wire/service/read PARTS_MAX", "more are refused in any case: there are no more names"),
    ("storage-service/blob/copy SYNCHRONOUS_BYTES_MAX", "a source of 256 MiB takes too long in this test"),
    // What an error repeats.
    ("storage-wire/error ECHO_CHARS_MAX", "no limit of requests: how much of one an error repeats"),
    // Times and numbers that protect the server, and are not of requests.
    ("storage-service/server HANDSHAKE_TIME_MAX", "a time that a silent client has"),
    ("storage-service/metrics HEAD_TIME_MAX", "a time that a silent reader of metrics has"),
    ("storage-service/config PARTITION_REQUESTS_MAX", "tests/fair.rs: with a smaller number"),
    ("storage-service/config READ_AHEAD_BYTES_MAX", "tests/connections.rs: with a smaller number"),
    ("storage-service/config/store MEMTABLE_BYTES_MIN", "its own test: a setting, not a limit of requests"),
    ("storage-service/admission ACCOUNT_QUERIES_MAX", "its own test: so many at a time take too long here"),
    ("storage-service/admission QUERIES_MAX", "its own test: so many at a time take too long here"),
    ("storage-service/admission IDLE_TURNS_MAX", "how many accounts are remembered"),
    ("storage-service/answer SHORT_BYTES_MAX", "which answers are sent at once"),
    ("storage-service/config CONNECTIONS_MAX", "tests/connections.rs: with a smaller number"),
    ("storage-service/server/places IDLE_MIN", "tests/connections.rs: who gives way to others"),
    ("storage-service/context DRAIN_BYTES_MAX", "how much is read of a body that is refused"),
    ("storage-service/context DRAIN_TIME_MAX", "how long a body is read that is refused"),
    ("storage-service/auth/issuer DOCUMENT_BYTES_MAX", "what the issuer of tokens sends"),
    ("storage-service/auth/issuer FETCH_TIME_MAX", "what the issuer of tokens sends"),
    ("storage-service/auth/issuer PAUSE_MAX", "what the issuer of tokens sends"),
    ("storage-service/auth/issuer KEYS_AGE_MAX", "what the issuer of tokens sends"),
    ("storage-service/blob/copy/pending FAIL_TRIES_MAX", "how often it is tried to tell that a copy failed"),
    ("storage-service/copies ACCOUNT_COPIES_MAX", "how many copies of an account run at a time"),
    ("storage-service/copies COPIES_MAX", "how many copies run at a time; others are told to come again"),
    ("storage-service/copies/foreign CONNECT_TIME_MAX", "a time that a silent source has"),
    ("storage-service/copies/foreign READ_TIME_MAX", "a time that a silent source has"),
    // How the engine works within: no client sees a difference on either side.
    ("storage/release RELEASES_MAX", "how many releases are under way"),
    ("storage/error COMMIT_TRIES_MAX", "how often a commit is tried"),
    ("storage/blob/copy/incremental RANGES_MAX", "how many ranges are looked up at a time"),
    ("storage-service/blob/copy AT_ONCE_BYTES_MAX", "whether a copy is done within the request"),
    ("storage/blob/content INLINE_BYTES_MAX", "where content lies"),
    ("storage/blob/content BLOCK_INLINE_BYTES_MAX", "where content lies"),
    ("storage/blob/page/edit INLINE_BYTES_MAX", "where content lies"),
    ("storage/blob/page/edit RUNS_MAX", "how a segment is written"),
    ("storage/blob/page/edit CLEARED_ROWS_MAX", "how a segment is written"),
    ("storage/blob/page/edit CUTS_MAX", "how a segment is written"),
    ("storage/blob/staged BLOBS_COUNTED_MAX", "how many counts are remembered"),
    ("storage/blob/tags SCANS_MAX", "after how much work a page ends"),
    ("storage/queue/count COUNT_MAX", "up to where the approximate count is exact"),
    ("storage/queue/message WAIT_MAX", "how long a get waits while others get all that there is"),
    ("storage/queue/live COUNT_AGE_MAX", "how old the approximate count may be"),
    ("storage/queue/live EXPIRY_COUNT_MAX", "how old the approximate count may be"),
    ("storage/queue/row SHORT_TEXT_BYTES_MAX", "where a text lies"),
    ("storage/table TABLES_EXAMINED_MAX", "after how much work a page ends"),
    ("storage/table/query ROWS_EXAMINED_MAX", "after how much work a page ends"),
    ("storage/table/query EXAMINED_BYTES_MAX", "after how much work a page ends"),
    ("storage/table/query PAGE_BYTES_MAX", "after how much work a page ends"),
    ("storage/table/query SCAN_ROWS_MAX", "after how much work a page ends"),
];

/// `crate/module NAME` of each constant that is named as a limit, with the line that defines it.
fn constants() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for name in CRATES {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
        for file in files(&source) {
            let module = file.strip_prefix(&source).unwrap().with_extension("");
            for line in std::fs::read_to_string(&file).unwrap().lines() {
                let Some((before, after)) = line.split_once("const ") else { continue };
                let Some((constant, _)) = after.split_once(':') else { continue };
                let is_limit = constant.split('_').any(|word| word == "MAX" || word == "MIN");
                if is_limit && (before.trim().is_empty() || before.trim_start().starts_with("pub")) {
                    found.insert(format!("{name}/{} {constant}", module.display()), line.trim().to_owned());
                }
            }
        }
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.extend(path.extension().is_some_and(|end| end == "rs").then_some(path)),
        }
    }
    all
}

#[test]
fn every_constant_has_a_row_or_a_reason() {
    let limits = super::all();
    let tested: BTreeSet<&str> = limits.iter().flat_map(|limit| limit.constants.iter().copied()).collect();
    let excepted: BTreeSet<&str> = EXCEPTIONS.iter().map(|(name, _)| *name).collect();
    let found = constants();
    let missing: Vec<_> = found
        .iter()
        .filter(|(name, _)| !tested.contains(name.as_str()) && !excepted.contains(name.as_str()))
        .collect();
    let gone: Vec<_> = tested.union(&excepted).filter(|name| !found.contains_key(**name)).collect();
    let both: Vec<_> = tested.intersection(&excepted).collect();
    assert!(missing.is_empty(), "limits without a row or a reason: {missing:#?}");
    assert!(gone.is_empty() && both.is_empty(), "not in the code: {gone:#?}; named twice: {both:#?}");
}

#[test]
fn every_row_has_both_sides() {
    for limit in super::all() {
        let (what, told) = (limit.what, limit.answers);
        // Where more may be asked than is given, both sides are answered alike.
        let clamped = what.starts_with("lines of") || what.starts_with("ranges of");
        assert!(
            limit.has_both_sides() || clamped,
            "{what}: {told:?} does not have one below, at, and one above"
        );
        assert!(!limit.source.is_empty(), "{what}");
    }
}
