//! Debian's restic, unmodified, keeping a tree of files. Its release knows plain HTTP only for the development
//! account at 127.0.0.1:10000, so this test runs itself again in a network of its own, where that port is free.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use welkin_storage_service::{DEV_ACCOUNT, DEV_KEY};

use crate::storage::StorageService;
use crate::tree;

/// Set in the process that has a network of its own.
const OWN_NETWORK: &str = "WELKIN_OWN_NETWORK";

#[test]
fn keeps_a_tree() {
    if std::env::var_os(OWN_NETWORK).is_some() {
        return keep_a_tree();
    }
    let this = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["--net", "--", "sh", "-c", r#"ip link set lo up && exec "$@""#, "sh"])
        .arg(this)
        .args(["--exact", "restic::keeps_a_tree", "--nocapture"])
        .env(OWN_NETWORK, "1")
        .status()
        .unwrap();
    assert!(status.success(), "restic failed in a network of its own (which only root can make)");
}

struct Restic<'a> {
    folder: &'a Path,
}

impl Restic<'_> {
    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("restic")
            .args(arguments)
            .current_dir(self.folder)
            .env("AZURE_ACCOUNT_NAME", DEV_ACCOUNT)
            .env("AZURE_ACCOUNT_KEY", DEV_KEY)
            .env("RESTIC_REPOSITORY", "azure:backup:/tree")
            .env("RESTIC_PASSWORD", "a password")
            .env("RESTIC_CACHE_DIR", self.folder.join("cache"))
            .output()
            .unwrap_or_else(|error| {
                panic!("restic cannot be started ({error}): is the package restic there?")
            });
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "restic {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn snapshots(&self) -> usize {
        let listed: serde_json::Value = serde_json::from_str(&self.run(&["snapshots", "--json"])).unwrap();
        listed.as_array().unwrap().len()
    }
}

fn keep_a_tree() {
    let service =
        StorageService::start_at([10000, 10001, 10002].map(|port| SocketAddr::from(([127, 0, 0, 1], port))));
    let folder = TempDir::new().unwrap();
    let here = folder.path().join("here");
    tree::grow(&here);
    let restic = Restic { folder: folder.path() };
    restic.run(&["init"]);
    restic.run(&["backup", "here"]);
    restic.run(&["check", "--read-data"]);
    restic.run(&["restore", "latest", "--target", "first"]);
    tree::check_same(&here, &folder.path().join("first/here"));

    tree::change(&here);
    restic.run(&["backup", "here"]);
    assert_eq!(restic.snapshots(), 2);
    let ids: serde_json::Value = serde_json::from_str(&restic.run(&["snapshots", "--json"])).unwrap();
    let id = |n: usize| ids[n]["short_id"].as_str().unwrap().to_owned();
    assert!(restic.run(&["diff", &id(0), &id(1)]).contains("plain/new"));
    restic.run(&["forget", "--keep-last", "1", "--prune"]);
    assert_eq!(restic.snapshots(), 1);
    restic.run(&["check", "--read-data"]);
    restic.run(&["restore", "latest", "--target", "second"]);
    tree::check_same(&here, &folder.path().join("second/here"));
    service.saw("restic", |_| true);
}
