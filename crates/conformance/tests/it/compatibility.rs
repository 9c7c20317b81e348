//! `docs/compatibility.md` says what the operation enum says. Run with `UPDATE=1` to write it anew.

use std::fmt::Write as _;
use std::path::Path;

use welkin_storage_wire::operation::{Operation, Service, Spec};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
const INTRODUCTION: &str = "# Operations of the Azure Storage protocol

Every operation of the protocol, and whether this server does it. One that is not built answers
`501 NotImplemented`. This page is written by a test from the enum of operations
(`crates/storage-wire/src/operation/`): `UPDATE=1 cargo test -p welkin-conformance --test it compatibility`.

The letters are the permissions of a shared access signature (SAS) of which one is needed; `–` means that an account
key is needed.
";

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (service, title) in [(Service::Blob, "Blob"), (Service::Queue, "Queue"), (Service::Table, "Table")] {
        let specs: Vec<Spec> =
            Operation::all().map(Operation::spec).filter(|spec| spec.service == service).collect();
        let built = specs.iter().filter(|spec| spec.built).count();
        let _ = write!(
            page,
            "\n## {title} service: {built} of {} built\n\n| operation | built | account SAS | service SAS |\n|---|---|---|---|\n",
            specs.len()
        );
        for spec in specs {
            let built = if spec.built { "yes" } else { "no" };
            let _ = writeln!(
                page,
                "| {} | {built} | {} | {} |",
                spec.name,
                letters(spec.account_sas),
                letters(spec.service_sas)
            );
        }
    }
    page
}

fn letters(text: &str) -> String {
    match text {
        "" => "–".to_owned(),
        text => text.chars().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn page_says_what_the_enum_says() {
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(Path::new(PAGE), &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/compatibility.md is out of date: run this test with UPDATE=1");
}

#[test]
fn names_are_told_apart() {
    let mut names: Vec<&str> = Operation::all().map(|operation| operation.spec().name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
