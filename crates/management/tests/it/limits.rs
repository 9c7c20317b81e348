//! Limits: what one subscription, a slow client or a crowd of connections takes from the others.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::http::Method;
use welkin_management::Limits;
use welkin_pki::Identity;

use crate::rig::{ALICE, LIMIT, Rig, service_body};

type Connection = StreamOwned<ClientConnection, std::net::TcpStream>;

/// A connection of its own, on which a test sends what no client does.
fn connect(rig: &Rig, identity: &Identity) -> Connection {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(rig.authority_pem().as_bytes()).unwrap()).unwrap();
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = std::net::TcpStream::connect(rig.config.listen).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

fn head(path: &str, length: usize) -> String {
    format!(
        "POST /{ALICE}{path} HTTP/1.1\r\nHost: h\r\nx-ms-version: 2014-10-01\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn restart(rig: &mut Rig, limits: Limits) {
    rig.stop_management();
    rig.config.limits = limits;
    rig.start_management();
}

#[test]
fn one_subscription_is_no_queue_for_another() {
    let mut rig = Rig::start();
    restart(&mut rig, Limits { requests_in_hand_max: 3, ..Limits::default() });
    // Three requests whose bodies do not come.
    let mut slow: Vec<Connection> = (0..3).map(|_| connect(&rig, &rig.alice)).collect();
    for connection in &mut slow {
        connection.write_all(head("/services/hostedservices", 100).as_bytes()).unwrap();
        connection.flush().unwrap();
    }
    let (alice, bob) = (rig.alice(), rig.bob());
    let end = Instant::now() + LIMIT;
    let refused = loop {
        let answer = alice.get("/locations");
        if answer.status != 200 {
            break answer;
        }
        assert!(Instant::now() < end, "never refused");
    };
    assert_eq!((refused.status, refused.code().as_str()), (503, "TooManyRequests"), "{refused:?}");
    assert_eq!(refused.retry_after, "", "the real service said none");
    let made = bob.make_service("bobs");
    assert_eq!(made.status, 201);
    for _ in 0..50 {
        assert_eq!(bob.get(&format!("/operations/{}", made.request_id)).status, 200);
    }
    drop(slow);
    let end = Instant::now() + LIMIT;
    while alice.get("/locations").status != 200 {
        assert!(Instant::now() < end, "what its clients gave up is still in hand");
    }
}

#[test]
fn a_rush_is_refused() {
    let mut rig = Rig::start();
    restart(
        &mut rig,
        Limits { requests_per_second: 1, requests_burst: 5, requests_in_hand_max: 10, ..Limits::default() },
    );
    let (alice, bob) = (rig.alice(), rig.bob());
    let statuses: Vec<u16> = (0..8).map(|_| alice.get("/locations").status).collect();
    assert_eq!(statuses[..5], [200; 5]);
    assert!(statuses[5..].contains(&503), "{statuses:?}");
    assert_eq!(bob.get("/locations").status, 200);
    // Who is not known has no share, and takes nothing from anybody's.
    let stranger = rig.customer(Some(&rig.bob), ALICE);
    assert_eq!(stranger.get("/locations").status, 403);
}

#[test]
fn an_address_begins_so_many_connections() {
    let mut rig = Rig::start();
    restart(&mut rig, Limits { handshakes_per_second: 1, handshakes_burst: 3, ..Limits::default() });
    let mut answered = Vec::new();
    for _ in 0..5 {
        let mut connection = connect(&rig, &rig.alice);
        let head = format!("GET /{ALICE}/locations HTTP/1.1\r\nHost: h\r\nx-ms-version: 2014-10-01\r\n\r\n");
        let mut answer = [0; 12];
        let asked = connection.write_all(head.as_bytes()).and_then(|()| connection.flush());
        answered.push(asked.and_then(|()| connection.read_exact(&mut answer)).is_ok());
    }
    // One of the burst may have been the start's own look.
    assert!(answered[0] && answered[1] && !answered[4], "{answered:?}");
}

#[test]
fn a_crowd_of_connections_keeps_nobody_out() {
    let mut rig = Rig::start();
    restart(&mut rig, Limits { connections_max: 8, ..Limits::default() });
    // A request in hand, whose body comes later.
    let body = service_body("slow");
    let mut slow = connect(&rig, &rig.alice);
    slow.write_all(head("/services/hostedservices", body.len()).as_bytes()).unwrap();
    slow.flush().unwrap();
    // Connections that send nothing, half a head, and not even a handshake.
    let mut crowd = Vec::new();
    let mut mute = Vec::new();
    for index in 0..60 {
        let mut connection = connect(&rig, &rig.bob);
        let begun = if index % 2 == 0 { "" } else { "GET /x HTTP/1.1\r\n" };
        let _ = connection.write_all(begun.as_bytes()).and_then(|()| connection.flush());
        crowd.push(connection);
        mute.push(std::net::TcpStream::connect(rig.config.listen).unwrap());
    }
    for _ in 0..10 {
        // Each on a connection of its own.
        assert_eq!(rig.alice().get("/locations").status, 200);
    }
    slow.write_all(body.as_bytes()).unwrap();
    slow.flush().unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
}

#[test]
fn what_no_client_sends() {
    let rig = Rig::start();
    let long = format!("GET /{ALICE}/locations?{} HTTP/1.1\r\n\r\n", "x".repeat(200_000));
    let many = format!(
        "GET /{ALICE}/locations HTTP/1.1\r\n{}\r\n",
        (0..2_000).map(|n| format!("h{n}: x\r\n")).collect::<String>()
    );
    for (name, bytes, status) in [
        ("a long head", long.as_bytes(), &["HTTP/1.1 431", "HTTP/1.1 414", ""][..]),
        ("many headers", many.as_bytes(), &["HTTP/1.1 431", ""]),
        ("no HTTP", b"\x16\x03\x01nonsense\r\n\r\n", &["HTTP/1.1 400", ""]),
        (
            "two lengths",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            &["HTTP/1.1 400", ""],
        ),
    ] {
        let mut connection = connect(&rig, &rig.alice);
        // The service may close while we write.
        let _ = connection.write_all(bytes).and_then(|()| connection.flush());
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let line = answer.lines().next().unwrap_or("");
        assert!(status.iter().any(|start| line.starts_with(start)), "{name}: {line}");
        assert!(!line.contains("200"), "{name}: {line}");
    }
    let entity = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><CreateHostedService>\
        <ServiceName>&x;</ServiceName></CreateHostedService>";
    let answer = rig.alice().call(&Method::POST, "/services/hostedservices", entity);
    assert_eq!((answer.status, answer.code().as_str()), (400, "InvalidXmlRequest"), "{answer:?}");
    assert!(!answer.text.contains("root:"), "{answer:?}");
}
