//! A slice of time in which a number of workers do the same work, each over a connection of its own.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::load::BenchError;
use crate::storage::error::StorageError;

/// How long after its end an operation of a slice may still take. Azurite takes this long to list at 64 connections.
const LATE: Duration = Duration::from_secs(300);

/// What a slice of time gave.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Operations per second.
    pub rate: f64,
    /// Half of the operations took no longer, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 operations took no longer, in milliseconds.
    pub p99_ms: f64,
    /// How much of one core the load generator used, in percent. At 100, it is the limit.
    pub client_percent: f64,
}

impl Figures {
    /// Of something that only has a rate.
    pub fn of_rate(rate: f64) -> Self {
        let none = f64::NAN;
        Self { rate, p50_ms: none, p99_ms: none, client_percent: none }
    }
}

/// One of those who do the work; an operation that fails ends the slice.
pub trait Worker: Send + 'static {
    /// Does the work once.
    fn work(&mut self) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// Lets each worker work, one operation after the other, until `duration` has passed.
pub async fn measure<W: Worker>(workers: Vec<W>, duration: Duration) -> Result<Figures, StorageError> {
    let (start, cpu_start) = (Instant::now(), cpu_s());
    let mut tasks = JoinSet::new();
    for mut worker in workers {
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while start.elapsed() < duration {
                let begin = Instant::now();
                worker.work().await?;
                latencies.push(begin.elapsed());
            }
            Ok::<_, StorageError>(latencies)
        });
    }
    let mut all = Vec::new();
    let end = tokio::time::Instant::from_std(start + duration + LATE);
    while let Some(task) =
        tokio::time::timeout_at(end, tasks.join_next()).await.map_err(|_| StorageError::TimedOut(LATE))?
    {
        all.extend(task.map_err(|error| BenchError::Task(error.to_string()))??);
    }
    Ok(figures(all, start.elapsed(), cpu_s() - cpu_start))
}

/// The figures of operations that took so long, in so much time.
pub fn figures_of(latencies: Vec<Duration>, elapsed: Duration) -> Figures {
    figures(latencies, elapsed, f64::NAN)
}

/// The time of processors that this process has used, in seconds.
fn cpu_s() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

fn figures(mut latencies: Vec<Duration>, elapsed: Duration, cpu_s: f64) -> Figures {
    latencies.sort_unstable();
    Figures {
        rate: latencies.len() as f64 / elapsed.as_secs_f64(),
        p50_ms: percentile_ms(&latencies, 50),
        p99_ms: percentile_ms(&latencies, 99),
        client_percent: 100.0 * cpu_s / elapsed.as_secs_f64(),
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
