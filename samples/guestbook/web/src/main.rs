//! The guestbook sample.

fn main() {}
