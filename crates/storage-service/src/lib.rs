//! The storage front-ends: HTTP, authentication, streaming.
