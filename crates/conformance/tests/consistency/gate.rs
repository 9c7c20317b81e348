//! Where clients wait while the service is dead.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::wire::LIMIT;

#[derive(Debug, Default)]
struct State {
    open: bool,
    over: bool,
    /// A client ended by a panic: the others end too.
    failed: bool,
    waiting: usize,
}

/// A gate that clients pass before each call.
pub struct Gate {
    clients: usize,
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    /// Closed, for so many clients.
    pub fn new(clients: usize) -> Self {
        Self { clients, state: Mutex::default(), changed: Condvar::new() }
    }

    /// For a client: waits until the gate is open; false when all is over.
    pub fn enter(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        while !state.open && !state.over && !state.failed {
            state = self.changed.wait(state).unwrap();
        }
        state.waiting -= 1;
        !state.over && !state.failed
    }

    pub fn is_open(&self) -> bool {
        self.state.lock().unwrap().open
    }

    pub fn open(&self) {
        self.set(|state| state.open = true);
    }

    pub fn close(&self) {
        self.set(|state| state.open = false);
    }

    /// Waits until no client makes a call.
    pub fn wait_for_clients(&self) {
        self.wait(|state| state.waiting == self.clients);
    }

    /// Waits for something that clients do.
    pub fn wait_until(&self, done: impl Fn() -> bool) {
        self.wait(|_| done());
    }

    /// For a client: when it panics, nobody waits for it.
    pub fn client(&self) -> impl Drop {
        Ending(self, |state| state.failed |= std::thread::panicking())
    }

    /// Nobody waits when what is given back is dropped.
    pub fn end_at_drop(&self) -> impl Drop {
        Ending(self, |state| state.over = true)
    }

    fn set(&self, change: impl Fn(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait(&self, done: impl Fn(&State) -> bool) {
        let end = Instant::now() + LIMIT;
        let mut state: MutexGuard<'_, State> = self.state.lock().unwrap();
        while !done(&state) {
            let failed = state.failed;
            // What clients do is not always told; it is looked for.
            state = self.changed.wait_timeout(state, Duration::from_millis(2)).unwrap().0;
            if failed || Instant::now() > end {
                drop(state);
                panic!("a client failed, or waits for ever");
            }
        }
    }
}

struct Ending<'a>(&'a Gate, fn(&mut State));

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}
