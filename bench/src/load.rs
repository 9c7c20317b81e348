//! Runs the same work from a number of submitters for a while, and counts.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Why a benchmark cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] welkin_store::StoreError),
    /// A commit failed.
    #[error("{0}")]
    Commit(#[from] welkin_store::CommitError),
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A task ended in an unexpected way.
    #[error("a task of the benchmark ended early: {0}")]
    Task(String),
}

/// Calls `work(submitter, number)` from `submitters` tasks, each one after the other, until
/// `duration` has passed. Answers how many were done per second.
pub async fn rate<W, F>(submitters: usize, duration: Duration, work: W) -> Result<f64, BenchError>
where
    W: Fn(usize, u64) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), BenchError>> + Send,
{
    let work = Arc::new(work);
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let tasks: Vec<_> = (0..submitters)
        .map(|submitter| {
            let (work, done) = (work.clone(), done.clone());
            tokio::spawn(async move {
                let mut number = 0;
                while start.elapsed() < duration {
                    work(submitter, number).await?;
                    number += 1;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<(), BenchError>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.map_err(|error| BenchError::Task(error.to_string()))??;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}
