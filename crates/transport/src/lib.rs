//! HTTP over mutual TLS: a server and a client, each of which knows the thumbprint of its peer.
