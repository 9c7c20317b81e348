//! `welkin certificate`: who may manage the subscription.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use welkin_management_wire::Element;
use welkin_pki::PeerCertificate;

use super::listing::{Column, text};
use super::{ManageError, Output, print_list, print_one, read};
use crate::client::Client;

/// Verbs of `welkin certificate`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:
  welkin certificate list
  welkin certificate add colleague.pem
  welkin certificate delete DA39A3EE5E6B4B0D3255BFEF95601890AFD80709")]
pub enum Certificate {
    /// List the management certificates of the subscription
    List(Output),
    /// Show a management certificate
    Show {
        /// Its SHA-1 thumbprint
        thumbprint: String,
        #[command(flatten)]
        output: Output,
    },
    /// Register a management certificate: whoever has its key may manage the subscription
    Add {
        /// The certificate, in PEM or DER; its key stays where it is
        file: PathBuf,
    },
    /// Remove a management certificate: whoever has its key is refused at once
    Delete {
        /// Its SHA-1 thumbprint
        thumbprint: String,
    },
}

const COLUMNS: &[Column] = &[
    text("thumbprint", "thumbprint", "SubscriptionCertificateThumbprint"),
    text("created", "created", "Created"),
];

impl Certificate {
    /// Carries the command out.
    pub fn run(&self, client: &Client) -> Result<(), ManageError> {
        let at = |thumbprint: &str| format!("certificates/{}", thumbprint.to_ascii_uppercase());
        match self {
            Self::List(output) => {
                let empty = "there are no management certificates";
                print_list(&client.get("certificates")?, "SubscriptionCertificate", COLUMNS, *output, empty)
            }
            Self::Show { thumbprint, output } => print_one(&client.get(&at(thumbprint))?, COLUMNS, *output),
            Self::Add { file } => {
                let certificate = certificate(&read(file)?).ok_or_else(|| {
                    let shown = file.display();
                    ManageError::Wrong(format!("{shown} is no certificate: a file in PEM or DER is needed"))
                })?;
                let thumbprint = certificate.sha1_thumbprint().to_string();
                let body = Element::new("SubscriptionCertificate")
                    .with("SubscriptionCertificateThumbprint", &thumbprint)
                    .with("SubscriptionCertificateData", STANDARD.encode(certificate.der()));
                client.post("certificates", body)?;
                eprintln!("registered the management certificate {thumbprint}");
                Ok(())
            }
            Self::Delete { thumbprint } => {
                client.delete(&at(thumbprint))?;
                eprintln!("removed the management certificate {thumbprint}");
                Ok(())
            }
        }
    }
}

/// The first certificate of a PEM file, or the one of a DER file.
fn certificate(bytes: &[u8]) -> Option<PeerCertificate> {
    /// What a DER certificate, a sequence of some hundred bytes, begins with.
    const SEQUENCE: &[u8] = &[0x30, 0x82];
    if bytes.starts_with(SEQUENCE) {
        return Some(PeerCertificate::from_der(bytes));
    }
    CertificateDer::from_pem_slice(bytes).ok().map(|der| PeerCertificate::from_der(der.to_vec()))
}
