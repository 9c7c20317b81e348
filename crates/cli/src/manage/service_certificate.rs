//! `welkin service-certificate`: certificates whose keys the roles of a service may use.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use welkin_base::ServiceName;
use welkin_management_wire::Element;

use super::listing::{Column, text};
use super::wait::Wait;
use super::{ManageError, Output, print_list, print_one, read};
use crate::client::Client;

/// Verbs of `welkin service-certificate`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:
  welkin service-certificate add shop tls.pfx --password-file tls.password
  echo secret | welkin service-certificate add shop tls.pfx
  welkin service-certificate list shop")]
pub enum ServiceCertificate {
    /// List the certificates of a hosted service
    List {
        /// The hosted service
        service: ServiceName,
        #[command(flatten)]
        output: Output,
    },
    /// Print a certificate, without its key, in base64
    Show {
        /// The hosted service
        service: ServiceName,
        /// Its SHA-1 thumbprint
        thumbprint: String,
        #[command(flatten)]
        output: Output,
    },
    /// Store a certificate with its key (PKCS#12, .pfx), or one without a key (.cer)
    Add {
        /// The hosted service
        service: ServiceName,
        /// The file: .pfx or .p12 with a key, anything else without
        file: PathBuf,
        /// A file whose first line is the password [default: the first line of standard input]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Delete a certificate that no deployment names
    Delete {
        /// The hosted service
        service: ServiceName,
        /// Its SHA-1 thumbprint
        thumbprint: String,
        #[command(flatten)]
        wait: Wait,
    },
}

const COLUMNS: &[Column] = &[
    text("thumbprint", "thumbprint", "Thumbprint"),
    text("algorithm", "thumbprintAlgorithm", "ThumbprintAlgorithm"),
    text("url", "url", "CertificateUrl"),
];
const DATA: &[Column] = &[text("data", "data", "Data")];

impl ServiceCertificate {
    /// Carries the command out.
    pub fn run(&self, client: &Client) -> Result<(), ManageError> {
        let all = |service: &ServiceName| format!("services/hostedservices/{service}/certificates");
        let at = |service: &ServiceName, thumbprint: &str| {
            format!("{}/sha1-{}", all(service), thumbprint.to_ascii_uppercase())
        };
        match self {
            Self::List { service, output } => {
                let empty = "the service has no certificates: `welkin service-certificate add` stores one";
                print_list(&client.get(&all(service))?, "Certificate", COLUMNS, *output, empty)
            }
            Self::Show { service, thumbprint, output } => {
                print_one(&client.get(&at(service, thumbprint))?, DATA, *output)
            }
            Self::Add { service, file, password_file, wait } => {
                let has_key = file
                    .extension()
                    .is_some_and(|end| end.eq_ignore_ascii_case("pfx") || end.eq_ignore_ascii_case("p12"));
                let password = if has_key { password(password_file.as_ref())? } else { String::new() };
                let body = Element::new("CertificateFile")
                    .with("Data", STANDARD.encode(read(file)?))
                    .with("CertificateFormat", if has_key { "pfx" } else { "cer" })
                    .with("Password", password);
                let answer = client.post(&all(service), body)?;
                let done = format!("stored the certificate of {}", file.display());
                Ok(wait.finish(client, &answer, "storing the certificate", &done)?)
            }
            Self::Delete { service, thumbprint, wait } => {
                let answer = client.delete(&at(service, thumbprint))?;
                let done = format!("deleted the certificate {thumbprint}");
                Ok(wait.finish(client, &answer, "deleting the certificate", &done)?)
            }
        }
    }
}

/// The first line of a file or of standard input; it is never an argument, which every user of a machine can see.
fn password(file: Option<&PathBuf>) -> Result<String, ManageError> {
    let mut line = String::new();
    match file {
        Some(path) => {
            let text = String::from_utf8(read(path)?);
            line = text.map_err(|_| ManageError::Wrong(format!("{} is not UTF-8", path.display())))?;
        }
        None => {
            let input = std::io::stdin();
            let failed = |source| ManageError::File { path: PathBuf::from("standard input"), source };
            let unseen = if input.is_terminal() { Some(Unseen::on().map_err(failed)?) } else { None };
            if unseen.is_some() {
                eprint!("password of the file: ");
            }
            let read = input.lock().read_line(&mut line);
            if unseen.is_some() {
                eprintln!();
            }
            read.map_err(failed)?;
        }
    }
    Ok(line.lines().next().unwrap_or_default().to_owned())
}

/// What is typed is not shown, until this is dropped.
struct Unseen(Termios);

impl Unseen {
    fn on() -> std::io::Result<Self> {
        let shown = tcgetattr(std::io::stdin())?;
        let mut unseen = shown.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &unseen)?;
        Ok(Self(shown))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // The shell sets its terminal too.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}
