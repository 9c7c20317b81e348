//! `welkin completion`: what a shell needs to complete commands, options and values.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::Arguments;

/// Arguments of `welkin completion`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  welkin completion bash > /etc/bash_completion.d/welkin
  welkin completion zsh > ~/.zfunc/_welkin
  welkin completion fish > ~/.config/fish/completions/welkin.fish")]
pub struct CompletionArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &CompletionArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "welkin", &mut script);
    // Whoever reads it may have gone away.
    let _ = std::io::stdout().write_all(&script);
}
