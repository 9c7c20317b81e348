//! Debian's rclone, unmodified, moving and checking a tree of files.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::storage::StorageService;
use crate::tree;

struct Rclone {
    endpoint: String,
}

impl Rclone {
    /// Runs it; it must succeed. What it printed is the answer.
    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("rclone")
            .args(arguments)
            .args(["--retries", "1", "--low-level-retries", "1"])
            .env("RCLONE_CONFIG", "/nonexistent/rclone.conf")
            .env("RCLONE_CONFIG_WELKIN_TYPE", "azureblob")
            .env("RCLONE_CONFIG_WELKIN_USE_EMULATOR", "true")
            .env("RCLONE_CONFIG_WELKIN_ENDPOINT", &self.endpoint)
            .output()
            .unwrap_or_else(|error| {
                panic!("rclone cannot be started ({error}): is the package rclone there?")
            });
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rclone {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn sums(&self, of: &str) -> Vec<String> {
        let mut sums: Vec<String> = self.run(&["md5sum", of]).lines().map(str::to_owned).collect();
        sums.sort();
        sums
    }
}

#[test]
fn moves_a_tree() {
    let service = StorageService::start();
    let [endpoint, ..] = service.endpoints();
    let rclone = Rclone { endpoint };
    let folder = TempDir::new().unwrap();
    let (here, back) = (folder.path().join("here"), folder.path().join("back"));
    tree::grow(&here);
    let (here, back) = (here.to_str().unwrap(), back.to_str().unwrap());

    rclone.run(&["mkdir", "welkin:tree"]);
    rclone.run(&["copy", here, "welkin:tree"]);
    rclone.run(&["check", here, "welkin:tree"]);
    rclone.run(&["check", "--download", here, "welkin:tree"]);
    assert_eq!(rclone.sums("welkin:tree"), rclone.sums(here));
    listings(&rclone, here);

    tree::change(Path::new(here));
    rclone.run(&["sync", here, "welkin:tree"]);
    rclone.run(&["check", here, "welkin:tree"]);
    rclone.run(&["copy", "welkin:tree", back]);
    tree::check_same(Path::new(here), Path::new(back));

    single_files(&rclone, here);
    rclone.run(&["delete", "welkin:tree/plain"]);
    assert_eq!(rclone.run(&["lsf", "welkin:tree/plain"]), "");
    rclone.run(&["purge", "welkin:tree"]);
    assert_eq!(rclone.run(&["lsd", "welkin:"]), "");
    service.saw("rclone", |agent| agent.contains("rclone/"));
}

fn listings(rclone: &Rclone, here: &str) {
    let listed: serde_json::Value =
        serde_json::from_str(&rclone.run(&["lsjson", "-R", "--files-only", "--hash", "welkin:tree"]))
            .unwrap();
    let files = tree::files(Path::new(here));
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), files.len());
    for entry in listed {
        let name = entry["Path"].as_str().unwrap();
        assert_eq!(entry["Size"].as_u64().unwrap(), files[name].len() as u64, "{name}");
    }
    let size: serde_json::Value =
        serde_json::from_str(&rclone.run(&["size", "--json", "welkin:tree"])).unwrap();
    let bytes: usize = files.values().map(Vec::len).sum();
    assert_eq!(size["bytes"].as_u64().unwrap(), bytes as u64);
    assert!(rclone.run(&["lsd", "welkin:"]).contains("tree"));
}

fn single_files(rclone: &Rclone, here: &str) {
    let local = format!("{here}/plain/new");
    rclone.run(&["copyto", &local, "welkin:tree/single/ä file"]);
    assert_eq!(rclone.run(&["lsf", "welkin:tree/single"]).trim(), "ä file");
    let text = format!("{here}/text");
    std::fs::write(&text, "some text\n").unwrap();
    rclone.run(&["copyto", &text, "welkin:tree/text"]);
    assert_eq!(rclone.run(&["cat", "welkin:tree/text"]), "some text\n");
    assert_eq!(rclone.run(&["cat", "--offset", "5", "--count", "4", "welkin:tree/text"]), "text");
    if crate::built("Set Blob Tier") {
        rclone.run(&["settier", "Cool", "welkin:tree/text"]);
        assert!(rclone.run(&["lsjson", "welkin:tree/text"]).contains("Cool"));
    }
    if crate::built("Copy Blob") {
        rclone.run(&["copyto", "welkin:tree/text", "welkin:tree/copied ü"]);
        rclone.run(&["moveto", "welkin:tree/copied ü", "welkin:tree/moved"]);
        assert_eq!(rclone.run(&["cat", "welkin:tree/moved"]), "some text\n");
    }
    rclone.run(&["deletefile", "welkin:tree/text"]);
}
