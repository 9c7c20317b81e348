//! Certificates: declared by a role, given a thumbprint by the configuration.

use roxmltree::Node;

use crate::xml::{Reader, Shape, children, echo, members};

/// A certificate that a role declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateDeclaration {
    /// Its name in the role.
    pub name: String,
    /// `LocalMachine` or `CurrentUser`.
    pub store_location: String,
    /// `My`, `Root`, `CA` and so on, or a name of the role's own.
    pub store_name: String,
    /// Only an elevated program may use it.
    pub elevated_only: bool,
}

/// A certificate of a role with its thumbprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its name in the role.
    pub name: String,
    /// SHA-1 thumbprint: 40 upper-case hexadecimal digits.
    pub thumbprint: String,
}

const CERTIFICATES: Shape = Shape::list(&["Certificate"]);
const DECLARATION: Shape = Shape::leaf(&["name", "storeLocation", "storeName", "permissionLevel"]);
const THUMBPRINT: Shape = Shape::leaf(&["name", "thumbprint", "thumbprintAlgorithm"]);
const SHA1_HEX_DIGITS: usize = 40;

/// Reads the certificates that `role` of a definition declares.
pub(crate) fn read_declarations<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    role: Node<'d, 'i>,
) -> Vec<CertificateDeclaration> {
    for list in children(role, "Certificates") {
        reader.shape(list, &CERTIFICATES);
    }
    let mut certificates: Vec<CertificateDeclaration> = Vec::new();
    for node in members(role, "Certificates", "Certificate") {
        reader.shape(node, &DECLARATION);
        let locations = [("LocalMachine", "LocalMachine"), ("CurrentUser", "CurrentUser")];
        reader.required(node, "storeLocation");
        let levels = [("limitedOrElevated", false), ("elevated", true)];
        let certificate = CertificateDeclaration {
            name: reader.name(node, "name"),
            store_location: reader.choice(node, "storeLocation", &locations).unwrap_or("").to_owned(),
            store_name: reader.name(node, "storeName"),
            elevated_only: reader.choice(node, "permissionLevel", &levels).unwrap_or(false),
        };
        warn_of_store(reader, node, &certificate);
        if certificates.iter().any(|other| other.name == certificate.name) {
            let message = format!("certificate {} is declared twice; rename one", echo(&certificate.name));
            reader.problem(node, message);
        }
        certificates.push(certificate);
    }
    certificates
}

/// A guest has one place for all certificates. `LocalMachine` and `My` mean the role's own, and so does that place;
/// another store means something else, such as whom Windows trusts.
fn warn_of_store<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    node: Node<'d, 'i>,
    certificate: &CertificateDeclaration,
) {
    let CertificateDeclaration { name, store_location, store_name, .. } = certificate;
    let elsewhere = [("storeLocation", store_location, "LocalMachine"), ("storeName", store_name, "My")];
    for (attribute, value, own) in elsewhere {
        if !value.is_empty() && !value.eq_ignore_ascii_case(own) {
            let message = format!(
                "{attribute}={} of the certificate {} has no effect: a Linux guest has no certificate stores, and \
                 nothing trusts this one more for it; its role finds it through its role socket, as with \
                 {attribute}=\"{own}\"",
                echo(value),
                echo(name)
            );
            reader.warning(node, message);
        }
    }
}

/// Reads the thumbprints that `role` of a configuration gives.
pub(crate) fn read_thumbprints<'d, 'i>(reader: &mut Reader<'d, 'i>, role: Node<'d, 'i>) -> Vec<Certificate> {
    for list in children(role, "Certificates") {
        reader.shape(list, &CERTIFICATES);
    }
    let mut certificates: Vec<Certificate> = Vec::new();
    for node in members(role, "Certificates", "Certificate") {
        reader.shape(node, &THUMBPRINT);
        reader.choice(node, "thumbprintAlgorithm", &[("sha1", ())]);
        let certificate =
            Certificate { name: reader.name(node, "name"), thumbprint: thumbprint(reader, node) };
        if certificates.iter().any(|other| other.name == certificate.name) {
            let message = format!("certificate {} is given twice; remove one", echo(&certificate.name));
            reader.problem(node, message);
        }
        certificates.push(certificate);
    }
    certificates
}

/// Blanks and the invisible mark that the Windows certificate dialog puts in front are dropped.
fn thumbprint<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> String {
    let written = reader.required(node, "thumbprint");
    let digits: String = written
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'))
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let is_sha1 = digits.len() == SHA1_HEX_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !written.is_empty() && !is_sha1 {
        reader.bad_value(node, "thumbprint", "a SHA-1 thumbprint: 40 hexadecimal digits");
    }
    digits
}
