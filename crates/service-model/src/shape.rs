//! What the parser takes more than linear time or much of the stack for is refused in one pass before it: elements with
//! very many attributes, very many namespaces, and very deep ones. No real file has any of them.

use quick_xml::Reader;
use quick_xml::events::Event;

/// Attributes of an element, at most. The richest element has some ten.
const ELEMENT_ATTRIBUTES_MAX: usize = 64;
/// Namespaces that a document declares, at most. Real ones declare one to three.
const NAMESPACES_MAX: usize = 64;
/// Elements within each other, at most. The deepest file has nine.
const DEPTH_MAX: usize = 64;

/// Where and why a text is not parsed: an offset in bytes, and what is wrong with it.
pub(crate) fn check(text: &str) -> Result<(), (usize, &'static str)> {
    let mut reader = Reader::from_str(text);
    let (mut depth, mut namespaces) = (0_usize, 0_usize);
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(0);
        let tag = match reader.read_event() {
            Ok(Event::Start(tag)) => {
                depth += 1;
                tag
            }
            Ok(Event::Empty(tag)) => tag,
            Ok(Event::End(_)) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            // The parser says better what is not well-formed, and stops there at the latest.
            Ok(Event::Eof) | Err(_) => return Ok(()),
            Ok(_) => continue,
        };
        if depth > DEPTH_MAX {
            return Err((at, "the elements are nested too deeply"));
        }
        let mut attributes = 0;
        for attribute in tag.attributes().with_checks(false) {
            let Ok(attribute) = attribute else { return Err((at, "an attribute is not well-formed")) };
            attributes += 1;
            namespaces += usize::from(attribute.key.as_ref().starts_with("xmlns"));
            if attributes > ELEMENT_ATTRIBUTES_MAX {
                return Err((at, "an element has too many attributes"));
            }
            if namespaces > NAMESPACES_MAX {
                return Err((at, "there are too many namespaces"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let many = |count: usize, part: &dyn Fn(usize) -> String| (0..count).map(part).collect::<String>();
        for (text, expected) in [
            (format!("<A {}/>", many(150_000, &|n| format!("a{n}='' "))), Err("too many attributes")),
            (
                format!("<A>{}</A>", many(100, &|n| format!("<B xmlns:n{n}='u'/>"))),
                Err("too many namespaces"),
            ),
            (format!("{}{}", "<A>".repeat(100_000), "</A>".repeat(100_000)), Err("too deeply")),
            (format!("<A>{}</A>", "<B c='1' d=\"2\"/>".repeat(20_000)), Ok(())),
            ("<A b=''><C".to_owned(), Ok(())),
        ] {
            let got = check(&text).map_err(|(_, why)| why);
            match (got, expected) {
                (Ok(()), Ok(())) => {}
                (Err(why), Err(part)) => assert!(why.contains(part), "{text:.60}: {why}"),
                (got, _) => panic!("{text:.60}: {got:?}"),
            }
        }
    }
}
