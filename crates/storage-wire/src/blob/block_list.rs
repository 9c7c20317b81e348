//! The block list: what Put Block List takes, and what Get Block List answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{ErrorCode, ProtocolError};
use crate::xml::{self, Xml};

/// Blocks of a committed blob, at most (STORAGE, section 3: Put Block List).
pub const BLOCKS_MAX: usize = 50_000;
/// Length of a block id, decoded.
pub const BLOCK_ID_BYTES_MAX: usize = 64;

/// Which block of an id is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The committed one.
    Committed,
    /// The uncommitted one.
    Uncommitted,
    /// The uncommitted one, or else the committed one.
    Latest,
}

/// Decodes a block id.
///
/// # Errors
/// When it is not base64 of 1 to 64 bytes.
pub fn parse_block_id(text: &str) -> Result<Vec<u8>, ProtocolError> {
    let id = STANDARD.decode(text.trim()).map_err(|_| ProtocolError::from(ErrorCode::InvalidBlockId))?;
    match id.len() {
        1..=BLOCK_ID_BYTES_MAX => Ok(id),
        _ => Err(ErrorCode::InvalidBlockId.into()),
    }
}

/// Reads the body of Put Block List: where to find each block, and its id.
///
/// # Errors
/// When it is no block list, or too long.
pub fn parse(body: &[u8]) -> Result<Vec<(Source, Vec<u8>)>, ProtocolError> {
    xml::read(body, "BlockList", |root| {
        let mut list = Vec::new();
        for node in root.children().filter(roxmltree::Node::is_element) {
            let source = match node.tag_name().name() {
                "Committed" => Source::Committed,
                "Uncommitted" => Source::Uncommitted,
                "Latest" => Source::Latest,
                other => {
                    return Err(
                        ProtocolError::from(ErrorCode::InvalidXmlDocument).with_detail("XmlNodeName", other)
                    );
                }
            };
            if list.len() == BLOCKS_MAX {
                return Err(ErrorCode::BlockListTooLong.into());
            }
            let id = parse_block_id(node.text().unwrap_or(""));
            list.push((source, id.map_err(|_| ProtocolError::from(ErrorCode::InvalidBlockList))?));
        }
        Ok(list)
    })
}

/// Writes the answer of Get Block List. A list that was not asked for is `None`.
#[must_use]
pub fn write<'a>(
    committed: Option<impl Iterator<Item = (&'a [u8], u64)>>,
    uncommitted: Option<impl Iterator<Item = (&'a [u8], u64)>>,
) -> String {
    let mut xml = Xml::new();
    xml.element("BlockList", |xml| {
        if let Some(blocks) = committed {
            xml.element("CommittedBlocks", |xml| blocks.for_each(|block| write_block(xml, block)));
        }
        if let Some(blocks) = uncommitted {
            xml.element("UncommittedBlocks", |xml| blocks.for_each(|block| write_block(xml, block)));
        }
    });
    xml.finish()
}

fn write_block(xml: &mut Xml, (id, length_bytes): (&[u8], u64)) {
    xml.element("Block", |xml| {
        xml.text("Name", &STANDARD.encode(id));
        xml.text("Size", &length_bytes.to_string());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let long = format!("<BlockList>{}</BlockList>", "<Latest>YQ==</Latest>".repeat(BLOCKS_MAX + 1));
        for (body, expected) in [
            ("<BlockList/>", "0"),
            (
                "<?xml version=\"1.0\"?><BlockList>\n<Latest>YQ==</Latest> <Committed>Yg==</Committed></BlockList>",
                "2",
            ),
            ("<BlockList><Newest>YQ==</Newest></BlockList>", "InvalidXmlDocument"),
            ("<BlockList><Latest>*</Latest></BlockList>", "InvalidBlockList"),
            ("<BlockList><Latest></Latest></BlockList>", "InvalidBlockList"),
            ("<BlockList><Latest>", "InvalidXmlDocument"),
            (&long, "BlockListTooLong"),
        ] {
            let found = parse(body.as_bytes());
            let told = found.map_or_else(|error| error.code().to_string(), |list| list.len().to_string());
            assert_eq!(told, expected);
        }
    }
}
