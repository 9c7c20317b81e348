//! Queues and messages on the wire (STORAGE, section 6).
//!
//! * [`list`]: the names of queues, what List Queues asks for and answers.
//! * [`message`]: messages in XML, their limits, and what operations on them ask for.

pub mod list;
pub mod message;

use quick_xml::escape::escape;

/// Text for XML that a reader gets back as it was: a carriage return would else become a line feed.
fn escaped(text: &str) -> String {
    escape(text).replace('\r', "&#xD;")
}
