//! A real server and a real client over loopback.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream::iter;
use http::{Method, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use welkin_pki::{ClientAuth, Identity, ServerAuth, Thumbprint, client_config, server_config};
use welkin_transport::{CallError, Client, empty, json, read_body, serve, stream, text};

const ANSWER_BYTES_MAX: usize = 1 << 10;

struct Server {
    address: SocketAddr,
    thumbprint: Thumbprint,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
}

async fn start(clients: ClientAuth) -> Server {
    let identity = Identity::self_signed("server").unwrap();
    let tls = server_config(&identity, clients).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let handler = |peer: welkin_transport::Peer, request: http::Request<hyper::body::Incoming>| async move {
        match (request.method().clone(), request.uri().path()) {
            (Method::GET, "/who") => json(StatusCode::OK, &peer.certificate.map(|c| c.thumbprint())),
            (Method::GET, "/long") => text(StatusCode::OK, "x".repeat(2 * ANSWER_BYTES_MAX)),
            (Method::PUT, "/count") => match read_body(request.into_body(), 1 << 20).await {
                Ok(bytes) => json(StatusCode::OK, &bytes.len()),
                Err(error) => text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            },
            _ => empty(StatusCode::NOT_FOUND),
        }
    };
    let served = tokio::spawn(async move {
        serve(listener, tls, handler, async {
            let _ = stopped.await;
        })
        .await;
    });
    Server { address, thumbprint: identity.thumbprint(), stop, served }
}

fn client(server: &Server, own: Option<&Identity>, expected: Thumbprint) -> Client {
    Client::new(server.address, client_config(own, ServerAuth::Pinned(expected)).unwrap())
}

#[tokio::test]
async fn each_side_knows_the_other() {
    let own = Identity::self_signed("client").unwrap();
    let server = start(ClientAuth::Pinned(vec![own.thumbprint()])).await;
    let client = client(&server, Some(&own), server.thumbprint);
    for _ in 0..3 {
        let seen: Option<Thumbprint> = client.get_json("/who", ANSWER_BYTES_MAX).await.unwrap();
        assert_eq!(seen, Some(own.thumbprint()));
    }
    assert!(client.get_json::<u8>("/nothing", ANSWER_BYTES_MAX).await.unwrap_err().is_not_found());
    let _ = server.stop.send(());
    server.served.await.unwrap();
}

#[tokio::test]
async fn strangers_are_refused_by_either_side() {
    let own = Identity::self_signed("client").unwrap();
    let stranger = Identity::self_signed("client").unwrap();
    let server = start(ClientAuth::Pinned(vec![own.thumbprint()])).await;
    let cases = [
        (client(&server, Some(&stranger), server.thumbprint), "unknown client certificate"),
        (client(&server, None, server.thumbprint), "no client certificate"),
        (client(&server, Some(&own), stranger.thumbprint()), "unexpected server certificate"),
    ];
    for (client, case) in cases {
        let error = client.get_json::<Option<Thumbprint>>("/who", ANSWER_BYTES_MAX).await.unwrap_err();
        assert!(matches!(error, CallError::Unreachable { .. }), "{case}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_asks_lets_anyone_be_answered() {
    let server = start(ClientAuth::Requested).await;
    let own = Identity::self_signed("client").unwrap();
    for (identity, expected) in [(None, None), (Some(&own), Some(own.thumbprint()))] {
        let client = client(&server, identity, server.thumbprint);
        let seen: Option<Thumbprint> = client.get_json("/who", ANSWER_BYTES_MAX).await.unwrap();
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn bodies_are_streamed_and_bounded() {
    let server = start(ClientAuth::Requested).await;
    let client = client(&server, None, server.thumbprint);
    for (pieces, status) in [(10_usize, StatusCode::OK), (20, StatusCode::PAYLOAD_TOO_LARGE)] {
        let body = stream(iter((0..pieces).map(|_| Ok(Bytes::from(vec![7; 100_000])))));
        let response = client.send(Method::PUT, "/count", body).await;
        // A server that refuses a body may close while it still comes.
        match response {
            Ok(response) => assert_eq!(response.status(), status),
            Err(CallError::Unreachable { .. }) => assert_ne!(status, StatusCode::OK),
            Err(error) => panic!("{error}"),
        }
    }
    let error = client.get_json::<String>("/long", ANSWER_BYTES_MAX).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge), "{error}");
}
