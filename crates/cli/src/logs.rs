//! `welkin logs`: what the parts and the role instances say.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::cloud::Cloud;
use crate::error::CliError;
use crate::part::Part;
use crate::state;
use crate::status;

/// How often a followed log is read again.
const FOLLOW_MS: u64 = 300;
/// At most this much of a log's end is looked at for its last lines.
const TAIL_BYTES: u64 = 1 << 20;

/// Arguments of `welkin logs`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  welkin logs fabric --follow\n  welkin logs Web_IN_0\n  welkin logs Web_IN_0 --service guestbook"
)]
pub struct LogsArgs {
    /// A part (storage, node0, fabric, management, up) or a role instance, such as Web_IN_0.
    pub of: String,
    /// How many of the last lines.
    #[arg(long, short = 'n', default_value_t = 100)]
    pub lines: usize,
    /// Go on as more is said (parts only).
    #[arg(long, short)]
    pub follow: bool,
    /// The hosted service of a role instance, where several have an instance of that name.
    #[arg(long)]
    pub service: Option<String>,
}

/// Prints a log.
pub async fn run(folder: &Path, arguments: &LogsArgs) -> Result<(), CliError> {
    let cloud = state::open(folder)?;
    let part = Part::named(&arguments.of);
    let path = match part {
        Some(part) => cloud.log(part),
        None if arguments.of == "up" => cloud.path("log/up.log"),
        None => return instance(&cloud, arguments).await,
    };
    let mut file =
        File::open(&path).map_err(|source| CliError::File { doing: "read", path: path.clone(), source })?;
    let broken = |source| CliError::File { doing: "read", path: path.clone(), source };
    let length = file.metadata().map_err(broken)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).map_err(broken)?;
    let mut bytes = Vec::new();
    (&file).take(TAIL_BYTES).read_to_end(&mut bytes).map_err(broken)?;
    // The first of these bytes may lie in the middle of a character.
    let text = String::from_utf8_lossy(&bytes);
    print!("{}", last_lines(&text, arguments.lines));
    if !arguments.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(Duration::from_millis(FOLLOW_MS)).await;
        let mut more = Vec::new();
        file.read_to_end(&mut more).map_err(broken)?;
        print!("{}", String::from_utf8_lossy(&more));
        let _ = std::io::stdout().flush();
    }
}

async fn instance(cloud: &Cloud, arguments: &LogsArgs) -> Result<(), CliError> {
    let text = status::instance_log(cloud, arguments.service.as_deref(), &arguments.of).await?;
    print!("{}", harmless(last_lines(&text, arguments.lines)));
    Ok(())
}

/// A guest's console may hold anything, and a terminal obeys control characters: none but line ends and tabs pass.
fn harmless(text: &str) -> String {
    let plain = text.replace("\r\n", "\n");
    plain.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

fn last_lines(text: &str, count: usize) -> &str {
    let ends = text.trim_end_matches('\n').rmatch_indices('\n').map(|(at, _)| at + 1);
    let start = if count == 0 { text.len() } else { ends.take(count).nth(count - 1).unwrap_or(0) };
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::{harmless, last_lines};

    #[test]
    fn a_console_cannot_command_the_terminal() {
        for (text, expected) in [
            ("up\r\nready\r\n", "up\nready\n"),
            ("a\tb é\n", "a\tb é\n"),
            ("\u{1b}]0;owned\u{7}\n", "\u{fffd}]0;owned\u{fffd}\n"),
            ("\u{9b}2J\rroot#", "\u{fffd}2J\u{fffd}root#"),
        ] {
            assert_eq!(harmless(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_last_lines() {
        for (text, count, expected) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\nb\nc", 1, "c"),
            ("", 3, ""),
            ("a\n", 0, ""),
        ] {
            assert_eq!(last_lines(text, count), expected, "{text:?} {count}");
        }
    }
}
