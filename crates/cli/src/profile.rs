//! Profiles: the clouds that somebody manages, each a folder with where it is and who one is there.
//!
//! `welkin up` makes one for the operator, `admin` in the state folder. `welkin login` makes others, below
//! `$WELKIN_PROFILES`, else `~/.config/welkin`.

use std::path::{Path, PathBuf};

use crate::client::{Client, ClientError, Settings};
use crate::manage::{ManageError, Output, subscription};

/// The profile that is used where none is named and there is no state folder.
pub const DEFAULT: &str = "default";
/// Characters of a profile's name, at most.
const NAME_CHARS_MAX: usize = 64;

/// Verbs of `welkin profile`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:
  welkin profile list
  welkin --profile work profile show --json")]
pub enum Profile {
    /// List the profiles that `welkin login` made
    List(Output),
    /// Show the profile in use: its cloud, and the subscription with its quotas
    Show(Output),
}

/// The name of a profile, as an argument.
///
/// # Errors
/// When it could lead out of the folder of profiles.
pub fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > NAME_CHARS_MAX || text.starts_with('.') || !text.chars().all(plain) {
        return Err("a profile's name has letters, digits, hyphens, underscores and points".to_owned());
    }
    Ok(text.to_owned())
}

/// The folder of profiles.
///
/// # Errors
/// When nothing says where it is.
pub fn folder() -> Result<PathBuf, ManageError> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    of("WELKIN_PROFILES")
        .or_else(|| of("XDG_CONFIG_HOME").map(|folder| folder.join("welkin")))
        .or_else(|| of("HOME").map(|home| home.join(".config/welkin")))
        .ok_or_else(|| ManageError::Wrong("set HOME or WELKIN_PROFILES: profiles have no folder".to_owned()))
}

/// The settings of the profile that is named, else of the cloud in the state folder, else of the default profile.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn settings(state: &Path, profile: Option<&str>) -> Result<Settings, ClientError> {
    let of = |name: &str| folder().ok().map(|folder| folder.join(name));
    if let Some(name) = profile {
        let folder = of(name).filter(|folder| folder.join("cloud.toml").exists());
        let none = || ClientError::NoProfile { name: name.to_owned(), state: state.to_owned() };
        return Settings::load(&folder.ok_or_else(none)?);
    }
    let admin = state.join("admin");
    if admin.join("cloud.toml").exists() {
        return Settings::load(&admin);
    }
    match of(DEFAULT).filter(|folder| folder.join("cloud.toml").exists()) {
        Some(folder) => Settings::load(&folder),
        None => Err(ClientError::NoProfile { name: DEFAULT.to_owned(), state: state.to_owned() }),
    }
}

impl Profile {
    /// Carries the command out.
    pub fn run(&self, state: &Path, profile: Option<&str>) -> Result<(), ManageError> {
        match self {
            Self::List(output) => list(*output),
            Self::Show(output) => subscription::show(&Client::new(&settings(state, profile)?)?, *output),
        }
    }
}

fn list(output: Output) -> Result<(), ManageError> {
    let folder = folder()?;
    let entries = std::fs::read_dir(&folder).map(|entries| entries.flatten().collect()).unwrap_or(Vec::new());
    let mut found: Vec<(String, Settings)> = entries
        .into_iter()
        .filter_map(|entry| {
            Some((entry.file_name().into_string().ok()?, Settings::load(&entry.path()).ok()?))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    subscription::print_profiles(&found, output)
}
