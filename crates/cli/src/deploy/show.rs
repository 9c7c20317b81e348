//! What `welkin deploy` shows meanwhile: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// What is shown.
#[derive(Debug)]
pub struct Show {
    bar: ProgressBar,
    terminal: bool,
}

impl Show {
    /// Nothing yet.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if terminal {
            bar.enable_steady_tick(TICK);
        }
        Self { bar, terminal }
    }

    /// A new step begins.
    pub fn step(&self, message: &str) {
        if self.terminal {
            self.bar.set_style(style("{spinner} {msg}"));
            self.bar.set_message(message.to_owned());
        } else {
            eprintln!("{message}");
        }
    }

    /// A step of known length begins.
    pub fn measure(&self, message: &str, length: u64, unit: Unit) {
        self.step(message);
        self.bar.set_style(style(match unit {
            Unit::Bytes => "{spinner} {msg} [{bar:30}] {bytes}/{total_bytes}, {bytes_per_sec}",
            Unit::Instances => "{spinner} {msg} [{bar:30}] {pos}/{len}",
        }));
        self.bar.set_length(length);
        self.bar.set_position(0);
    }

    /// The measured step's length, where it was not known before.
    pub fn length(&self, length: u64) {
        self.bar.set_length(length);
    }

    /// How far the measured step is.
    pub fn position(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// A line that stays.
    pub fn line(&self, message: &str) {
        if self.terminal {
            self.bar.println(message);
        } else {
            eprintln!("{message}");
        }
    }

    /// Ends with a line that stays.
    pub fn done(&self, message: &str) {
        self.line(message);
        self.clear();
    }

    /// Ends.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// What a measured step counts.
#[derive(Debug, Clone, Copy)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Role instances.
    Instances,
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
