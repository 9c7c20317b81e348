//! The layout that the classic SDK documents for packages of other tools: an Open Packaging Conventions (OPC) zip.
//!
//! `_rels/.rels` leads to the manifest, `package.xml`. Its `PackageContents` name each part with length and digest,
//! its `PackageLayouts` say which part is which file of which role. Files below `\approot` are the role's own; others
//! (`\sitesroot`, a tool's own) keep their path below the role's folder.
//!
//! Source: SERVICEMODEL, "Package"; the schema of `package.xml`, whose `IntegrityCheckHashAlgortihm` is spelled so.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roxmltree::{Document, Node, ParsingOptions};
use welkin_base::Digest;

use super::archive::Archive;
use super::content::{Content, Stored};
use super::manifest::limit;
use super::{FILES_MAX, PackageError, ROLES, path};
use crate::text;
use crate::xml::TEXT_BYTES_MAX;

/// The part that makes a zip an OPC package.
pub(super) const CONTENT_TYPES: &str = "[Content_Types].xml";
const RELATIONSHIPS: &str = "_rels/.rels";
const RELATIONSHIPS_FOLDER: &str = "_rels/";
const RELATIONSHIPS_NAMESPACE: &str = "http://schemas.openxmlformats.org/package/2006/relationships";
const PACKAGE_DEFINITION: &str =
    "http://schemas.microsoft.com/windowsazure/PackageDefinition/Version/2012/03/15";
const NAMESPACE: &str = "http://schemas.microsoft.com/windowsazure";
const RELATIONSHIPS_BYTES_MAX: u64 = 64 << 10;
/// `package.xml` in bytes, at most: [`FILES_MAX`] contents and as many files, with long names.
const MANIFEST_BYTES_MAX: u64 = 32 << 20;
/// Elements and texts of `package.xml`, at most: a content and a file have some thirty between them.
const NODES_MAX: u32 = 40 * FILES_MAX as u32;
const LAYOUT_PREFIX: &str = "Roles/";
const DEFINITION_FOLDER: &str = "ServiceDefinition/";
const DEFINITION_EXTENSION: &str = ".csdef";
const APPROOT: &str = "approot/";

/// What `PackageContents` says of a part.
struct Part {
    name: String,
    bytes: u64,
    sha256: Option<Digest>,
}

fn wrong(message: impl Into<String>) -> PackageError {
    PackageError::Opc(message.into())
}

/// Reads the manifests of an OPC package.
pub(super) fn read<R: Read + Seek>(archive: &mut Archive<R>) -> Result<Content, PackageError> {
    let relationships =
        archive.read_small(RELATIONSHIPS, "bytes of relationships", RELATIONSHIPS_BYTES_MAX)?;
    let manifest_name = manifest_name(&decoded(&relationships, RELATIONSHIPS)?)?;
    let manifest = archive.read_small(&manifest_name, "bytes of manifest", MANIFEST_BYTES_MAX)?;
    let manifest = decoded(&manifest, &manifest_name)?;
    let document = parse(&manifest, &manifest_name)?;
    let root = document.root_element();
    if !root.has_tag_name((NAMESPACE, "PackageDefinition")) {
        return Err(wrong(format!("{manifest_name} is no <PackageDefinition xmlns=\"{NAMESPACE}\">")));
    }
    let parts = read_parts(root)?;
    for name in archive.entries.keys() {
        let is_known = *name == manifest_name
            || name == CONTENT_TYPES
            || name.starts_with(RELATIONSHIPS_FOLDER)
            || parts.values().any(|part| part.name == *name);
        if !is_known {
            return Err(PackageError::Unexpected { path: name.clone() });
        }
    }
    let text = read_definition(archive, &parts)?;
    let mut content = Content { text, files: BTreeMap::new() };
    for (layout, file) in layouts(root).flat_map(|layout| files(layout).map(move |file| (layout, file))) {
        add(archive, &parts, &mut content, layout, file)?;
    }
    Ok(content)
}

fn decoded(bytes: &[u8], name: &str) -> Result<String, PackageError> {
    text::decode(bytes).ok_or_else(|| wrong(format!("{name} is neither UTF-8 nor UTF-16")))
}

fn parse<'t>(text: &'t str, name: &str) -> Result<Document<'t>, PackageError> {
    let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    Document::parse_with_options(text, options)
        .map_err(|error| wrong(format!("{name} is not well-formed XML: {error}")))
}

/// The part that the relationship of the right type leads to.
fn manifest_name(relationships: &str) -> Result<String, PackageError> {
    let document = parse(relationships, RELATIONSHIPS)?;
    let mut targets = document
        .root_element()
        .children()
        .filter(|node| node.has_tag_name((RELATIONSHIPS_NAMESPACE, "Relationship")))
        .filter(|node| node.attribute("Type") == Some(PACKAGE_DEFINITION))
        .filter_map(|node| node.attribute("Target"));
    match (targets.next(), targets.next()) {
        (Some(target), None) => part_name(target),
        (Some(_), Some(_)) => Err(wrong("two relationships lead to a package definition")),
        (None, _) => {
            Err(wrong(format!("no relationship of type {PACKAGE_DEFINITION} leads to its manifest")))
        }
    }
}

/// A part's name in the zip, from a URI relative to the package.
fn part_name(uri: &str) -> Result<String, PackageError> {
    let name = uri.trim().trim_start_matches('/');
    path::check(name)?;
    Ok(name.to_owned())
}

fn child<'d, 'i>(node: Node<'d, 'i>, name: &str) -> Option<Node<'d, 'i>> {
    node.children().find(|child| child.has_tag_name((NAMESPACE, name)))
}

fn children<'d, 'i>(node: Node<'d, 'i>, name: &'static str) -> impl Iterator<Item = Node<'d, 'i>> {
    node.children().filter(move |child| child.has_tag_name((NAMESPACE, name)))
}

/// The text of a child that must be there.
fn value<'d>(node: Node<'d, '_>, name: &str) -> Result<&'d str, PackageError> {
    let text = child(node, name).and_then(|child| child.text()).map(str::trim);
    text.filter(|text| !text.is_empty()).ok_or_else(|| {
        let at = node.document().text_pos_at(node.range().start);
        let parent = node.tag_name().name();
        wrong(format!("<{parent}> in line {} of its manifest lacks <{name}>", at.row))
    })
}

fn read_parts(root: Node<'_, '_>) -> Result<BTreeMap<String, Part>, PackageError> {
    let mut parts = BTreeMap::new();
    let contents =
        child(root, "PackageContents").into_iter().flat_map(|all| children(all, "ContentDefinition"));
    for definition in contents {
        let name = value(definition, "Name")?.to_owned();
        let description = child(definition, "ContentDescription")
            .ok_or_else(|| wrong(format!("the content {name:?} has no <ContentDescription>")))?;
        let bytes = value(description, "LengthInBytes")?
            .parse()
            .map_err(|_| wrong(format!("<LengthInBytes> of {name:?} is no number")))?;
        let sha256 = match value(description, "IntegrityCheckHashAlgortihm")? {
            "None" => None,
            "Sha256" => Some(digest(&name, value(description, "IntegrityCheckHash")?)?),
            other => {
                return Err(wrong(format!("{name:?} has a digest of the kind {other:?}; Sha256 is known")));
            }
        };
        let part = Part { name: part_name(value(description, "DataStorePath")?)?, bytes, sha256 };
        if parts.insert(name.clone(), part).is_some() {
            return Err(wrong(format!("the content {name:?} is defined twice")));
        }
        limit("contents", parts.len() as u64, FILES_MAX as u64)?;
    }
    Ok(parts)
}

fn digest(name: &str, base64: &str) -> Result<Digest, PackageError> {
    let bytes = STANDARD.decode(base64).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes
        .map(Digest::from_bytes)
        .ok_or_else(|| wrong(format!("the digest of {name:?} is no SHA-256 in base64")))
}

fn read_definition<R: Read + Seek>(
    archive: &mut Archive<R>,
    parts: &BTreeMap<String, Part>,
) -> Result<String, PackageError> {
    let mut definitions = parts.iter().filter(|(name, _)| {
        let name = name.trim_start_matches('/');
        name.starts_with(DEFINITION_FOLDER) && name.ends_with(DEFINITION_EXTENSION)
    });
    match (definitions.next(), definitions.next()) {
        (Some((_, part)), None) => {
            let bytes = archive.read_small(&part.name, "bytes of definition", TEXT_BYTES_MAX as u64)?;
            let stored = Stored::of(part.name.clone(), part.bytes, part.sha256, false);
            stored.verify(&bytes)?;
            decoded(&bytes, &part.name)
        }
        (None, _) => {
            Err(PackageError::Missing { path: format!("{DEFINITION_FOLDER}*{DEFINITION_EXTENSION}") })
        }
        (Some(_), Some(_)) => Err(wrong("it has two service definitions")),
    }
}

fn layouts<'d, 'i>(root: Node<'d, 'i>) -> impl Iterator<Item = Node<'d, 'i>> {
    child(root, "PackageLayouts").into_iter().flat_map(|all| children(all, "LayoutDefinition"))
}

fn files<'d, 'i>(layout: Node<'d, 'i>) -> impl Iterator<Item = Node<'d, 'i>> {
    child(layout, "LayoutDescription").into_iter().flat_map(|all| children(all, "FileDefinition"))
}

fn add<R: Read + Seek>(
    archive: &Archive<R>,
    parts: &BTreeMap<String, Part>,
    content: &mut Content,
    layout: Node<'_, '_>,
    file: Node<'_, '_>,
) -> Result<(), PackageError> {
    let layout_name = value(layout, "Name")?.trim_start_matches('/');
    let role = layout_name.strip_prefix(LAYOUT_PREFIX).ok_or_else(|| {
        wrong(format!("the layout {layout_name:?} belongs to no role; expected Roles/<role>"))
    })?;
    let file_path = value(file, "FilePath")?;
    let below = file_path.replace('\\', "/");
    let below = below.strip_prefix('/').unwrap_or(&below);
    let is_own = below.get(..APPROOT.len()).is_some_and(|start| start.eq_ignore_ascii_case(APPROOT));
    let below = if is_own { below.get(APPROOT.len()..).unwrap_or_default() } else { below };
    let name = format!("{ROLES}/{role}/{below}");
    path::check(&name)?;
    let description = child(file, "FileDescription")
        .ok_or_else(|| wrong(format!("the file {file_path:?} has no <FileDescription>")))?;
    let reference = value(description, "DataContentReference")?;
    let part = parts.get(reference).ok_or_else(|| {
        wrong(format!("the file {file_path:?} refers to {reference:?}, which no content defines"))
    })?;
    let executable =
        *archive.entries.get(&part.name).ok_or_else(|| PackageError::Missing { path: part.name.clone() })?;
    content.add(name, Stored::of(part.name.clone(), part.bytes, part.sha256, executable))
}
