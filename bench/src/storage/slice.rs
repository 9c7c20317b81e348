//! A slice of time in which a number of workers do the same work, each over a connection of its own.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::load::BenchError;
use crate::storage::error::StorageError;

/// What a slice of time gave.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Operations per second.
    pub rate: f64,
    /// Megabytes (10^6 bytes) of content per second.
    pub megabytes: f64,
    /// Half of the operations took no longer, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 operations took no longer, in milliseconds.
    pub p99_ms: f64,
}

/// What a worker has done.
#[derive(Debug, Default)]
struct Done {
    latencies: Vec<Duration>,
    bytes: u64,
}

/// One of those who do the work; each operation answers how many bytes of content it moved.
pub trait Worker: Send + 'static {
    /// Does the work once.
    fn work(&mut self) -> impl Future<Output = Result<u64, StorageError>> + Send;
}

/// Lets each worker work, one operation after the other, until `duration` has passed.
pub async fn measure<W: Worker>(workers: Vec<W>, duration: Duration) -> Result<Figures, StorageError> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for mut worker in workers {
        tasks.spawn(async move {
            let mut done = Done::default();
            while start.elapsed() < duration {
                let begin = Instant::now();
                done.bytes += worker.work().await?;
                done.latencies.push(begin.elapsed());
            }
            Ok::<_, StorageError>(done)
        });
    }
    let mut all = Done::default();
    while let Some(task) = tasks.join_next().await {
        let done = task.map_err(|error| BenchError::Task(error.to_string()))??;
        all.latencies.extend(done.latencies);
        all.bytes += done.bytes;
    }
    Ok(figures(all, start.elapsed()))
}

fn figures(mut all: Done, elapsed: Duration) -> Figures {
    all.latencies.sort_unstable();
    Figures {
        rate: all.latencies.len() as f64 / elapsed.as_secs_f64(),
        megabytes: all.bytes as f64 / 1e6 / elapsed.as_secs_f64(),
        p50_ms: percentile_ms(&all.latencies, 50),
        p99_ms: percentile_ms(&all.latencies, 99),
    }
}

/// By nearest rank, of sorted values.
fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let rows: [(&[Duration], usize, f64); 4] =
            [(&sorted, 50, 100.0), (&sorted, 99, 198.0), (&sorted[..1], 50, 1.0), (&sorted[..1], 99, 1.0)];
        for (values, percent, expected) in rows {
            assert_eq!(percentile_ms(values, percent), expected, "{percent} of {}", values.len());
        }
    }
}
