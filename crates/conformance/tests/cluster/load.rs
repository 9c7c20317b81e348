//! Visitors who look at a page all the time, and remember each look that failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Each of so many visitors comes again so long after it has left.
const VISITORS: usize = 2;
const PAUSE: Duration = Duration::from_millis(100);
/// A visitor does not wait longer: a request that takes so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Each visitor looks so often at least, so that it means something when no look failed.
const LOOKS_MIN: usize = 25;

/// Visitors at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<Visits>>,
}

/// What visitors met.
#[derive(Default)]
pub struct Visits {
    good: usize,
    slowest: Duration,
    bad: Vec<Bad>,
}

/// A request that failed.
struct Bad {
    began: Instant,
    took: Duration,
    why: String,
}

impl Load {
    pub fn on(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let visitor = |_| {
            let (url, ends) = (url.to_owned(), Arc::clone(&stop));
            std::thread::spawn(move || visit(&url, &ends))
        };
        Self { visitors: (0..VISITORS).map(visitor).collect(), stop }
    }

    /// Has the visitors leave.
    pub fn ends(self) -> Visits {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Visits::default();
        for visitor in self.visitors {
            let visits = visitor.join().unwrap();
            all.good += visits.good;
            all.slowest = all.slowest.max(visits.slowest);
            all.bad.extend(visits.bad);
        }
        all
    }
}

impl Visits {
    /// No request failed.
    pub fn none_failed(&self, during: &str) -> String {
        self.none_failed_from(during, None)
    }

    /// No request failed that began at `from` or later.
    pub fn none_failed_from(&self, during: &str, from: Option<Instant>) -> String {
        let late: Vec<&Bad> =
            self.bad.iter().filter(|bad| from.is_none_or(|from| bad.began >= from)).collect();
        let origin = from.or_else(|| late.first().map(|bad| bad.began));
        let told: Vec<String> = late
            .iter()
            .zip(origin.into_iter().cycle())
            .map(|(bad, origin)| {
                let after = bad.began.saturating_duration_since(origin);
                format!("  {after:.1?} later, for {:.1?}: {}", bad.took, bad.why)
            })
            .collect();
        assert!(late.is_empty(), "{during}: {} of {} failed\n{}", late.len(), self.all(), told.join("\n"));
        format!("{} of {} requests failed, the slowest took {:.1?}", self.bad.len(), self.all(), self.slowest)
    }

    fn all(&self) -> usize {
        self.good + self.bad.len()
    }
}

fn visit(url: &str, stop: &AtomicBool) -> Visits {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        // Each request a connection of its own: the load balancer decides anew.
        .max_idle_connections(0)
        .build()
        .into();
    let mut visits = Visits::default();
    while !stop.load(Ordering::Relaxed) || visits.all() < LOOKS_MIN {
        let began = Instant::now();
        let page = agent.get(url).call().and_then(|mut response| response.body_mut().read_to_string());
        let took = began.elapsed();
        match page {
            Ok(page) if page.contains("Web_IN_") => {
                visits.good += 1;
                visits.slowest = visits.slowest.max(took);
            }
            Ok(page) => visits.bad.push(Bad { began, took, why: format!("another page: {page}") }),
            Err(error) => visits.bad.push(Bad { began, took, why: error.to_string() }),
        }
        std::thread::sleep(PAUSE);
    }
    visits
}
