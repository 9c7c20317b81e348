//! The command line against a management service that runs: each noun and verb as a person would use it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../management/tests/it/fabric.rs"]
#[allow(dead_code, reason = "the tests of management use more of it")]
mod fabric;
#[path = "../../management/tests/it/rig.rs"]
#[allow(dead_code, reason = "the tests of management use more of it")]
mod rig;
#[path = "../../management/tests/it/storage.rs"]
#[allow(dead_code, reason = "the tests of management use more of it")]
mod storage;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use rig::{ALICE, Rig};

const CSCFG: &str = "<ServiceConfiguration serviceName=\"Shop\" \
    xmlns=\"http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration\"><Role name=\"Web\">\
    <Instances count=\"2\" /></Role></ServiceConfiguration>";

/// A customer with a profile.
struct Person {
    rig: Rig,
    profiles: PathBuf,
}

/// What a command ended with.
struct Ended {
    code: i32,
    out: String,
    told: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.told))
    }
}

impl Person {
    /// Logs in, and is registered by the one who manages the subscription already.
    fn new() -> Self {
        let rig = Rig::start();
        let profiles = rig.folder().join("profiles");
        let person = Self { rig, profiles };
        let authority = person.rig.folder().join("ca.pem");
        std::fs::write(&authority, person.rig.authority_pem()).unwrap();
        let management = format!("https://{}", person.rig.config.listen);
        let login = ["--subscription", ALICE, "--management", &management, "--authority"];
        let login = [&["login"], &login[..], &[authority.to_str().unwrap()]].concat();
        let told = person.ok(&login);
        assert!(told.contains("must be registered"), "{told}");
        // Not registered yet.
        assert_eq!(person.run(&["service", "list"]).code, 5);
        let alice = person.profiles.join("alice");
        std::fs::create_dir(&alice).unwrap();
        person.rig.alice.save(&alice).unwrap();
        for name in ["cloud.toml", "ca.pem"] {
            std::fs::copy(person.profiles.join("default").join(name), alice.join(name)).unwrap();
        }
        let certificate = person.profiles.join("default/cert.pem");
        person.ok(&["--profile", "alice", "certificate", "add", certificate.to_str().unwrap()]);
        person
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_welkin"))
            .args(arguments)
            .env_remove("WELKIN_PROFILE")
            .env("WELKIN_STATE", "/nowhere")
            .env("WELKIN_PROFILES", &self.profiles)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap(), out: text(output.stdout), told: text(output.stderr) }
    }

    /// What a command prints that must succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {} {}", ended.out, ended.told);
        ended.out
    }

    /// What a command prints for programs.
    fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.told);
        ended.json()
    }

    fn fails(&self, arguments: &[&str], code: i32, part: &str) {
        let ended = self.run(arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.told);
        assert!(ended.told.contains(part), "{arguments:?}: {}", ended.told);
    }
}

#[test]
fn a_customer_logs_in_and_looks_around() {
    let person = Person::new();
    assert!(person.ok(&["login"]).contains("The cloud knows this certificate"));
    person.fails(&["login", "--subscription", ALICE], 2, "--replace");
    let profiles = person.json(&["profile", "list"]);
    assert_eq!((&profiles[0]["profile"], &profiles[1]["profile"]), (&json!("alice"), &json!("default")));
    let shown = person.json(&["profile", "show"]);
    assert_eq!((&shown["name"], &shown["coresMax"]), (&json!("Alice"), &json!(8)));
    assert_eq!(person.json(&["location", "list"])[0]["name"], "Earth");
    assert!(person.ok(&["role-size", "list"]).lines().any(|line| line.starts_with("ExtraSmall")));
    person.ok(&["guest-os", "list"]);
    assert_eq!(person.json(&["status"])["services"], json!([]));
    let certificates = person.json(&["certificate", "list"]);
    assert_eq!(certificates.as_array().unwrap().len(), 2);
    let own = welkin_pki::Identity::load(&person.profiles.join("default")).unwrap();
    let thumbprint = own.sha1_thumbprint().to_string();
    person.ok(&["certificate", "show", &thumbprint.to_lowercase()]);
    person.ok(&["--profile", "alice", "certificate", "delete", &thumbprint]);
    person.fails(&["service", "list"], 5, "`welkin login`");
}

#[test]
fn accounts_services_and_deployments() {
    let person = Person::new();
    assert!(person.ok(&["storage-account", "list"]).contains("`welkin storage-account create`"));
    person.ok(&["affinity-group", "create", "near", "--label", "Nah"]);
    person.ok(&["affinity-group", "update", "near", "--label", "Näher"]);
    assert_eq!(person.json(&["affinity-group", "list"])[0]["label"], "Näher");
    person.ok(&["storage-account", "create", "pictures", "--affinity-group", "near"]);
    assert_eq!(person.json(&["affinity-group", "show", "near"])["storageAccounts"], json!(["pictures"]));
    person.fails(&["affinity-group", "delete", "near"], 4, "hint: ");
    person.ok(&["storage-account", "update", "pictures", "--label", "Bilder für alle"]);
    let account = person.json(&["storage-account", "show", "pictures"]);
    assert_eq!(account["label"], "Bilder für alle");
    assert_eq!(account["endpoints"].as_array().unwrap().len(), 3);
    let keys = person.json(&["storage-account", "keys", "pictures"]);
    let again = person.json(&["storage-account", "regenerate-key", "pictures", "secondary"]);
    assert_eq!(keys["primary"], again["primary"]);
    assert_ne!(keys["secondary"], again["secondary"]);
    person.fails(&["storage-account", "show", "nothing"], 3, "hint: ");
    person.fails(&["storage-account", "create", "pictures"], 4, "hint: ");
    assert_eq!(person.json(&["storage-account", "check-name", "pictures"])["available"], false);

    person.ok(&["service", "create", "shop", "--description", "sells"]);
    person.fails(&["service", "create", "shop"], 4, "hint: ");
    person.ok(&["service", "update", "shop", "--label", "The shop"]);
    let services = person.json(&["service", "list"]);
    assert_eq!((&services[0]["name"], &services[0]["label"]), (&json!("shop"), &json!("The shop")));
    assert_eq!(person.json(&["service", "check-name", "shop"])["available"], false);

    let configuration = person.rig.folder().join("shop.cscfg");
    std::fs::write(&configuration, CSCFG).unwrap();
    let configuration = configuration.to_str().unwrap();
    let url = format!("{}/public/c/p.cspkg", person.rig.storage.blob_endpoint);
    let create = ["deployment", "create", "shop", "--package-url", &url, "--configuration", configuration];
    let id = person.ok(&[&create[..], &["--name", "v1", "--no-wait"]].concat());
    person.ok(&["operation", "wait", id.trim()]);
    assert_eq!(person.json(&["operation", "show", id.trim()])["status"], "Succeeded");
    let shown = person.json(&["deployment", "show", "shop"]);
    assert_eq!((&shown["name"], &shown["slot"]), (&json!("v1"), &json!("Production")));
    assert_eq!(person.json(&["deployment", "list"])[0]["service"], "shop");
    assert!(person.ok(&["deployment", "show", "shop"]).contains("\ninstance"));
    assert!(person.ok(&["deployment", "configuration", "shop"]).contains("serviceName"));
    let instances = person.json(&["instance", "list", "shop"]);
    let instance = instances[0]["name"].as_str().unwrap().to_owned();
    person.ok(&["instance", "reboot", "shop", &instance]);
    person.fails(&["service", "delete", "shop"], 4, "");
    person.fails(&["deployment", "show", "shop", "--slot", "staging"], 3, "hint: ");
    person.fails(&["deployment", "swap", "shop"], 2, "the staging slot of shop has no deployment");
    person.fails(&["deployment", "show", "shop", "--deployment", "v2"], 3, "");
    let history = person.json(&["operation", "list"]);
    assert!(history.as_array().unwrap().len() >= 4, "{history}");
    person.ok(&["deployment", "delete", "shop"]);
    person.ok(&["service", "delete", "shop"]);
    person.ok(&["storage-account", "delete", "pictures"]);
    person.ok(&["affinity-group", "delete", "near"]);
    assert_eq!(person.json(&["service", "list"]), json!([]));
}

/// Files and a service for deployments.
struct Shop {
    person: Person,
    configuration: String,
    useless: String,
    packages: [String; 2],
}

impl Shop {
    fn new() -> Self {
        let person = Person::new();
        let write = |name: &str, bytes: &[u8]| {
            let path = person.rig.folder().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let configuration = write("shop.cscfg", CSCFG.as_bytes());
        // What the fabric controller of this test has a warning for.
        let useless = write("useless.cscfg", CSCFG.replace("<Role ", "<!-- Useless --><Role ").as_bytes());
        let packages = [write("one.cspkg", b"package one"), write("two.cspkg", b"package two")];
        person.ok(&["service", "create", "shop"]);
        Self { person, configuration, useless, packages }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let ended = self.person.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {} {}", ended.out, ended.told);
        ended
    }

    /// `welkin deployment VERB shop` with a package that is uploaded first.
    fn with_package(&self, verb: &str, package: usize, more: &[&str]) -> Ended {
        let source = ["--package", &self.packages[package], "--configuration", &self.configuration];
        let start = ["deployment", verb, "shop", "--account", "packages"];
        self.run(&[&start[..], &source[..], more].concat())
    }

    fn shown(&self) -> Value {
        self.person.json(&["deployment", "show", "shop"])
    }
}

const WARNING: &str = "warning: line 1: <Useless> has no effect";

#[test]
fn a_deployment_changes_and_goes_back() {
    let shop = Shop::new();
    let (person, rig) = (&shop.person, &shop.person.rig);
    shop.with_package("create", 0, &["--name", "v1"]);
    assert_eq!(rig.fabric.packages(), ["package one"]);
    assert!(rig.storage.blobs().is_empty(), "the uploaded package is removed: {:?}", rig.storage.blobs());

    let configure = ["deployment", "configure", "shop", "--configuration"];
    let useless = [&configure[..], &[&shop.useless]].concat();
    person.fails(&[&useless[..], &["--warnings-as-errors"]].concat(), 1, "<Useless> has no effect");
    assert_eq!(shop.shown()["warnings"], json!([]));
    assert!(shop.run(&useless).told.contains(WARNING));
    assert_eq!(shop.shown()["warnings"], json!(["line 1: <Useless> has no effect"]));
    let id = shop.run(&[&useless[..], &["--no-wait"]].concat()).out.trim().to_owned();
    assert!(shop.run(&["operation", "wait", &id[..8]]).told.contains(WARNING));
    assert_eq!(person.json(&["operation", "show", &id[..10]])["status"], "Succeeded");
    person.fails(&["operation", "show", "00000000"], 2, "no operation begins with 00000000");
    let table = shop.run(&["operation", "list"]).out;
    assert!(table.contains(&id[..8]) && table.lines().all(|line| line.chars().count() <= 100), "{table}");
    let wide = shop.run(&["operation", "list", "--wide"]).out;
    assert!(wide.replace('-', "").contains(&id), "{wide}");

    shop.run(&[&configure[..], &[&shop.configuration, "--mode", "manual"]].concat());
    assert_eq!(shop.shown()["updateMode"], "Manual");
    person.fails(&["deployment", "walk", "shop", "1"], 1, "upgrade domain 0 is next");
    shop.run(&["deployment", "walk", "shop", "0"]);
    assert_eq!(shop.shown()["updatingDomain"], 1);
    shop.run(&["deployment", "walk", "shop", "1"]);
    assert_eq!(shop.shown()["updateMode"], Value::Null);

    person.fails(&["deployment", "rollback", "shop"], 4, "nothing can be rolled back");
    rig.fabric.set_stuck(true);
    shop.with_package("upgrade", 1, &["--label", "two", "--force", "--role", "Web"]);
    let shown = shop.shown();
    assert_eq!((&shown["label"], &shown["rollbackAllowed"]), (&json!("two"), &json!(true)));
    assert!(rig.fabric.packages().iter().any(|package| package == "package two"));
    assert!(rig.fabric.goals()[0].update.force);
    shop.run(&["deployment", "rollback", "shop", "--mode", "simultaneous"]);
    assert_eq!(shop.shown()["label"], "v1");
    rig.fabric.set_stuck(false);
    let unknown = ["--package", &shop.packages[1], "--configuration", &shop.configuration, "--role", "Other"];
    let upgrade = ["deployment", "upgrade", "shop", "--account", "packages"];
    person.fails(&[&upgrade[..], &unknown[..]].concat(), 1, "no role Other");
    assert!(rig.storage.blobs().is_empty(), "also when it is refused: {:?}", rig.storage.blobs());
}

#[test]
fn slots_and_instances() {
    let shop = Shop::new();
    let (person, rig) = (&shop.person, &shop.person.rig);
    shop.with_package("create", 0, &["--name", "v1"]);
    shop.with_package("create", 1, &["--name", "v2", "--slot", "staging", "--stopped"]);
    shop.run(&["deployment", "swap", "shop"]);
    assert_eq!(shop.shown()["name"], "v2");
    assert_eq!(person.json(&["deployment", "show", "shop", "--deployment", "v1"])["slot"], "Staging");
    shop.run(&["deployment", "start", "shop"]);
    shop.run(&["deployment", "stop", "shop"]);
    shop.run(&["deployment", "delete", "shop", "--slot", "staging"]);
    person.fails(&["deployment", "delete", "shop", "--slot", "staging"], 3, "");

    shop.run(&["instance", "rebuild", "shop", "Web_IN_1"]);
    shop.run(&["instance", "reimage", "shop", "Web_IN_0", "--deployment", "v2"]);
    assert_eq!(rig.fabric.reboots(), ["rebuild Web_IN_1", "reimage Web_IN_0"]);
    person.fails(&["instance", "delete", "shop", "Web_IN_7"], 3, "no instance Web_IN_7");
    shop.run(&["instance", "delete", "shop", "Web_IN_0"]);
    let instances = person.json(&["instance", "list", "shop"]);
    assert_eq!((instances.as_array().unwrap().len(), &instances[0]["name"]), (1, &json!("Web_IN_1")));
    let events = ["deployment", "events", "shop", "--from", "2026-11-25", "--to", "2026-11-26"];
    let events = person.json(&events);
    assert_eq!((events.as_array().unwrap().len(), &events[0]["instance"]), (1, &json!("Web_IN_1")));
    shop.run(&["service", "delete", "shop", "--with-deployments"]);
    assert!(rig.fabric.goals().is_empty());
}

#[test]
fn service_certificates() {
    let shop = Shop::new();
    let person = &shop.person;
    let fixture = |name: &str| format!("{}/../pki/tests/pkcs12/{name}", env!("CARGO_MANIFEST_DIR"));
    let password = person.rig.folder().join("password");
    std::fs::write(&password, "p\u{e4}ssword\n").unwrap();
    let (pfx, cer, noun) = (fixture("modern.pfx"), fixture("root.cer"), "service-certificate");
    person.fails(&[noun, "add", "shop", &pfx], 1, "password");
    shop.run(&[noun, "add", "shop", &pfx, "--password-file", password.to_str().unwrap()]);
    shop.run(&[noun, "add", "shop", &cer]);
    assert_eq!(person.rig.fabric.certificates().len(), 2);
    let listed = person.json(&[noun, "list", "shop"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let thumbprint = listed[0]["thumbprint"].as_str().unwrap().to_lowercase();
    assert!(person.json(&[noun, "show", "shop", &thumbprint])["data"].as_str().unwrap().len() > 100);
    shop.run(&[noun, "delete", "shop", &thumbprint]);
    person.fails(&[noun, "show", "shop", &thumbprint], 3, "no certificate");
    assert_eq!(person.json(&[noun, "list", "shop"]).as_array().unwrap().len(), 1);
}

/// `script` gives the command a terminal of its own, and shows what the terminal does.
#[test]
fn a_password_is_not_shown_as_it_is_typed() {
    let shop = Shop::new();
    let pfx = format!("{}/../pki/tests/pkcs12/modern.pfx", env!("CARGO_MANIFEST_DIR"));
    let command = format!("{} service-certificate add shop {pfx}", env!("CARGO_BIN_EXE_welkin"));
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("WELKIN_STATE", "/nowhere")
        .env("WELKIN_PROFILES", &shop.person.profiles)
        .env_remove("WELKIN_PROFILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keyboard, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains("password of the file: ") {
        let mut piece = [0; 256];
        let count = screen.read(&mut piece).unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&piece[..count]);
    }
    keyboard.write_all("p\u{e4}ssword\n".as_bytes()).unwrap();
    screen.read_to_end(&mut shown).unwrap();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert_eq!(script.wait().unwrap().code(), Some(0), "{shown}");
    assert!(!shown.contains("ssword\r") && shown.contains("stored the certificate"), "{shown}");
    assert_eq!(shop.person.rig.fabric.certificates().len(), 1);
}

/// The operator's own channel: the control socket in the data folder of the management service.
#[test]
fn the_operator_makes_and_changes_subscriptions() {
    let rig = Rig::start();
    let state = rig.folder().join("state");
    std::fs::create_dir_all(state.join("management")).unwrap();
    std::os::unix::fs::symlink(&rig.config.data, state.join("management/data")).unwrap();
    let choices = format!(
        "network = \"10.177.0.0/16\"\nport_offset = 0\nuid_base = 640000\nsubscription = \"{ALICE}\"\n"
    );
    std::fs::write(state.join("cloud.toml"), choices).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_welkin"))
            .arg("--state")
            .arg(&state)
            .arg("subscription")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap(), out: text(output.stdout), told: text(output.stderr) }
    };
    let json = |arguments: &[&str]| {
        let ended = run(&[arguments, &["--json"]].concat());
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.told);
        ended.json()
    };
    let carol = welkin_pki::Identity::self_signed("carol").unwrap();
    let file = rig.folder().join("carol.pem");
    std::fs::write(&file, carol.certificate_pem()).unwrap();
    let file = file.to_str().unwrap();
    let made = json(&["create", "carol", "--certificate", file, "--cores", "3", "--hosted-services", "1"]);
    assert_eq!((&made["quotas"]["cores"], &made["quotas"]["storage_accounts"]), (&json!(3), &json!(20)));
    let carols = rig.customer(Some(&carol), made["id"].as_str().unwrap());
    assert_eq!(carols.make_service("carols").status, 201);
    assert_eq!(json(&["show", "carol"])["usage"]["hosted_services"], 1);
    assert_eq!(json(&["list"]).as_array().unwrap().len(), 3);
    assert_eq!(
        json(&["update", "carol", "--cores", "5"])["quotas"],
        json!({
            "cores": 5, "hosted_services": 1, "storage_accounts": 20
        })
    );
    assert_eq!(json(&["disable", "carol"])["disabled"], true);
    assert_eq!(carols.get("/locations").code(), "SubscriptionDisabled");
    assert_eq!(json(&["enable", "carol"])["disabled"], false);
    assert_eq!(carols.get("/locations").status, 200);
    let thumbprint = carol.sha1_thumbprint().to_string();
    assert_eq!(json(&["remove-certificate", "carol", &thumbprint])["certificates"], json!([]));
    assert_eq!(carols.get("/locations").status, 403);
    assert_eq!(json(&["add-certificate", "carol", file])["certificates"], json!([thumbprint]));
    for (arguments, part) in [
        (&["delete", "carol"][..], "delete them first"),
        (&["show", "nobody"], "see `welkin subscription list`"),
        (&["add-certificate", "carol", "/nowhere"], "cannot read /nowhere"),
    ] {
        let ended = run(arguments);
        assert_ne!(ended.code, 0, "{arguments:?}");
        assert!(ended.told.contains(part), "{arguments:?}: {}", ended.told);
    }
    assert_eq!(carols.delete("/services/hostedservices/carols").status, 200);
    assert_eq!(run(&["delete", "carol"]).code, 0);
    assert_eq!(run(&["show", "carol"]).code, run(&["show", "nobody"]).code);
}
