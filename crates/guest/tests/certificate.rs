//! A role in a real VM terminates TLS with a private key, and cannot read it: neither the role nor what runs elevated.
//!
//! Like `boot.rs` it needs `WELKIN_IMAGES`, and `WELKIN_TLS`, the static program `welkin-tls` (`cargo xtask tls`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "boot/vm.rs"]
#[allow(dead_code, reason = "another test uses more of it")]
mod vm;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use serde_json::json;
use vm::{Machine, Vm};
use welkin_agent_wire::certificate::{CertificateGoal, GuestCertificate, KeyText};
use welkin_agent_wire::guest::{GuestGoal, RoleState, ToGuest};
use welkin_pki::{KeyedCertificate, ServerAuth, client_config};

/// Each way to the private key that a process of a guest may think of; one line for each that works. `head` reads one
/// byte, which the kernel refuses before or after the file is opened.
const ATTEMPTS: &str = r#"#!/bin/sh
try() { what=$1; shift; "$@" >/dev/null 2>&1 && echo "may $what"; }
start=$(head -n 1 /proc/1/maps 2>/dev/null | cut -d- -f1)
try "read the agent's memory" dd if=/proc/1/mem bs=1 count=1 iflag=skip_bytes skip=$((0x${start:-0}))
try "read the kernel's memory" head -c 1 /proc/kcore
try "read the machine's memory" dd if=/dev/mem bs=1 count=1 iflag=skip_bytes skip=1048576
for port in /dev/vport*; do try "speak to the node" timeout 5 head -c 1 "$port"; done
grep -rlI -e "PRIVATE KEY" /run /local /etc /tmp 2>/dev/null
ls /run/welkin/certificates
"#;
/// The startup task, as root.
const ELEVATED: &str = r#"#!/bin/sh
sh /app/attempts >"$WELKIN_LOCAL_WWW/elevated.txt"
welkin-tls deploy 127.0.0.1:8444 127.0.0.1:8080 2>>"$WELKIN_LOCAL_WWW/elevated.txt" &
sleep 2
kill -0 $! && echo "may sign" >>"$WELKIN_LOCAL_WWW/elevated.txt"
"#;
/// The role, as its own user.
const FRONT: &str = r#"#!/bin/sh
cd "$WELKIN_LOCAL_WWW" || exit 9
sh /app/attempts >limited.txt
welkin-tls deploy 127.0.0.1:8445 127.0.0.1:8080 2>refused.txt
cp "$WELKIN_CERTIFICATE_TLS" chain.pem
busybox httpd -p 127.0.0.1:8080
exec welkin-tls tls "$WELKIN_ENDPOINT_HTTP" 127.0.0.1:8080
"#;

fn fixture(name: &str) -> KeyedCertificate {
    let path = format!("{}/../pki/tests/pkcs12/{name}.pfx", env!("CARGO_MANIFEST_DIR"));
    KeyedCertificate::from_pfx(&std::fs::read(path).unwrap(), "p\u{e4}ssword").unwrap()
}

fn goal(generation: u64, tls: &KeyedCertificate, deploy: &KeyedCertificate) -> ToGuest {
    let address = vm::GUEST_ADDRESS;
    let named = |name: &str, certificate: &KeyedCertificate, elevated_only| CertificateGoal {
        name: name.to_owned(),
        thumbprint: certificate.certificate.sha1_thumbprint(),
        elevated_only,
    };
    let mut goal: GuestGoal = serde_json::from_value(json!({
        "generation": generation,
        "network": {"address": address, "prefix_length": 24, "gateway": vm::GATEWAY},
        "environment": {
            "deployment": "6ba7b8109dad11d180b400c04fd430c8", "service": "s", "role": "Web", "instance": "Web_IN_0",
            "update_domain": 0, "fault_domain": 0, "settings": {},
            "endpoints": [{"name": "http", "protocol": "https", "address": address, "port": 80, "public_port": 443}],
            "local_resources": [
                {"name": "www", "path": "/local/resources/www", "size_mib": 1, "clean_on_role_recycle": true}
            ],
            "peers": []
        },
        "startup_tasks": [
            {"command_line": "chmod 755 /app/welkin-tls", "elevated": true, "kind": "simple", "variables": {}},
            {"command_line": "sh /app/elevated", "elevated": true, "kind": "background", "variables": {}}
        ],
        "program": {"command_line": "front", "elevated": false, "ready_on_start": true},
        "variables": {}
    }))
    .unwrap();
    goal.certificates = vec![named("tls", tls, false), named("deploy", deploy, true)];
    ToGuest::Goal(Box::new(goal))
}

fn given(certificate: &KeyedCertificate) -> ToGuest {
    let all = std::iter::once(&certificate.certificate).chain(&certificate.chain);
    ToGuest::Certificate(Box::new(GuestCertificate {
        thumbprint: certificate.certificate.sha1_thumbprint(),
        chain: all.map(|certificate| STANDARD.encode(certificate.der())).collect(),
        key: certificate.key.as_ref().map(|key| KeyText::new(STANDARD.encode(key.pkcs8()))),
    }))
}

/// A page over TLS, from a server that must have this certificate.
fn get(vm: &Vm, certificate: &KeyedCertificate, path: &str) -> Option<String> {
    let tls = client_config(None, ServerAuth::Pinned(certificate.certificate.thumbprint())).unwrap();
    let connection = ClientConnection::new(tls, ServerName::try_from("rsa.example").unwrap()).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", vm.http)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    // The program behind ends the connection without saying so in TLS.
    let _ = stream.read_to_string(&mut answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

fn becomes(vm: &Vm, certificate: &KeyedCertificate, path: &str, expected: &str) {
    vm.wait_for(|vm| {
        let page = get(vm, certificate, path);
        let is_so = page.as_deref() == Some(expected);
        if !is_so {
            eprintln!("{path}: {page:?}");
        }
        is_so
    });
}

#[test]
fn a_role_uses_a_key_that_it_cannot_read() {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let (Some(images), Some(tls)) = (variable("WELKIN_IMAGES"), variable("WELKIN_TLS")) else {
        eprintln!("not run: WELKIN_IMAGES or WELKIN_TLS names nothing");
        return;
    };
    let program = std::fs::read(tls).unwrap();
    let files: [(&str, &[u8]); 4] = [
        ("attempts", ATTEMPTS.as_bytes()),
        ("elevated", ELEVATED.as_bytes()),
        ("front", FRONT.as_bytes()),
        ("welkin-tls", &program),
    ];
    let (rsa, p256, p384) = (fixture("modern"), fixture("p256"), fixture("p384"));
    let mut vm = Vm::boot(&images, Machine::Q35, &files);

    // Nothing starts before every certificate is there.
    let waiting = vm.lead(&goal(1, &rsa, &p384), RoleState::Starting);
    let thumbprint = |of: &KeyedCertificate| of.certificate.sha1_thumbprint();
    assert_eq!(waiting.lacks, [thumbprint(&rsa), thumbprint(&p384)]);
    assert_eq!(waiting.message, "waits for 2 certificates");
    vm.say(&given(&rsa));
    vm.until(|observed| observed.lacks == [thumbprint(&p384)]);
    // One that the goal does not name is not taken.
    vm.say(&given(&p256));
    vm.say(&given(&p384));
    let ready = vm.until(|observed| observed.role == RoleState::Ready);
    assert_eq!(ready.lacks, []);

    let folder = "deploy.pem\ntls.pem\n";
    becomes(&vm, &rsa, "/limited.txt", folder);
    becomes(&vm, &rsa, "/elevated.txt", &format!("{folder}may sign\n"));
    let refused = get(&vm, &rsa, "/refused.txt").unwrap();
    assert!(refused.contains("its permissionLevel is elevated and this process is not"), "{refused}");
    let chain = get(&vm, &rsa, "/chain.pem").unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2, "{chain}");

    // Another certificate is another run of the role, and the one before is forgotten.
    let waiting = vm.lead(&goal(2, &p256, &p384), RoleState::Starting);
    assert_eq!(waiting.lacks, [thumbprint(&p256)]);
    vm.say(&given(&p256));
    vm.until(|observed| observed.role == RoleState::Ready && observed.role_restarts > ready.role_restarts);
    becomes(&vm, &p256, "/limited.txt", folder);
    assert_eq!(get(&vm, &rsa, "/limited.txt"), None);
    let back = vm.lead(&goal(3, &rsa, &p384), RoleState::Starting);
    assert_eq!(back.lacks, [thumbprint(&rsa)]);
}
