//! What the program says of wrong arguments, and the exit code that a script sees.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::{Command, Output, Stdio};

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

fn welkin(profiles: &std::path::Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_welkin"))
        .args(arguments)
        .env_remove("WELKIN_STATE")
        .env_remove("WELKIN_PROFILE")
        .env("WELKIN_PROFILES", profiles)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn wrong_arguments_are_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join("dead");
    std::fs::create_dir(&dead).unwrap();
    let identity = welkin_pki::Identity::self_signed("nobody").unwrap();
    identity.save(&dead).unwrap();
    std::fs::write(dead.join("ca.pem"), identity.certificate_pem()).unwrap();
    // Nothing answers at port 1.
    let cloud = format!("management = \"https://127.0.0.1:1\"\nsubscription = \"{ID}\"\n");
    std::fs::write(dead.join("cloud.toml"), cloud).unwrap();

    let upgrade = ["deployment", "upgrade", "shop", "--configuration", "x"];
    let rows: [(&[&str], i32, &str); 24] = [
        (&[], 2, "Usage: welkin"),
        (&["servce", "list"], 2, "some similar subcommands exist: 'service-certificate', 'service'"),
        (&["service"], 2, "Usage: welkin service"),
        (&["service", "create"], 2, "<NAME>"),
        (&["service", "create", "bad name"], 2, "invalid value 'bad name'"),
        (&["service", "update", "shop"], 2, "--label"),
        (&["service", "delete", "shop", "--no-wait", "--timeout", "1"], 2, "cannot be used with"),
        (&["deployment", "show", "shop", "--slot", "prod"], 2, "[possible values: production, staging]"),
        (
            &["deployment", "show", "shop", "--slot", "staging", "--deployment", "v1"],
            2,
            "cannot be used with",
        ),
        (&upgrade, 2, "--package"),
        (&["deployment", "walk", "shop", "first"], 2, "invalid value 'first'"),
        (&["instance", "delete", "shop"], 2, "<INSTANCES>"),
        (&["storage-account", "regenerate-key", "abc", "third"], 2, "[possible values: primary, secondary]"),
        (&["operation", "wait", "1", "--timeout", "soon"], 2, "invalid value 'soon'"),
        (&["--profile", "../x", "service", "list"], 2, "a profile's name has letters"),
        (&["completion", "cmd"], 2, "possible values"),
        (&["login"], 2, "give --subscription"),
        (&["login", "--subscription", ID, "--management", "http://x"], 2, "must begin with https://"),
        (&["login", "--subscription", ID, "--management", "https://x"], 2, "give --authority"),
        (&["--state", "/nowhere", "service", "list"], 5, "`welkin login`"),
        (&["--profile", "none", "service", "list"], 5, "no profile \"none\""),
        (&["--profile", "dead", "service", "list"], 6, "does not answer"),
        (&["--profile", "dead", "status"], 6, "does not answer"),
        (&["--state", "/nowhere", "status"], 5, "`welkin up`"),
    ];
    for (arguments, code, part) in rows {
        let output = welkin(folder.path(), arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty(), "{arguments:?}: what is wrong goes to standard error");
    }
}

#[test]
fn shells_learn_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = welkin(folder.path(), &["completion", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        for word in ["affinity-group", "regenerate-key", "no-wait", "production"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn help_names_the_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let help = String::from_utf8(welkin(folder.path(), &["--help"]).stdout).unwrap();
    for part in ["Exit codes:", "  3  there is no such thing", "Examples:", "service-certificate"] {
        assert!(help.contains(part), "{part}: {help}");
    }
}
