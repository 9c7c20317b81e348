//! The XML of page ranges (STORAGE, section 3: Get Page Ranges).

use crate::xml::Xml;

/// Consecutive pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: u64,
    /// They were cleared since the snapshot.
    pub cleared: bool,
}

/// Writes the answer; `next` is where the next one begins.
#[must_use]
pub fn write(lines: impl Iterator<Item = Line>, next: Option<u64>) -> String {
    let mut xml = Xml::new();
    xml.element("PageList", |xml| {
        for line in lines {
            xml.element(if line.cleared { "ClearRange" } else { "PageRange" }, |xml| {
                xml.text("Start", &line.first.to_string());
                xml.text("End", &line.last.to_string());
            });
        }
        xml.optional("NextMarker", next.map(|next| next.to_string()).as_deref());
    });
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let line = |first, last, cleared| Line { first, last, cleared };
        let text = write([line(0, 511, false), line(512, 1023, true)].into_iter(), Some(4096));
        let expected = "<PageList><PageRange><Start>0</Start><End>511</End></PageRange>\
                        <ClearRange><Start>512</Start><End>1023</End></ClearRange>\
                        <NextMarker>4096</NextMarker></PageList>";
        assert!(text.ends_with(expected), "{text}");
        assert!(!write([].into_iter(), None).contains("NextMarker"));
    }
}
