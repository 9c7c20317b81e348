use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use welkin_base::RoleName;
use welkin_service_model::Package;
use welkin_service_model::package::Identity;

use super::{PackageArgs, package};

const DEFINITION: &str = "<ServiceDefinition name=\"S\" \
    xmlns=\"http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition\"><WorkerRole name=\"Worker\">\
    <Runtime><EntryPoint><ProgramEntryPoint commandLine=\"bin/run --now\"/></EntryPoint></Runtime>\
    <Contents><Content destination=\"static\"><SourceDirectory path=\"pages\"/></Content></Contents>\
    </WorkerRole></ServiceDefinition>";

/// A folder with a definition and all files of its role.
fn service() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("Worker/bin")).unwrap();
    fs::create_dir_all(at("pages/deep")).unwrap();
    fs::write(at("S.csdef"), DEFINITION).unwrap();
    fs::write(at("Worker/bin/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(at("Worker/bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(at("Worker/data"), "data").unwrap();
    fs::write(at("pages/deep/index.html"), "<p>").unwrap();
    folder
}

fn args(folder: &Path, recipient: &str) -> PackageArgs {
    let (definition, out) = (folder.join("S.csdef"), folder.join("S.cspkg"));
    PackageArgs { definition, roles: Vec::new(), recipient: recipient.to_owned(), out }
}

#[test]
fn a_folder_becomes_a_package() {
    let (service, key) = (service(), Identity::generate());
    let recipient = service.path().join("recipient");
    fs::write(&recipient, format!("# the cloud's key\n{}\n", key.to_public())).unwrap();
    let args = args(service.path(), recipient.to_str().unwrap());
    let summary = package(&args).unwrap();
    let role: RoleName = "Worker".parse().unwrap();
    assert_eq!((summary.service.as_str(), summary.files[&role]), ("S", 3));
    let mut opened = Package::open(fs::File::open(&args.out).unwrap(), &key).unwrap();
    let files: Vec<(String, bool)> =
        opened.files(&role).map(|(name, entry)| (name.to_owned(), entry.executable)).collect();
    let expected = [("bin/run", true), ("data", false), ("static/deep/index.html", false)];
    assert_eq!(files, expected.map(|(name, executable)| (name.to_owned(), executable)));
    let mut read = Vec::new();
    opened.read(&role, "data", &mut read).unwrap();
    assert_eq!(read, b"data");
    assert_eq!(package(&args).unwrap().content, summary.content, "whatever is made again is the same inside");
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_left() {
    type Change = fn(&Path, &mut PackageArgs);
    let rows: [(Change, &str); 10] = [
        (
            |_, args| args.recipient = "age1x".into(),
            "\"age1x\" is neither a cloud's public key (age1…) nor a file",
        ),
        (
            |at, _| fs::write(at.join("S.csdef"), "<a/>").unwrap(),
            "line 1, column 1: the root element must be",
        ),
        (
            |at, _| fs::write(at.join("S.csdef"), b"\xff\xfe\x00\xd8").unwrap(),
            "S.csdef is neither UTF-8 nor UTF-16; save it as UTF-8",
        ),
        (|at, _| fs::remove_file(at.join("S.csdef")).unwrap(), "No such file"),
        (
            |at, _| fs::remove_dir_all(at.join("pages")).unwrap(),
            "make it, or name another with --role Worker=FOLDER",
        ),
        (
            |at, _| fs::remove_file(at.join("Worker/bin/run")).unwrap(),
            "role Worker: its program bin/run is not among",
        ),
        (
            |at, _| {
                fs::set_permissions(at.join("Worker/bin/run"), fs::Permissions::from_mode(0o644)).unwrap();
            },
            "run: chmod +x",
        ),
        (|at, _| symlink("/etc/passwd", at.join("Worker/link")).unwrap(), "link\" is not a plain file"),
        (|at, args| args.out = at.join("Worker/S.cspkg"), "write it elsewhere with --out"),
        (
            |at, args| args.roles = vec![("Web".parse().unwrap(), at.to_owned())],
            "role Web is not in the service definition, which has Worker",
        ),
    ];
    for (change, expected) in rows {
        let service = service();
        let mut args = args(service.path(), &Identity::generate().to_public().to_string());
        change(service.path(), &mut args);
        let before = fs::read_dir(service.path()).unwrap().count();
        let error = package(&args).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(fs::read_dir(service.path()).unwrap().count(), before, "{expected}");
        assert!(!args.out.exists(), "{expected}");
    }
}
