use std::io::{Cursor, Seek as _, Write as _};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use welkin_base::RoleName;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{DEFINITION, Identity, MANIFEST, Package, PackageError, PackageWriter, recipient};

const CSDEF: &str = "<ServiceDefinition name=\"S\" \
    xmlns=\"http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition\"><WorkerRole name=\"R\"/>\
    </ServiceDefinition>";

fn r() -> RoleName {
    RoleName::new("R").unwrap()
}

/// The inside of a package with one program.
fn plain() -> Vec<u8> {
    let mut writer = PackageWriter::plain(Vec::new(), CSDEF).unwrap();
    writer.add(&r(), "bin/program", true, &mut &b"#!/bin/sh\n"[..]).unwrap();
    writer.finish_plain().unwrap()
}

fn sealed(key: &Identity) -> Vec<u8> {
    let mut writer = PackageWriter::seal(Vec::new(), &key.to_public(), CSDEF).unwrap();
    writer.add(&r(), "bin/program", true, &mut &b"#!/bin/sh\n"[..]).unwrap();
    writer.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn inside(bytes: &[u8]) -> Result<Package<Cursor<&[u8]>>, PackageError> {
    Package::inside(Cursor::new(bytes), bytes.len() as u64)
}

/// What a package is told that has these files, the manifest with the digests of `listed`.
fn refusal(files: &[(&str, &[u8])], listed: &[(&str, &[u8])]) -> String {
    let mut manifest = serde_json::json!({ "version": 1, "files": {} });
    for (name, bytes) in listed {
        let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes));
        manifest["files"][name] =
            serde_json::json!({ "sha256": sha256, "bytes": bytes.len(), "executable": false });
    }
    let manifest = manifest.to_string();
    let mut all = files.to_vec();
    all.push((MANIFEST, manifest.as_bytes()));
    inside(&zip(&all)).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn what_breaks_a_promise_is_refused() {
    let csdef = (DEFINITION, CSDEF.as_bytes());
    let file: (&str, &[u8]) = ("roles/R/a", b"a");
    let check = |files: &[(&str, &[u8])], listed: &[(&str, &[u8])], expected: &str| {
        assert_eq!(refusal(files, listed), expected);
    };
    check(&[csdef, file], &[csdef, file], "");
    check(
        &[csdef, file],
        &[csdef, ("roles/R/a", b"b")],
        "roles/R/a of the package has another SHA-256 digest than its manifest says; make the package again",
    );
    check(
        &[csdef, file],
        &[csdef, ("roles/R/a", b"")],
        "roles/R/a of the package has another SHA-256 digest than its manifest says; make the package again",
    );
    check(
        &[csdef],
        &[csdef, file],
        "the package lacks roles/R/a, which its manifest names; make the package again",
    );
    check(
        &[csdef, file],
        &[csdef],
        "the package holds roles/R/a, which its manifest does not name; make the package again",
    );
    check(
        &[file],
        &[file],
        "the package lacks ServiceDefinition.csdef, which its manifest names; make the package again",
    );
    check(&[csdef], &[csdef], "the package has no files for role R; put its program into the role's folder");
    for (name, reason) in [
        ("../x", "the name leads out of its folder"),
        ("roles/R/../../x", "the name leads out of its folder"),
        ("/etc/passwd", "the name is absolute"),
        ("roles\\R\\x", "the name contains a backslash"),
        ("roles//x", "the name has an empty part"),
        ("roles/R/a/", "the name has an empty part"),
        ("roles/R/\n", "the name contains a control character"),
        ("roles/Other/x", "it belongs to no role of the service definition"),
        ("x", "it belongs to no role of the service definition"),
    ] {
        let odd: (&str, &[u8]) = (name, b"");
        check(&[csdef, file, odd], &[csdef, file, odd], &format!("the package holds {name:?}: {reason}"));
    }
    let below: (&str, &[u8]) = ("roles/R/a/b", b"");
    check(
        &[csdef, file, below],
        &[csdef, file, below],
        "the package holds \"roles/R/a\": it is both a file and a folder",
    );
}

#[test]
fn links_and_bombs_are_refused() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("roles/R/link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let error = inside(&zip.finish().unwrap().into_inner()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the package holds \"roles/R/link\": it is a link or a device; a package has plain files only"
    );
    let zeros = vec![0; 32 << 20];
    let bomb = [(DEFINITION, CSDEF.as_bytes()), ("roles/R/zeros", zeros.as_slice())];
    let error = refusal(&bomb, &bomb);
    assert!(error.contains("unpacked bytes for each packed byte; at most 200 are allowed"), "{error}");
}

/// A zip says at its end how many files it has and where their table is: both are claims.
#[test]
fn what_a_zip_claims_costs_no_memory() {
    let record = |number: u16, bytes: usize, start: u32| {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut record = b"PK\x05\x06\0\0\0\0".to_vec();
        record.extend([number.to_le_bytes(), number.to_le_bytes()].concat());
        record.extend([bytes.to_le_bytes(), start.to_le_bytes()].concat());
        record.extend([0, 0]);
        record
    };
    // A table of `number` files, each with a name of `length` bytes.
    let table = |number: u16, length: u16| {
        let mut table = Vec::new();
        for name in 0..number {
            let mut header = [0; 46];
            header[..4].copy_from_slice(b"PK\x01\x02");
            header[28..30].copy_from_slice(&length.to_le_bytes());
            table.extend(header);
            table.extend(format!("{name:05}").bytes());
            table.resize(table.len() + usize::from(length) - 5, b'n');
        }
        let end = record(number, table.len(), 0);
        table.extend(end);
        table
    };
    let rows = [
        (record(65_535, 0, 0), "the package is damaged"),
        (record(65_535, usize::MAX, 0), "the package is damaged"),
        (record(1, 9, 9), "the package is damaged"),
        (table(20_300, 5), "the package has 20300 entries; at most 20256 are allowed"),
        (table(400, u16::MAX), "the package is damaged (its table of files has more than 16777216 bytes)"),
    ];
    for (zip, expected) in rows {
        let error = inside(&zip).err().unwrap().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

/// Found by fuzzing: the refusal looked like a failure of the reader's own disk.
#[test]
fn an_unknown_method_of_compression_is_the_packages_fault() {
    let mut bytes = plain();
    for position in 0..bytes.len() - 12 {
        match &bytes[position..position + 4] {
            b"PK\x03\x04" => bytes[position + 8] = 0x31,
            b"PK\x01\x02" => bytes[position + 10] = 0x31,
            _ => {}
        }
    }
    let error = inside(&bytes).err().unwrap();
    assert!(matches!(error, PackageError::Damaged(_)), "{error:?}");
}

#[test]
fn what_is_no_package_is_named() {
    let key = Identity::generate();
    for (bytes, expected) in [
        (plain(), "a package that is not encrypted"),
        (zip(&[("a", b"")]), "a zip file"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n".to_vec(), "an age file in text form"),
        (b"hello".to_vec(), "a file of an unknown format"),
        (Vec::new(), "a file of an unknown format"),
    ] {
        let error = Package::open(Cursor::new(bytes), &key).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("this is {expected}, not a service package; make one with `welkin package`")
        );
    }
    for name in ["WebRole1_0c9d.cssx", "SupportWheel.CSMAN", "Cloud.rd"] {
        let classic = zip(&[("[Content_Types].xml", b""), (name, b"")]);
        let error = Package::open(Cursor::new(classic), &key).err().unwrap();
        assert!(error.to_string().starts_with("this is a classic Azure package (.cssx, .csman) of Windows"));
    }
    let other = sealed(&Identity::generate());
    assert!(matches!(Package::open(Cursor::new(other), &key), Err(PackageError::OtherKey)));
    let error = recipient("age1nonsense").err().unwrap();
    assert_eq!(
        error.to_string(),
        "\"age1nonsense\" is not a recipient: expected the cloud's public key, age1… (62 characters)"
    );
}

#[test]
fn a_writer_keeps_the_promises_too() {
    let mut writer = PackageWriter::plain(Vec::new(), CSDEF).unwrap();
    writer.add(&r(), "a", false, &mut &b""[..]).unwrap();
    assert!(writer.add(&r(), "a", false, &mut &b""[..]).is_err(), "twice");
    assert!(writer.add(&r(), "../a", false, &mut &b""[..]).is_err());
    let empty = PackageWriter::plain(Vec::new(), CSDEF).unwrap();
    assert!(matches!(empty.finish_plain(), Err(PackageError::EmptyRole(role)) if role == "R"));
    assert!(matches!(PackageWriter::plain(Vec::new(), "<a/>"), Err(PackageError::Definition(_))));
}

#[test]
fn the_inside_is_the_same_bytes_for_the_same_files() {
    assert_eq!(plain(), plain());
    let digest = |bytes: &[u8], executable: bool| {
        let key = Identity::generate().to_public();
        let mut writer = PackageWriter::seal(Vec::new(), &key, CSDEF).unwrap();
        writer.add(&r(), "a", executable, &mut &*bytes).unwrap();
        writer.content_digest().unwrap()
    };
    assert_eq!(digest(b"x", true), digest(b"x", true), "whatever the key");
    assert_ne!(digest(b"x", true), digest(b"y", true));
    assert_ne!(digest(b"x", true), digest(b"x", false));
}

#[test]
fn a_cut_or_a_flipped_bit_is_an_error() {
    let key = Identity::generate();
    let whole = sealed(&key);
    for length in (0..whole.len()).step_by(7) {
        assert!(Package::open(Cursor::new(&whole[..length]), &key).is_err(), "cut at {length}");
    }
    for position in (0..whole.len()).step_by(5) {
        let mut flipped = whole.clone();
        flipped[position] ^= 1;
        assert!(Package::open(Cursor::new(flipped), &key).is_err(), "flipped at {position}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn what_is_written_is_read(files in btree_map("[a-c]/[a-zé ]{1,8}", (any::<bool>(), vec(any::<u8>(), 0..80_000)), 1..5)) {
        let key = Identity::generate();
        let mut writer = PackageWriter::seal(tempfile::tempfile().unwrap(), &key.to_public(), CSDEF).unwrap();
        for (name, (executable, bytes)) in &files {
            writer.add(&r(), name, *executable, &mut bytes.as_slice()).unwrap();
        }
        let mut file = writer.finish().unwrap();
        file.rewind().unwrap();
        let mut package = Package::open(file, &key).unwrap();
        prop_assert_eq!(package.definition_text(), CSDEF);
        let names: Vec<(String, bool)> =
            package.files(&r()).map(|(name, entry)| (name.to_owned(), entry.executable)).collect();
        let expected: Vec<(String, bool)> =
            files.iter().map(|(name, (executable, _))| (name.clone(), *executable)).collect();
        prop_assert_eq!(names, expected);
        for (name, (_, bytes)) in &files {
            let mut read = Vec::new();
            package.read(&r(), name, &mut read).unwrap();
            prop_assert_eq!(&read, bytes);
        }
    }

    /// Whoever knows the recipient can seal any zip: the inside must stand on its own.
    #[test]
    fn no_inside_panics(position in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = plain();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if let Ok(mut package) = inside(&bytes) {
            let mut read = Vec::new();
            package.read(&r(), "bin/program", &mut read).unwrap();
            prop_assert_eq!(read, b"#!/bin/sh\n");
        }
        let _ = inside(&bytes[..position]);
    }
}
