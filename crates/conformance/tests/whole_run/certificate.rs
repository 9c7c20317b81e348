//! A service certificate, from a customer's file to a role that terminates TLS with its private key; and where that key
//! is meanwhile: looked for on every disk and in every process of the cloud.
//!
//! Needs `WELKIN_TLS`, the static program `welkin-tls`, besides what the other tests here need.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use welkin_management_wire::answer;
use welkin_pki::{KeyedCertificate, ServerAuth, client_config};

use crate::cloud::{Cloud, READY_LIMIT, eventually};

/// Of the fixtures that OpenSSL wrote for the crate `pki`.
const PASSWORD: &str = "p\u{e4}ssword";
const DEFINITION: &str = r#"<ServiceDefinition name="secure"
    xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition">
  <WorkerRole name="Front" vmsize="ExtraSmall">
    <Certificates><Certificate name="tls" storeLocation="LocalMachine" storeName="My" /></Certificates>
    <Endpoints><InputEndpoint name="https" protocol="https" port="443" localPort="8443" certificate="tls" /></Endpoints>
    <Runtime><EntryPoint><ProgramEntryPoint commandLine="front" setReadyOnProcessStart="true" /></EntryPoint></Runtime>
  </WorkerRole>
</ServiceDefinition>"#;
const CONFIGURATION: &str = r#"<ServiceConfiguration serviceName="secure" osFamily="1" osVersion="*"
    xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration">
  <Role name="Front">
    <Instances count="1" />
    <Certificates><Certificate name="tls" thumbprint="{thumbprint}" thumbprintAlgorithm="sha1" /></Certificates>
  </Role>
</ServiceConfiguration>"#;
const FRONT: &str = r#"#!/bin/sh
mkdir -p /local/tmp/www && echo "hello over TLS" >/local/tmp/www/index.html
busybox httpd -p 127.0.0.1:8080 -h /local/tmp/www
exec welkin-tls tls "$WELKIN_ENDPOINT_HTTPS" 127.0.0.1:8080
"#;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../pki/tests/pkcs12/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn a_private_key_is_where_it_is_used_and_nowhere_else() {
    let tls = PathBuf::from(std::env::var_os("WELKIN_TLS").expect("WELKIN_TLS is not set: run `./x test`"));
    let cloud = Cloud::new(4);
    cloud.up();
    let uploaded = KeyedCertificate::from_pfx(&fixture("legacy.pfx"), PASSWORD).unwrap();
    let thumbprint = uploaded.certificate.sha1_thumbprint().to_string();
    let customer = Customer::of(&cloud);
    customer.make_service("secure");

    // A deployment that names a certificate which is not there is refused before anything is made of it.
    let folder = role_folder(&cloud, &tls, &thumbprint);
    let deploy = ["deploy", "secure", "--folder", &folder];
    cloud.fails(&deploy, &[&thumbprint, "upload it first"]);
    customer.add_certificate("secure", &fixture("legacy.pfx"));
    let secrets = Secrets::of(uploaded.key.as_ref().unwrap().pkcs8());
    secrets.are_nowhere(&cloud, "after the upload");

    cloud.ok(&deploy);
    let url = cloud.status()["services"][0]["deployments"][0]["urls"][0].as_str().unwrap().to_owned();
    let address = format!("{}:443", url.trim_start_matches("https://").trim_end_matches('/'));
    eventually("a page over TLS", READY_LIMIT, || {
        get(&address, &uploaded)?.contains("hello over TLS").then_some(())
    });
    let (vm, _) = cloud.vms().pop().unwrap();
    assert!(secrets.are_in_process(vm), "the search finds what is there: the VM's memory holds the key");
    secrets.are_nowhere(&cloud, "with the instance running");

    // A VM that begins again gets the key again, from a fabric agent that began again too and had kept nothing.
    kill(pid_of(&cloud, "node0"));
    kill(vm);
    eventually("the page once more, from another VM", READY_LIMIT, || {
        let (again, _) = cloud.vms().pop().filter(|(pid, _)| *pid != vm)?;
        get(&address, &uploaded)?;
        Some(again)
    });
    secrets.are_nowhere(&cloud, "after everything began again");

    let in_use = customer.delete_certificate("secure", &thumbprint);
    assert_eq!(in_use, 409);
    cloud.ok(&["delete", "secure"]);
    secrets.are_nowhere(&cloud, "after the deletion");
    cloud.ok(&["down"]);
}

/// The folder that `welkin deploy` packages.
fn role_folder(cloud: &Cloud, tls: &Path, thumbprint: &str) -> String {
    let folder = cloud.state().join("secure");
    std::fs::create_dir_all(folder.join("Front")).unwrap();
    std::fs::write(folder.join("ServiceDefinition.csdef"), DEFINITION).unwrap();
    let configuration = CONFIGURATION.replace("{thumbprint}", thumbprint);
    std::fs::write(folder.join("ServiceConfiguration.cscfg"), configuration).unwrap();
    std::fs::write(folder.join("Front/front"), FRONT).unwrap();
    std::fs::copy(tls, folder.join("Front/welkin-tls")).unwrap();
    for name in ["front", "welkin-tls"] {
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.join("Front").join(name), mode).unwrap();
    }
    folder.display().to_string()
}

/// A page over TLS, from a server that must have this certificate.
fn get(address: &str, certificate: &KeyedCertificate) -> Option<String> {
    let tls = client_config(None, ServerAuth::Pinned(certificate.certificate.thumbprint())).unwrap();
    let connection = ClientConnection::new(tls, ServerName::try_from("rsa.example").unwrap()).unwrap();
    let stream = TcpStream::connect_timeout(&address.parse().ok()?, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut page = String::new();
    // The program behind ends the connection without saying so in TLS.
    let _ = stream.read_to_string(&mut page);
    page.contains(" 200 ").then_some(page)
}

/// Somebody who calls the management API with the operator's certificate.
struct Customer {
    agent: Agent,
    base: String,
    location: String,
}

impl Customer {
    fn of(cloud: &Cloud) -> Self {
        let read = |name: &str| std::fs::read_to_string(cloud.state().join("admin").join(name)).unwrap();
        let about: toml::Table = read("cloud.toml").parse().unwrap();
        let text = |name: &str| about[name].as_str().unwrap().to_owned();
        let pem = |name: &str| Certificate::from_pem(read(name).as_bytes()).unwrap();
        let key = PrivateKey::from_pem(read("key.pem").as_bytes()).unwrap();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&[pem("ca.pem")]))
            .client_cert(Some(ClientCert::new_with_certs(&[pem("cert.pem")], key)))
            .build();
        let agent = Agent::config_builder().tls_config(tls).proxy(None).http_status_as_error(false).build();
        let base = format!("{}/{}/services/hostedservices", text("management"), text("subscription"));
        Self { agent: agent.into(), base, location: text("location") }
    }

    fn post(&self, path: &str, body: &str) -> (u16, String) {
        let request = self.agent.post(format!("{}{path}", self.base)).header("x-ms-version", "2014-10-01");
        let mut response = request.send(body).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    fn make_service(&self, name: &str) {
        let (label, location) = (STANDARD.encode(name), &self.location);
        let body = format!(
            "<CreateHostedService><ServiceName>{name}</ServiceName><Label>{label}</Label>\
             <Location>{location}</Location></CreateHostedService>"
        );
        assert_eq!(self.post("", &body), (201, String::new()));
    }

    fn add_certificate(&self, service: &str, file: &[u8]) {
        let body = format!(
            "<CertificateFile><Data>{}</Data><CertificateFormat>pfx</CertificateFormat>\
             <Password>{PASSWORD}</Password></CertificateFile>",
            STANDARD.encode(file)
        );
        let (status, text) = self.post(&format!("/{service}/certificates"), &body);
        assert_eq!(status, 202, "{:?}", answer::error(&text));
    }

    fn delete_certificate(&self, service: &str, thumbprint: &str) -> u16 {
        let url = format!("{}/{service}/certificates/sha1-{thumbprint}", self.base);
        self.agent.delete(url).header("x-ms-version", "2014-10-01").call().unwrap().status().as_u16()
    }
}

/// Pieces of a private key, in each form in which a program may have it in hand: DER, its numbers with the last byte first as
/// libraries compute with them, and base64, which PEM is made of.
struct Secrets(String);

/// Bytes of each piece: by chance no file has them.
const PIECE_BYTES: usize = 20;

impl Secrets {
    /// Of an RSA key of 2048 bits in PKCS#8, whose secret numbers fill all but the first 320 bytes.
    fn of(pkcs8: &[u8]) -> Self {
        let secret = &pkcs8[340..];
        let mut pieces: Vec<Vec<u8>> = secret.chunks(100).filter_map(piece).collect();
        let reversed: Vec<Vec<u8>> = secret
            .chunks(100)
            .filter_map(|chunk| {
                let mut chunk = piece(chunk)?;
                chunk.reverse();
                Some(chunk)
            })
            .collect();
        pieces.extend(reversed);
        pieces.extend(STANDARD.encode(pkcs8).as_bytes()[480..].chunks(300).filter_map(piece));
        let escape = |piece: Vec<u8>| piece.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        Self(pieces.into_iter().map(escape).collect::<Vec<_>>().join("|"))
    }

    /// Looks through every file of the cloud, and the memory of every process of it but the VMs'.
    fn are_nowhere(&self, cloud: &Cloud, when: &str) {
        let mut grep = self.grep();
        let found = grep.args(["--recursive", "--files-with-matches"]).arg(cloud.state()).output().unwrap();
        let files = String::from_utf8_lossy(&found.stdout).into_owned();
        assert_eq!(files, "", "files with the private key {when}");
        assert_eq!(found.status.code(), Some(1), "{}", String::from_utf8_lossy(&found.stderr));
        for part in ["management", "fabric", "node0", "storage"] {
            assert!(
                !self.are_in_process(pid_of(cloud, part)),
                "{part}'s memory holds the private key {when}"
            );
        }
    }

    /// Looks through all memory of a process that can be written to.
    fn are_in_process(&self, pid: i32) -> bool {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
        let mut grep = self.grep().arg("--quiet").stdin(Stdio::piped()).spawn().unwrap();
        let mut sink = grep.stdin.take().unwrap();
        let mut buffer = vec![0; 1 << 20];
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
            let (start, end) = range.split_once('-').unwrap();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            let (mut at, end) = (number(start), number(end));
            while rights.starts_with("rw") && at < end {
                let length = usize::try_from(end - at).unwrap().min(buffer.len());
                // What was mapped away meanwhile cannot be read. A search that has found something reads no further.
                let Ok(read) = memory.read_at(&mut buffer[..length], at) else { break };
                if read == 0 || sink.write_all(&buffer[..read]).is_err() {
                    break;
                }
                at += read as u64;
            }
        }
        drop(sink);
        grep.wait().unwrap().success()
    }

    fn grep(&self) -> Command {
        let mut grep = Command::new("grep");
        grep.env("LC_ALL", "C").args(["--text", "--perl-regexp", "--regexp", &self.0]);
        grep
    }
}

/// The first bytes of a chunk that hold no end of a line, at which the search would break off.
fn piece(chunk: &[u8]) -> Option<Vec<u8>> {
    chunk.windows(PIECE_BYTES).find(|window| !window.contains(&b'\n')).map(<[u8]>::to_vec)
}

fn pid_of(cloud: &Cloud, part: &str) -> i32 {
    eventually(&format!("{part} runs"), READY_LIMIT, || {
        let text = std::fs::read_to_string(cloud.state().join(format!("run/{part}.pid"))).ok()?;
        let pid: i32 = text.split_whitespace().next()?.parse().ok()?;
        Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
    })
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
