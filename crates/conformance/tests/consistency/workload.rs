//! Clients at work on a few objects, while the service is killed and started again.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::gate::Gate;
use crate::history::{Checked, Clock};
use crate::wire::{Client, Server};

/// Clients at a time; the auditor is one more.
const CLIENTS: usize = 8;
/// Calls of all clients before a kill.
const CALLS_PER_KILL: std::ops::Range<usize> = 300..1000;
/// Of so many kills, one is followed by another while the service starts.
const KILLS_PER_SECOND_KILL: u32 = 3;
/// A second kill comes within this time after the start.
const STARTING_MAX_MS: u64 = 60;

/// Something that clients work on.
pub trait Object: Sync {
    /// One call of a client, as it comes to its mind.
    fn act(&self, turn: &mut Turn<'_>);

    /// Reads all of it, while nobody else works.
    fn audit(&self, turn: &mut Turn<'_>);

    /// Checks its histories.
    ///
    /// # Errors
    /// When a history contradicts what the object is to be.
    fn check(&self) -> Result<Vec<Checked>, String>;
}

/// What a client needs to make a call.
pub struct Turn<'a> {
    pub number: usize,
    pub client: &'a Client,
    pub clock: &'a Clock,
    pub random: StdRng,
    values: &'a AtomicU64,
    /// Of an audit: when the service was killed.
    pub quiet_since: Instant,
    /// Of an audit: whether clients work afterwards.
    pub goes_on: bool,
}

impl Turn<'_> {
    /// A number that nobody else has.
    pub fn value(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }
}

struct Run<'a> {
    objects: &'a [Box<dyn Object>],
    clock: Clock,
    values: AtomicU64,
    calls: AtomicUsize,
    gate: Gate,
}

impl Run<'_> {
    fn turn<'b>(&'b self, number: usize, client: &'b Client, seed: u64) -> Turn<'b> {
        let random = StdRng::seed_from_u64(seed);
        let (clock, values) = (&self.clock, &self.values);
        Turn { number, client, clock, random, values, quiet_since: Instant::now(), goes_on: true }
    }

    /// One client, until all is over.
    fn work(&self, mut turn: Turn<'_>) {
        let _waited_for = self.gate.client();
        while self.gate.enter() {
            let object = turn.random.random_range(0..self.objects.len());
            self.objects[object].act(&mut turn);
            let unanswered = turn.client.was_unanswered();
            assert!(!unanswered || !self.gate.is_open(), "no answer, and nobody killed the service");
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn audit(&self, client: &Client, seed: u64, (quiet_since, goes_on): (Instant, bool)) {
        let mut turn = Turn { quiet_since, goes_on, ..self.turn(CLIENTS, client, seed) };
        self.objects.iter().for_each(|object| object.audit(&mut turn));
    }
}

/// Kills the service so many times, while clients work on the objects; says how many calls they made.
pub fn run(server: &mut Server, objects: &[Box<dyn Object>], kills: u64, random: &mut StdRng) -> usize {
    let clients: Vec<Client> = (0..=CLIENTS).map(|_| server.client()).collect();
    let (clock, values) = (Clock::new(), AtomicU64::new(1));
    let run = Run { objects, clock, values, calls: AtomicUsize::new(0), gate: Gate::new(CLIENTS) };
    std::thread::scope(|scope| {
        let run = &run;
        let _over = run.gate.end_at_drop();
        for (number, client) in clients[..CLIENTS].iter().enumerate() {
            let turn = run.turn(number, client, random.random());
            scope.spawn(move || run.work(turn));
        }
        for kill in 1..=kills {
            let enough = run.calls.load(Ordering::Relaxed) + random.random_range(CALLS_PER_KILL);
            run.gate.open();
            run.gate.wait_until(|| run.calls.load(Ordering::Relaxed) >= enough);
            // Calls that are under way go on; whoever has his answer waits for the service to be there again.
            run.gate.close();
            server.kill();
            let quiet_since = Instant::now();
            run.gate.wait_for_clients();
            if random.random_ratio(1, KILLS_PER_SECOND_KILL) {
                server.restart_in_vain(Duration::from_millis(random.random_range(0..STARTING_MAX_MS)));
            }
            server.restart();
            run.audit(&clients[CLIENTS], random.random(), (quiet_since, kill < kills));
        }
    });
    run.calls.into_inner()
}
