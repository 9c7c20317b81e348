//! Bad input at the command line: each a clear message that says what to do, an exit code other than 0, and nothing
//! half-created.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cloud::{Cloud, text};

#[test]
fn what_is_wrong_with_a_package_is_said_and_nothing_stays() {
    let cloud = Cloud::new(1);
    cloud.up();
    let folder = copy(&cloud.artifacts.guestbook, cloud.state().join("guestbook"));
    let configuration = folder.join("ServiceConfiguration.cscfg");
    let good = std::fs::read_to_string(&configuration).unwrap();
    let folder_argument = folder.display().to_string();
    let deploy = ["deploy", "guestbook", "--folder", &folder_argument];

    // A role that the definition does not know.
    std::fs::write(&configuration, good.replacen("name=\"Worker\"", "name=\"Wrker\"", 1)).unwrap();
    cloud.fails(&deploy, &["Wrker", "ServiceDefinition"]);
    nothing_stays(&cloud);
    std::fs::write(&configuration, &good).unwrap();

    // A package that was changed after it was made: encryption finds it.
    let package = cloud.state().join("guestbook.cspkg").display().to_string();
    let definition = folder.join("ServiceDefinition.csdef").display().to_string();
    let key = fabric_key(&cloud);
    cloud.ok(&["package", "--definition", &definition, "--recipient", &key, "--out", &package]);
    let mut bytes = std::fs::read(&package).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&package, bytes).unwrap();
    let configuration = configuration.display().to_string();
    let deploy = ["deploy", "guestbook", "--package", &package, "--configuration", &configuration];
    cloud.fails(&deploy, &["package"]);
    nothing_stays(&cloud);

    a_stranger_is_refused(&cloud);
    wrong_arguments(&cloud);
    a_second_cloud_on_the_same_ports_is_refused(&cloud);
}

fn nothing_stays(cloud: &Cloud) {
    assert!(cloud.status()["services"].as_array().unwrap().is_empty(), "a hosted service stays");
    assert_eq!(cloud.vms(), [], "a VM stays");
}

/// Another certificate than the subscription's.
fn a_stranger_is_refused(cloud: &Cloud) {
    let admin = cloud.state().join("admin");
    let own =
        ["cert.pem", "key.pem"].map(|name| (admin.join(name), std::fs::read(admin.join(name)).unwrap()));
    welkin_pki::Identity::self_signed("stranger").unwrap().save(&admin).unwrap();
    cloud.fails(&["status"], &["ForbiddenError"]);
    for (path, bytes) in own {
        std::fs::write(path, bytes).unwrap();
    }
    cloud.ok(&["status"]);
}

fn wrong_arguments(cloud: &Cloud) {
    for (arguments, parts) in [
        (&["deploy"][..], &["Usage", "<SERVICE>"][..]),
        (&["deploy", "Not A Name", "--folder", "x"], &["hosted service name"]),
        (&["deploy", "guestbook", "--folder", "/nonexistent"], &["/nonexistent"]),
        (&["delete", "nothing"], &["nothing"]),
        (&["logs", "Nobody_IN_0"], &["Nobody_IN_0"]),
        (&["nonsense"], &["unrecognized subcommand"]),
        (&["up", "--network", "8.8.8.0/24"], &["10.177.0.0/16"]),
    ] {
        cloud.fails(arguments, parts);
    }
}

fn a_second_cloud_on_the_same_ports_is_refused(cloud: &Cloud) {
    let arguments = cloud.up_arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    cloud.fails(&arguments, &["runs already", "welkin down"]);
}

#[test]
fn a_taken_port_is_named() {
    let cloud = Cloud::new(2);
    let port = 8_443 + 1_200;
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let arguments = cloud.up_arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    cloud.fails(&arguments, &[&port.to_string(), "management API", "--port-offset"]);
    assert_eq!(cloud.traces(), Vec::<String>::new());
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let cloud = Cloud::new(3);
    let path = cloud.state().join("programs");
    std::fs::create_dir(&path).unwrap();
    for program in ["ip", "nft", "nsenter", "setpriv", "qemu-img", "mksquashfs", "mkfs.ext4"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
        std::os::unix::fs::symlink(text(&found.stdout).trim(), path.join(program)).unwrap();
    }
    let mut command = Command::new(&cloud.artifacts.welkin);
    let output = command.env("PATH", &path).arg("--state").arg(cloud.state()).arg("up").output().unwrap();
    let message = text(&output.stderr);
    assert!(!output.status.success() && message.contains("apt-get install qemu-system-x86"), "{message}");
    assert_eq!(cloud.traces(), Vec::<String>::new());
}

fn fabric_key(cloud: &Cloud) -> String {
    cloud.ok(&["fabric-key"]).trim().to_owned()
}

fn copy(from: &Path, to: PathBuf) -> PathBuf {
    let status = Command::new("cp").arg("-r").arg(from).arg(&to).status().unwrap();
    assert!(status.success());
    to
}
