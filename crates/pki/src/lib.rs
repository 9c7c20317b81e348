//! Certificates, thumbprints, sealing to a public key, and mutual TLS set-up.
