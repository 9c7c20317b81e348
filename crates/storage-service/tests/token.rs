//! Bearer tokens of a real little issuer, which publishes its keys over HTTPS, and what its users sign with user
//! delegation keys.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod rig;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use rig::{LIMIT, Rig, free_address};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use welkin_base::Timestamp;
use welkin_pki::{Identity, ServerAuth, client_config, public_server_config};
use welkin_storage_service::{AdminConfig, DEV_ACCOUNT, OpenIdConfig};
use welkin_storage_wire::shared_key::AccountKey;

const AUDIENCE: &str = "https://storage.azure.com/";
const OWNER: &str = "Storage Blob Data Owner";
const READER: &str = "Storage Blob Data Reader";

/// A key pair of the issuer.
struct SigningKey {
    id: &'static str,
    pair: KeyPair,
}

impl SigningKey {
    fn new(id: &'static str) -> Self {
        Self { id, pair: KeyPair::generate().unwrap() }
    }

    fn public(&self) -> Value {
        let raw = self.pair.public_key_raw();
        let [x, y] = [&raw[1..33], &raw[33..65]].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": x, "y": y })
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &EncodingKey::from_ec_der(&self.pair.serialize_der())).unwrap()
    }
}

/// An issuer that runs, and the service that takes its tokens.
struct World {
    rig: Rig,
    https: SocketAddr,
    admin: welkin_transport::Client,
    issuer: String,
    published: Arc<Mutex<Value>>,
    key: SigningKey,
}

async fn issue(published: Arc<Mutex<Value>>, authority: &std::path::Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("https://{}/tenant", listener.local_addr().unwrap());
    let identity = Identity::self_signed_for("issuer", &["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(authority, identity.certificate_pem()).unwrap();
    let tls = public_server_config(identity.certificate_pem(), identity.key_pem()).unwrap();
    let url = issuer.clone();
    let handler = move |_, request: Request<hyper::body::Incoming>| {
        let document = match request.uri().path() {
            "/tenant/.well-known/openid-configuration" => {
                json!({ "issuer": url, "jwks_uri": format!("{url}/keys") })
            }
            _ => json!({ "keys": *published.lock().unwrap() }),
        };
        async move { welkin_transport::json(StatusCode::OK, &document) }
    };
    tokio::spawn(welkin_transport::serve(listener, tls, handler, std::future::pending()));
    issuer
}

async fn world() -> World {
    let outside = tempfile::TempDir::new().unwrap().keep();
    let key = SigningKey::new("first");
    let published = Arc::new(Mutex::new(json!([key.public()])));
    let issuer = issue(published.clone(), &outside.join("issuer.pem")).await;
    let [server, operator] = ["storage", "operator"].map(|name| Identity::self_signed(name).unwrap());
    server.save(&outside).unwrap();
    let (https, listen) = (free_address(), free_address());
    let clients = vec![operator.thumbprint()];
    let openid = OpenIdConfig {
        issuer: issuer.clone(),
        audience: AUDIENCE.to_owned(),
        roles_claim: "roles".to_owned(),
        jwks: None,
        authority: Some(outside.join("issuer.pem")),
    };
    let rig = Rig::start(|config| {
        config.blob_https_listen = vec![https];
        config.openid = Some(openid);
        config.admin = Some(AdminConfig { listen, identity_folder: outside.clone(), clients });
    })
    .await;
    let up = async {
        while !rig.folder.path().join("data/tls/cert.pem").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, up).await.unwrap();
    let tls = client_config(Some(&operator), ServerAuth::Pinned(server.thumbprint())).unwrap();
    World { rig, https, admin: welkin_transport::Client::new(listen, tls), issuer, published, key }
}

struct Told {
    status: u16,
    code: String,
    challenge: String,
    body: String,
}

impl World {
    fn claims(&self, role: &str) -> Value {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        json!({ "iss": self.issuer, "aud": AUDIENCE, "exp": now + 600, "nbf": now - 10, "oid": "user", "tid": "tenant",
            "roles": [role] })
    }

    fn token(&self, role: &str) -> String {
        self.key.sign(&self.claims(role))
    }

    /// Asks over HTTPS, and checks the server's certificate, as any client does.
    async fn ask(&self, method: &str, target: &str, token: Option<&str>, body: &str) -> Told {
        let pem = std::fs::read(self.rig.folder.path().join("data/tls/cert.pem")).unwrap();
        let roots = RootCerts::from(vec![Certificate::from_pem(&pem).unwrap()]);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build();
        let agent: Agent = Agent::config_builder().tls_config(tls).http_status_as_error(false).build().into();
        let url = format!("https://{}/{DEV_ACCOUNT}{target}", self.https);
        let mut request = Request::builder().method(method).uri(url).header("x-ms-version", "2021-10-04");
        request = request.header("x-ms-blob-type", "BlockBlob");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body.to_owned()).unwrap();
        let asked = tokio::task::spawn_blocking(move || {
            let mut response = agent.run(request).unwrap();
            let header = |name: &str| {
                response.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
            };
            let (code, challenge) = (header("x-ms-error-code"), header("www-authenticate"));
            let status = response.status().as_u16();
            Told { status, code, challenge, body: response.body_mut().read_to_string().unwrap() }
        });
        tokio::time::timeout(LIMIT, asked).await.unwrap().unwrap()
    }

    async fn check(&self, request: &str, token: Option<&str>, status: u16, code: &str) -> Told {
        let (method, target) = request.split_once(' ').unwrap();
        let told = self.ask(method, target, token, "").await;
        assert_eq!((told.status, told.code.as_str()), (status, code), "{request}: {}", told.body);
        told
    }
}

#[tokio::test]
async fn tokens_and_roles() {
    let world = world().await;
    let (owner, reader) = (world.token(OWNER), world.token(READER));
    world.check("PUT /con?restype=container", Some(&owner), 201, "").await;
    world.check("PUT /con/b", Some(&owner), 201, "").await;
    world.check("GET /con/b", Some(&reader), 200, "").await;
    let listed = world.check("GET /?comp=list", Some(&reader), 200, "").await;
    let endpoint = format!("ServiceEndpoint=\"https://{}", world.https);
    assert!(listed.body.contains(&endpoint), "{}", listed.body);
    let refused = "AuthorizationPermissionMismatch";
    world.check("PUT /con/b", Some(&reader), 403, refused).await;
    world.check("GET /con/b", Some(&world.token("Storage Blob Data Reader/other")), 403, refused).await;
    world.check("GET /con?restype=container&comp=acl", Some(&owner), 200, "").await;
    for request in ["GET /?comp=list", "GET /con/b"] {
        let told = world.check(request, None, 401, "NoAuthenticationInformation").await;
        assert_eq!(
            told.challenge,
            format!("Bearer authorization_uri={} resource_id={AUDIENCE}", world.issuer)
        );
    }
    let plain = rig::Sample::new(welkin_storage_wire::Service::Blob, "GET", "/con/b", &[], "");
    let plain = world.rig.send(&plain.with("authorization", format!("Bearer {reader}"))).await;
    assert_eq!((plain.status, plain.code.as_str()), (403, "AuthenticationFailed"), "over HTTP");
    world.rig.end().await;
}

#[tokio::test]
async fn tokens_that_are_not_taken() {
    let world = world().await;
    let with = |name: &str, value: Value| {
        let mut claims = world.claims(OWNER);
        claims[name] = value;
        world.key.sign(&claims)
    };
    let stranger = SigningKey::new("first");
    let shared =
        encode(&Header::new(Algorithm::HS256), &world.claims(OWNER), &EncodingKey::from_secret(b"x"));
    let good = world.token(OWNER);
    for token in [
        with("iss", json!("https://other")),
        with("aud", json!("https://other")),
        with("exp", json!(1_000_000)),
        with("nbf", json!(99_999_999_999_u64)),
        stranger.sign(&world.claims(OWNER)),
        SigningKey::new("unknown").sign(&world.claims(OWNER)),
        shared.unwrap(),
        good[..good.len() - 4].to_owned(),
        "a.b.c".to_owned(),
    ] {
        let told = world.check("GET /?comp=list", Some(&token), 401, "InvalidAuthenticationInfo").await;
        assert!(told.challenge.starts_with("Bearer authorization_uri="), "{}", told.challenge);
    }
    world.rig.end().await;
}

#[tokio::test]
async fn the_issuer_changes_its_key() {
    let mut world = world().await;
    world.check("GET /?comp=list", Some(&world.token(OWNER)), 200, "").await;
    world.key = SigningKey::new("second");
    *world.published.lock().unwrap() = json!([world.key.public()]);
    let token = world.token(OWNER);
    let taken = async {
        while world.ask("GET", "/?comp=list", Some(&token), "").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, taken).await.unwrap();
    world.rig.end().await;
}

fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap();
    rest.split_once("</").unwrap().0
}

/// A SAS of the container `c`, signed with the user delegation key of the answer.
fn delegated_sas(answer: &str, permissions: &str) -> String {
    let field = |name| element(answer, name);
    let key = AccountKey::from_base64(field("Value")).unwrap();
    let key_fields =
        ["SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion"];
    let [oid, tid, start, expiry, service, version] = key_fields.map(field);
    let text = format!(
        "{permissions}\n\n{expiry}\n/blob/{DEV_ACCOUNT}/con\n{oid}\n{tid}\n{start}\n{expiry}\n{service}\n{version}\n\
         \n\n\n\n\n2021-10-04\nc\n\n\n\n\n\n\n"
    );
    let signature = key.sign(&text).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!(
        "sv=2021-10-04&sr=c&sp={permissions}&se={expiry}&skoid={oid}&sktid={tid}&skt={start}&ske={expiry}\
         &sks={service}&skv={version}&sig={signature}"
    )
}

#[tokio::test]
async fn users_delegate_and_are_revoked() {
    let world = world().await;
    let (owner, reader) = (world.token(OWNER), world.token(READER));
    world.check("PUT /con?restype=container", Some(&owner), 201, "").await;
    world.check("PUT /con/b", Some(&owner), 201, "").await;
    let expiry = (Timestamp::from(SystemTime::now() + Duration::from_secs(3600))).to_iso_seconds();
    let info = format!("<KeyInfo><Expiry>{expiry}</Expiry></KeyInfo>");
    let target = "/?restype=service&comp=userdelegationkey";
    let [of_owner, of_reader] = [
        world.ask("POST", target, Some(&owner), &info).await.body,
        world.ask("POST", target, Some(&reader), &info).await.body,
    ];
    let refused = "AuthorizationPermissionMismatch";
    for (answer, permissions, request, status, code) in [
        (&of_owner, "rw", "GET /con/b", 200, ""),
        (&of_owner, "rw", "PUT /con/b", 201, ""),
        (&of_owner, "r", "PUT /con/b", 403, refused),
        (&of_reader, "rw", "GET /con/b", 200, ""),
        // What a user hands on is no more than what the user may do.
        (&of_reader, "rw", "PUT /con/b", 403, refused),
        (&of_reader, "rw", "GET /other/b", 403, "AuthenticationFailed"),
    ] {
        let request = format!("{request}?{}", delegated_sas(answer, permissions));
        world.check(&request, None, status, code).await;
    }
    let path = format!("/v1/accounts/{DEV_ACCOUNT}/delegation-keys");
    let revoked = world.admin.send(http::Method::DELETE, &path, welkin_transport::full("")).await.unwrap();
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    let request = format!("GET /con/b?{}", delegated_sas(&of_owner, "rw"));
    world.check(&request, None, 403, "AuthenticationFailed").await;
    world.rig.end().await;
}
