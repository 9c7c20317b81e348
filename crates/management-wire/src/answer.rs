//! Answers as a client reads them: the few texts that our own command line needs.

use roxmltree::{Document, Node};

use crate::operation_status;

/// How an operation is going, as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It runs.
    InProgress,
    /// It did what was asked.
    Succeeded,
    /// It did not: code and message.
    Failed(String, String),
}

/// The texts of all elements that the path of names leads to, from below the root. Empty when the answer is not XML.
#[must_use]
pub fn texts(answer: &str, path: &[&str]) -> Vec<String> {
    let Ok(document) = Document::parse(answer) else { return Vec::new() };
    let mut nodes = vec![document.root_element()];
    for name in path {
        let named = |node: &Node<'_, '_>| node.is_element() && node.tag_name().name() == *name;
        nodes =
            nodes.into_iter().flat_map(|node| node.children().filter(named).collect::<Vec<_>>()).collect();
    }
    nodes.into_iter().map(|node| node.text().unwrap_or("").to_owned()).collect()
}

/// The first text that the path of names leads to.
#[must_use]
pub fn text(answer: &str, path: &[&str]) -> Option<String> {
    texts(answer, path).into_iter().next()
}

/// The warnings of an operation's status, or of a deployment.
#[must_use]
pub fn warnings(answer: &str) -> Vec<String> {
    texts(answer, &["Warnings", "Warning"])
}

/// Code and message of an error answer.
#[must_use]
pub fn error(answer: &str) -> Option<(String, String)> {
    Some((text(answer, &["Code"])?, text(answer, &["Message"])?))
}

/// Reads what [`operation_status::element`] writes.
#[must_use]
pub fn outcome(answer: &str) -> Option<Outcome> {
    match text(answer, &["Status"])?.as_str() {
        operation_status::IN_PROGRESS => Some(Outcome::InProgress),
        operation_status::SUCCEEDED => Some(Outcome::Succeeded),
        operation_status::FAILED => {
            let of = |name| text(answer, &["Error", name]).unwrap_or_default();
            Some(Outcome::Failed(of("Code"), of("Message")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use welkin_base::Timestamp;

    use super::*;
    use crate::error::ApiError;
    use crate::operation_status::Progress;

    #[test]
    fn outcomes_survive_the_way() {
        let at = Timestamp::from_ticks(0);
        let failed = Progress::Failed { at, error: ApiError::bad_request("a < b\nc") };
        for (progress, expected) in [
            (Progress::InProgress, Outcome::InProgress),
            (Progress::Succeeded { at, warnings: vec!["a".to_owned()] }, Outcome::Succeeded),
            (failed, Outcome::Failed("BadRequest".to_owned(), "a < b\nc".to_owned())),
        ] {
            let document =
                operation_status::element("6ba7b8109dad11d180b400c04fd430c8", &progress).to_document();
            assert_eq!(outcome(&String::from_utf8(document).unwrap()), Some(expected));
        }
        assert_eq!(outcome("nonsense"), None);
    }

    #[test]
    fn paths() {
        let answer = "<L><A><N>1</N></A><A><N>2</N><M/></A></L>";
        assert_eq!(texts(answer, &["A", "N"]), ["1", "2"]);
        assert_eq!(text(answer, &["A", "M"]), Some(String::new()));
        assert_eq!(text(answer, &["B"]), None);
    }
}
