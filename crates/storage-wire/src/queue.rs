//! Queues and messages on the wire (STORAGE, section 6).
//!
//! * [`list`]: the names of queues, what List Queues asks for and answers.
//! * [`message`]: messages in XML, their limits, and what operations on them ask for.

pub mod list;
pub mod message;

use quick_xml::escape::escape;

use crate::xml::is_xml;

/// Text for XML that a reader gets back as it was, a carriage return too; what XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let clean: String = text.chars().filter(|c| *c == '\r' || is_xml(*c)).collect();
    escape(clean).into_owned()
}
