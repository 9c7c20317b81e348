//! The guest's decisions: what to do next, from the goal, what is observed and the time. No I/O.
//!
//! The life of a role (SERVICEMODEL, "Role lifecycle"): startup tasks in order, then the program; when it
//! ends, or a simple task fails, everything of it is ended and it begins again after a back-off.

use std::collections::BTreeSet;

use welkin_agent_wire::certificate::CertificateGoal;
use welkin_agent_wire::guest::{GuestGoal, GuestNetwork, Program, RoleState, StartupTask, TaskKind};
use welkin_agent_wire::role::{Endpoint, LocalResource, Peer, RoleEnvironment, Values};
use welkin_base::Sha1Thumbprint;

/// The first wait after a role ended; doubles each time up to the longest.
pub const BACK_OFF_MS_MIN: u64 = 1_000;
/// See [`BACK_OFF_MS_MIN`].
pub const BACK_OFF_MS_MAX: u64 = 60_000;
/// A role that ran so long begins again with the first wait.
pub const STABLE_MS: u64 = 60_000;
/// How long a role may take to end in order before it is killed.
pub const STOP_GRACE_MS: u64 = 20_000;
/// How long a role that is to begin again goes on after it has left rotation: load balancers learn of it within two
/// readings of the fabric controller, one second each, and what it has in hand comes to its end.
pub const LEAVE_MS: u64 = 3_000;
/// How long a role may think about a change that it is offered.
pub const OFFER_MS: u64 = 30_000;

/// One step towards the goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Set host name, address and route.
    ConfigureNetwork,
    /// Make the role environment known.
    Publish,
    /// Make the goal's certificates the role's: all of them are here.
    Install,
    /// End what is left of the last run and prepare the role's folders.
    Begin,
    /// Start the startup task of this index.
    StartTask(usize),
    /// Start the role's program.
    StartProgram,
    /// A role without a program is ready now.
    Rest,
    /// Offer the role what changed in its environment.
    Offer,
    /// The role takes what changed as it runs.
    Adopt,
    /// The role is out of rotation, and will be asked to end.
    Leave,
    /// Ask the role to end.
    Terminate,
    /// End the role at once.
    Kill,
    /// Sync and power the machine off.
    PowerOff,
}

/// What a run of the role was begun with: a goal that differs in it needs a new run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    startup_tasks: Vec<StartupTask>,
    program: Option<Program>,
    variables: Values,
    endpoints: Vec<Endpoint>,
    local_resources: Vec<LocalResource>,
    certificates: Vec<CertificateGoal>,
}

/// The part of a role environment that a role may take as it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Settings by name.
    pub settings: Values,
    /// Other instances.
    pub peers: Vec<Peer>,
}

impl Live {
    /// That part of a goal.
    pub fn of(goal: &GuestGoal) -> Self {
        Self { settings: goal.environment.settings.clone(), peers: goal.environment.peers.clone() }
    }
}

/// What was offered to the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What it is asked to take.
    pub live: Live,
    /// Since when.
    pub since_ms: u64,
    /// Whether it takes it, once it has said so.
    pub accepted: Option<bool>,
}

impl Recipe {
    /// The part of a goal that a run is made from.
    pub fn of(goal: &GuestGoal) -> Self {
        Self {
            startup_tasks: goal.startup_tasks.clone(),
            program: goal.program.clone(),
            variables: goal.variables.clone(),
            endpoints: goal.environment.endpoints.clone(),
            local_resources: goal.environment.local_resources.clone(),
            certificates: goal.certificates.clone(),
        }
    }
}

/// How far the role is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Nothing of it runs and nothing keeps it from beginning.
    Idle,
    /// The startup task of this index, or after the last the program, is next.
    Next(usize),
    /// The simple task of this index runs.
    Task(usize),
    /// The program runs.
    Program {
        /// Since when.
        since_ms: u64,
        /// It takes traffic.
        ready: bool,
    },
    /// The tasks are done and there is no program.
    Resting,
    /// The program runs and is to end, and takes no new traffic.
    Leaving {
        /// Since when.
        since_ms: u64,
    },
    /// It was asked to end.
    Stopping {
        /// Since when.
        since_ms: u64,
        /// It was killed since.
        killed: bool,
    },
    /// It ended by itself.
    Ended {
        /// When.
        since_ms: u64,
        /// It could not start, rather than ended.
        failed: bool,
        /// Why, for people.
        why: String,
    },
}

/// What is so in this guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The network as it was set.
    pub network: Option<GuestNetwork>,
    /// The role environment as it was published.
    pub environment: Option<RoleEnvironment>,
    /// What the last run was begun with.
    pub recipe: Option<Recipe>,
    /// What the role knows of what may change as it runs.
    pub live: Option<Live>,
    /// What is offered to it.
    pub offer: Option<Offer>,
    /// Until when the role counts as one that waits for changes.
    pub listens_until_ms: u64,
    /// How far the role is.
    pub stage: Stage,
    /// Foreground tasks that run.
    pub foreground: usize,
    /// Times in a row that the role ended soon.
    pub failures: u32,
    /// Times that the role was begun.
    pub begun: u32,
    /// Since when the FA wants the machine off.
    pub shutdown_ms: Option<u64>,
    /// Certificates that are here.
    pub held: BTreeSet<Sha1Thumbprint>,
    /// Certificates that are the role's.
    pub installed: Vec<CertificateGoal>,
}

impl Observed {
    /// A guest that has just booted.
    pub fn at_boot() -> Self {
        Self {
            network: None,
            environment: None,
            recipe: None,
            live: None,
            offer: None,
            listens_until_ms: 0,
            stage: Stage::Idle,
            foreground: 0,
            failures: 0,
            begun: 0,
            shutdown_ms: None,
            held: BTreeSet::new(),
            installed: Vec::new(),
        }
    }

    /// The running task or program ended.
    pub fn ended(&mut self, now_ms: u64, success: bool, how: &str) {
        self.stage = match self.stage {
            Stage::Task(index) if success => Stage::Next(index + 1),
            Stage::Task(index) => {
                self.failures = self.failures.saturating_add(1);
                Stage::Ended {
                    since_ms: now_ms,
                    failed: true,
                    why: format!("startup task {} {how}", index + 1),
                }
            }
            Stage::Leaving { .. } | Stage::Stopping { .. } => {
                self.failures = 0;
                Stage::Idle
            }
            Stage::Program { since_ms, .. } => {
                let stable = now_ms.saturating_sub(since_ms) >= STABLE_MS;
                self.failures = if stable { 1 } else { self.failures.saturating_add(1) };
                Stage::Ended { since_ms: now_ms, failed: false, why: format!("the role {how}") }
            }
            ref other => other.clone(),
        };
    }

    /// A step could not be done.
    pub fn failed(&mut self, now_ms: u64, why: String) {
        self.failures = self.failures.saturating_add(1);
        self.stage = Stage::Ended { since_ms: now_ms, failed: true, why };
    }

    /// The role's state as the FA is told.
    pub fn role_state(&self) -> RoleState {
        match &self.stage {
            _ if self.shutdown_ms.is_some() => RoleState::Stopping,
            Stage::Idle | Stage::Next(_) | Stage::Task(_) => RoleState::Starting,
            Stage::Program { ready: true, .. } | Stage::Resting => RoleState::Ready,
            Stage::Program { ready: false, .. } => RoleState::Busy,
            Stage::Leaving { .. } | Stage::Stopping { .. } => RoleState::Stopping,
            Stage::Ended { failed: true, .. } => RoleState::Failed,
            Stage::Ended { failed: false, .. } => RoleState::Recycling,
        }
    }
}

/// How long to wait before the role begins again.
pub fn back_off_ms(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(16);
    BACK_OFF_MS_MIN.saturating_mul(1 << doublings).min(BACK_OFF_MS_MAX)
}

/// The next step, or `None` when there is nothing to do but wait.
pub fn plan(goal: Option<&GuestGoal>, observed: &Observed, now_ms: u64) -> Option<Action> {
    if let Some(since_ms) = observed.shutdown_ms {
        return plan_shutdown(observed, since_ms, now_ms);
    }
    let goal = goal?;
    match &observed.stage {
        Stage::Stopping { since_ms, killed } => plan_stopping(*since_ms, *killed, now_ms),
        Stage::Ended { since_ms, .. } => {
            let changed = observed.recipe.as_ref() != Some(&Recipe::of(goal));
            let waited = now_ms.saturating_sub(*since_ms) >= back_off_ms(observed.failures);
            ((waited || changed) && observed.foreground == 0).then(|| begin(goal, observed)).flatten()
        }
        _ if observed.network.as_ref() != Some(&goal.network) => Some(Action::ConfigureNetwork),
        _ if observed.environment.as_ref() != Some(&goal.environment) => Some(Action::Publish),
        Stage::Idle => begin(goal, observed),
        Stage::Leaving { since_ms } => {
            (now_ms.saturating_sub(*since_ms) >= LEAVE_MS).then_some(Action::Terminate)
        }
        Stage::Program { .. } => plan_change(goal, observed, now_ms),
        _ if observed.recipe.as_ref() != Some(&Recipe::of(goal)) => Some(Action::Terminate),
        Stage::Resting if observed.live.as_ref() != Some(&Live::of(goal)) => Some(Action::Adopt),
        Stage::Next(_) | Stage::Task(_) if !knows_settings(goal, observed) => Some(Action::Terminate),
        Stage::Next(index) if *index < goal.startup_tasks.len() => Some(Action::StartTask(*index)),
        Stage::Next(_) if goal.program.is_some() => Some(Action::StartProgram),
        Stage::Next(_) => Some(Action::Rest),
        Stage::Task(_) | Stage::Resting => None,
    }
}

fn knows_settings(goal: &GuestGoal, observed: &Observed) -> bool {
    observed.live.as_ref().is_some_and(|live| live.settings == goal.environment.settings)
}

/// What a program that runs does about a goal that differs from what it was begun with.
fn plan_change(goal: &GuestGoal, observed: &Observed, now_ms: u64) -> Option<Action> {
    if observed.recipe.as_ref() != Some(&Recipe::of(goal)) {
        return Some(Action::Leave);
    }
    let live = Live::of(goal);
    if observed.live.as_ref() == Some(&live) {
        // What was offered is no longer wanted.
        return observed.offer.is_some().then_some(Action::Adopt);
    }
    // Variables keep the settings that a program was begun with; other instances are in none.
    let unless_taken = if knows_settings(goal, observed) { Action::Adopt } else { Action::Leave };
    match observed.offer.as_ref().filter(|offer| offer.live == live) {
        Some(Offer { accepted: Some(true), .. }) => Some(Action::Adopt),
        Some(Offer { accepted: Some(false), .. }) => Some(Action::Leave),
        Some(offer) => (now_ms.saturating_sub(offer.since_ms) >= OFFER_MS).then_some(unless_taken),
        None if now_ms < observed.listens_until_ms => Some(Action::Offer),
        None => Some(unless_taken),
    }
}

/// A role begins once its certificates are there. Another certificate is another run (SERVICEMODEL §4).
fn begin(goal: &GuestGoal, observed: &Observed) -> Option<Action> {
    if observed.installed == goal.certificates {
        return Some(Action::Begin);
    }
    lacking(goal, observed).is_empty().then_some(Action::Install)
}

/// Certificates of the goal that are not here yet.
pub fn lacking(goal: &GuestGoal, observed: &Observed) -> Vec<Sha1Thumbprint> {
    let named = goal.certificates.iter().map(|named| named.thumbprint);
    named.filter(|named| !observed.held.contains(named)).collect()
}

fn plan_stopping(since_ms: u64, killed: bool, now_ms: u64) -> Option<Action> {
    let overdue = now_ms.saturating_sub(since_ms) >= STOP_GRACE_MS;
    (overdue && !killed).then_some(Action::Kill)
}

fn plan_shutdown(observed: &Observed, since_ms: u64, now_ms: u64) -> Option<Action> {
    match &observed.stage {
        Stage::Task(_) | Stage::Program { .. } | Stage::Leaving { .. } => Some(Action::Terminate),
        Stage::Stopping { since_ms, killed } => plan_stopping(*since_ms, *killed, now_ms),
        // A foreground task delays the shutdown, but not for ever.
        _ if observed.foreground > 0 && now_ms.saturating_sub(since_ms) < STOP_GRACE_MS => None,
        _ => Some(Action::PowerOff),
    }
}

/// Where a startup task leads once it has been started.
pub fn after_start(index: usize, kind: TaskKind) -> Stage {
    match kind {
        TaskKind::Simple => Stage::Task(index),
        TaskKind::Background | TaskKind::Foreground => Stage::Next(index + 1),
    }
}

#[cfg(test)]
mod tests;
