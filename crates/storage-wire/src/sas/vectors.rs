//! Signatures that official Python clients of all ages made (`vectors.txt`), with the key of the development account, or
//! with a key of a user. They expire in 2030.

use crate::operation::Service;

/// The value of the user delegation key.
pub const KEY_OF_USER: &str = "ZGVsZWdhdGVkLWRlbGVnYXRlZC1kZWxlZ2F0ZWQtMTI=";

/// What a client made.
#[derive(Debug, Clone, Copy)]
pub struct Vector {
    pub client: &'static str,
    pub service: Service,
    /// A request that the signature permits.
    pub request: &'static str,
    pub sas: &'static str,
}

impl Vector {
    /// A field of the signature.
    pub fn field(self, name: &str) -> Option<&'static str> {
        self.sas.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    }
}

/// All of them, from the oldest form on.
pub fn all() -> Vec<Vector> {
    let parse = |line: &'static str| {
        let [client, service, request, sas] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let service = [Service::Blob, Service::Queue, Service::Table]
            .into_iter()
            .find(|known| format!("{known:?}") == service)
            .unwrap();
        Vector { client, service, request, sas }
    };
    include_str!("vectors.txt").lines().map(parse).collect()
}
