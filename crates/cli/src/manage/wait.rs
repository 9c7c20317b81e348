//! Operations that take a while: followed to their end, or left to themselves.

use std::time::Duration;

use crate::client::{Answer, Client, ClientError};
use crate::deploy::Show;

/// How a command treats an operation that takes a while.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Wait {
    /// Do not wait for the end: print the operation's id, for `welkin operation wait`
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait for the end, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800, conflicts_with = "no_wait")]
    pub timeout: u64,
}

impl Wait {
    /// Waits for the operation that `answer` began, and then says `done`.
    ///
    /// # Errors
    /// When it fails, or the time is up: then it goes on by itself.
    pub fn finish(
        self,
        client: &Client,
        answer: &Answer,
        doing: &str,
        done: &str,
    ) -> Result<(), ClientError> {
        if self.no_wait {
            println!("{}", answer.request_id);
            return Ok(());
        }
        let show = Show::new();
        show.step(doing);
        let ended = client.wait(answer, doing, Duration::from_secs(self.timeout));
        show.clear();
        for warning in ended? {
            eprintln!("warning: {warning}");
        }
        eprintln!("{done}");
        Ok(())
    }
}
