//! Takes TLS off an endpoint of a role whose program knows nothing of certificates: decrypts what clients send, passes it
//! on to a port of this machine, and back.
//!
//! `welkin-tls <certificate> <listen> <to>`, such as `welkin-tls tls "$WELKIN_ENDPOINT_HTTPS" 127.0.0.1:8080`. The
//! handshake is signed by the guest agent; neither this program nor the one behind it ever has the private key.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A client that does not finish its handshake is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// After a connection could not be accepted, as when files have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [certificate, listen, to] = arguments.as_slice() else {
        eprintln!("usage: welkin-tls <certificate> <listen> <to>");
        return ExitCode::from(2);
    };
    match serve(certificate, listen, to).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("welkin-tls: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(certificate: &str, listen: &str, to: &str) -> Result<(), Box<dyn std::error::Error>> {
    let tls = welkin_sdk::certificate::tls_server(certificate)?;
    let listener = TcpListener::bind(listen).await?;
    let to: Arc<str> = to.into();
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                tokio::spawn(pass(client, Arc::clone(&tls), Arc::clone(&to)));
            }
            Err(error) => {
                eprintln!("welkin-tls: cannot accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A client that breaks off, or a program behind that does not answer, ends this connection and nothing else.
async fn pass(client: TcpStream, tls: Arc<ServerConfig>, to: Arc<str>) {
    let handshake = TlsAcceptor::from(tls).accept(client);
    let Ok(Ok(mut client)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await else { return };
    if let Ok(mut program) = TcpStream::connect(&*to).await {
        let _ = copy_bidirectional(&mut client, &mut program).await;
    }
}
