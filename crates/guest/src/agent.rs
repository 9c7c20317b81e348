//! The loop: what the FA, the role and the kernel say comes in as events; the plan's steps are done one
//! by one; the state goes out each second and at once when it changes.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use welkin_agent_wire::guest::{
    FromGuest, GuestGoal, GuestObserved, HEARTBEAT_INTERVAL_MS, StartupTask, TaskKind, ToGuest,
};
use welkin_agent_wire::limits::MESSAGE_BYTES_MAX;
use welkin_agent_wire::{EnvironmentChange, Values};
use welkin_base::{Generation, Sha1Thumbprint};

use crate::certificate::Certificates;
use crate::channel::Reports;
use crate::console::{self, RoleOutput};
use crate::error::{Doing, GuestError};
use crate::plan::{self, Action, Live, Observed, Offer, Recipe, Stage, plan};
use crate::process::{self, Launch};
use crate::socket::{self, Published, Said};
use crate::{channel as port, environment, network, resource, sysctl};

/// A role that waited for changes counts as waiting so long after: the longest wait, and time to come again.
const LISTENS_MS: u64 = socket::WAIT_MS_MAX + 10_000;

enum Event {
    Node(ToGuest),
    Role(Said),
    ChildEnded,
}

/// Processes of the current run, each the leader of a group.
#[derive(Default)]
struct Running {
    main: Option<Pid>,
    foreground: Vec<Pid>,
    background: Vec<Pid>,
}

struct Agent {
    goal: Option<GuestGoal>,
    observed: Observed,
    running: Running,
    published: Arc<Published>,
    /// Number of the last change that was offered.
    offered: u64,
    /// Generation of the last goal that there is nothing to be asked about.
    taken: Generation,
    certificates: Certificates,
    output: RoleOutput,
    booted: Instant,
    power_off: bool,
}

/// Serves the FA until it wants the machine off.
///
/// # Errors
/// When the machine lacks the port to the FA.
pub fn run() -> Result<(), GuestError> {
    let (events, inbox): (Sender<Event>, Receiver<Event>) = channel();
    let published = Arc::new(Published::default());
    let (to_node, to_role, to_child) = (events.clone(), events.clone(), events);
    // A send fails only when the loop below has ended, and the machine with it.
    let certificates = Certificates::default();
    let served = (Arc::clone(&published), certificates.clone());
    socket::serve(served, move |said| drop(to_role.send(Event::Role(said))))?;
    let collected = process::watch_children(move || drop(to_child.send(Event::ChildEnded)));
    let reports = port::open(move |said| drop(to_node.send(Event::Node(said))))?;
    let mut agent = Agent::new(published, certificates);
    let mut reporter = Reporter::new(reports);
    while !agent.power_off {
        agent.converge();
        reporter.report(agent.state());
        match inbox.recv_timeout(reporter.until_heartbeat()) {
            Ok(Event::Node(said)) => agent.hear_node(said),
            Ok(Event::Role(said)) => agent.hear_role(said),
            Ok(Event::ChildEnded) => {
                agent.collect();
                let _ = collected.send(()); // its receiver lives as long as the machine
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    Ok(())
}

impl Agent {
    fn new(published: Arc<Published>, certificates: Certificates) -> Self {
        Self {
            goal: None,
            observed: Observed::at_boot(),
            running: Running::default(),
            published,
            offered: 0,
            taken: Generation::default(),
            certificates,
            output: RoleOutput::new(),
            booted: Instant::now().checked_sub(since_boot()).unwrap_or_else(Instant::now),
            power_off: false,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.booted.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn hear_node(&mut self, said: ToGuest) {
        match said {
            ToGuest::Goal(goal) => {
                let held = self.goal.as_ref().map_or(Generation::default(), |goal| goal.generation);
                if goal.generation >= held {
                    self.goal = Some(*goal);
                }
            }
            ToGuest::Certificate(given) => {
                let thumbprint = given.thumbprint;
                let wanted = self.lacks().contains(&thumbprint);
                if wanted && let Err(error) = self.certificates.take(&given) {
                    console::say(&error.to_string());
                    let now_ms = self.now_ms();
                    self.observed.failed(now_ms, error.to_string());
                }
                self.observed.held = self.certificates.held();
            }
            ToGuest::Shutdown => {
                let now_ms = self.now_ms();
                self.observed.shutdown_ms.get_or_insert(now_ms);
            }
        }
    }

    fn hear_role(&mut self, said: Said) {
        match said {
            Said::Ready | Said::Busy => {
                if let Stage::Program { ready, .. } = &mut self.observed.stage {
                    *ready = said == Said::Ready;
                }
            }
            Said::Listens => self.observed.listens_until_ms = self.now_ms().saturating_add(LISTENS_MS),
            Said::Answers { number, accepts } if number == self.offered => {
                if let Some(offer) = &mut self.observed.offer {
                    offer.accepted = Some(accepts);
                    self.published.offer(None);
                }
            }
            Said::Answers { .. } => {}
        }
    }

    fn collect(&mut self) {
        for (pid, status) in process::reap() {
            if self.running.main == Some(pid) {
                self.running.main = None;
                let how = process::describe(status);
                let what =
                    if matches!(self.observed.stage, Stage::Task(_)) { "startup task" } else { "role" };
                console::say(&format!("{what} {how}"));
                let now_ms = self.now_ms();
                self.observed.ended(now_ms, status.exit_status() == Some(0), &how);
            }
            self.running.foreground.retain(|running| *running != pid);
            self.running.background.retain(|running| *running != pid);
            self.observed.foreground = self.running.foreground.len();
        }
    }

    /// Does step after step until there is nothing to do but wait.
    fn converge(&mut self) {
        while !self.power_off {
            let now_ms = self.now_ms();
            let Some(action) = plan(self.goal.as_ref(), &self.observed, now_ms) else { return };
            if let Err(error) = self.perform(&action, now_ms) {
                console::say(&error.to_string());
                self.observed.failed(now_ms, error.to_string());
            }
        }
    }

    fn perform(&mut self, action: &Action, now_ms: u64) -> Result<(), GuestError> {
        match action {
            Action::Terminate => self.terminate(now_ms),
            Action::Kill => {
                self.kill();
                if let Stage::Stopping { killed, .. } = &mut self.observed.stage {
                    *killed = true;
                }
            }
            Action::PowerOff => {
                self.kill();
                self.power_off = true;
            }
            Action::Rest => self.observed.stage = Stage::Resting,
            Action::Leave => self.observed.stage = Stage::Leaving { since_ms: now_ms },
            Action::Offer => self.offer(now_ms),
            Action::Adopt => self.adopt(),
            Action::ConfigureNetwork
            | Action::Publish
            | Action::Install
            | Action::Begin
            | Action::StartTask(_)
            | Action::StartProgram => {
                let Some(goal) = self.goal.clone() else { return Ok(()) };
                self.advance(action, &goal, now_ms)?;
            }
        }
        Ok(())
    }

    fn advance(&mut self, action: &Action, goal: &GuestGoal, now_ms: u64) -> Result<(), GuestError> {
        match action {
            Action::ConfigureNetwork => {
                network::set_host_name(goal.environment.instance.as_str())?;
                network::configure(&goal.network)?;
                self.observed.network = Some(goal.network.clone());
            }
            Action::Publish => {
                let json = serde_json::to_string(&goal.environment).map_err(std::io::Error::from);
                let json = json.doing(|| "write the role environment".to_owned())?;
                environment::publish(&json)?;
                self.published.publish(json);
                self.observed.environment = Some(goal.environment.clone());
            }
            Action::Install => {
                sysctl::protect_keys();
                self.certificates.install(&goal.certificates)?;
                self.observed.installed = goal.certificates.clone();
                self.observed.held = self.certificates.held();
            }
            Action::Begin => {
                self.kill();
                self.observed.begun = self.observed.begun.saturating_add(1);
                self.observed.recipe = Some(Recipe::of(goal));
                self.observed.listens_until_ms = 0;
                self.adopt();
                resource::prepare(&goal.environment.local_resources)?;
                self.observed.stage = Stage::Next(0);
            }
            Action::StartTask(index) => {
                if let Some(task) = goal.startup_tasks.get(*index) {
                    self.start_task(goal, task)?;
                    self.observed.stage = plan::after_start(*index, task.kind);
                }
            }
            _ => {
                let ready = self.start_program(goal)?;
                self.observed.stage = Stage::Program { since_ms: now_ms, ready };
            }
        }
        Ok(())
    }

    /// The role knows what the goal says: it was begun with it, or takes it as it runs.
    fn adopt(&mut self) {
        self.observed.live = self.goal.as_ref().map(Live::of);
        self.observed.offer = None;
        self.published.offer(None);
    }

    fn offer(&mut self, now_ms: u64) {
        let Some(live) = self.goal.as_ref().map(Live::of) else { return };
        self.offered += 1;
        let known = self.observed.live.as_ref();
        let change = EnvironmentChange {
            number: self.offered,
            settings: differing(known.map(|known| &known.settings), &live.settings),
            topology: known.is_none_or(|known| known.peers != live.peers),
        };
        self.published.offer(serde_json::to_string(&change).ok());
        self.observed.offer = Some(Offer { live, since_ms: now_ms, accepted: None });
    }

    fn start_task(&mut self, goal: &GuestGoal, task: &StartupTask) -> Result<(), GuestError> {
        let words = ["/bin/sh", "-c", &task.command_line].map(str::to_owned).to_vec();
        let variables = environment::variables(goal, &task.variables);
        let launch = Launch { name: "task", words, elevated: task.elevated, variables: &variables };
        let pid = process::start(&launch, &self.output)?;
        match task.kind {
            TaskKind::Simple => self.running.main = Some(pid),
            TaskKind::Foreground => self.running.foreground.push(pid),
            TaskKind::Background => self.running.background.push(pid),
        }
        self.observed.foreground = self.running.foreground.len();
        Ok(())
    }

    fn start_program(&mut self, goal: &GuestGoal) -> Result<bool, GuestError> {
        let Some(program) = &goal.program else { return Ok(true) };
        let words = process::words_of(&program.command_line)?;
        let variables = environment::variables(goal, &Default::default());
        let launch = Launch { name: "role", words, elevated: program.elevated, variables: &variables };
        self.running.main = Some(process::start(&launch, &self.output)?);
        Ok(program.ready_on_start)
    }

    fn terminate(&mut self, now_ms: u64) {
        match self.running.main {
            Some(group) => {
                process::terminate(group);
                self.observed.stage = Stage::Stopping { since_ms: now_ms, killed: false };
            }
            None => self.observed.stage = Stage::Idle,
        }
    }

    /// Background tasks, and whatever any task left behind, end with the run.
    fn kill(&mut self) {
        let running = &self.running;
        let groups = running.main.iter().chain(&running.foreground).chain(&running.background);
        process::kill_all(groups.copied());
    }

    fn lacks(&self) -> Vec<Sha1Thumbprint> {
        self.goal.as_ref().map(|goal| plan::lacking(goal, &self.observed)).unwrap_or_default()
    }

    /// While the role thinks about a change, nobody can tell whether it will be started again: the goal counts as taken
    /// only afterwards.
    fn state(&mut self) -> GuestObserved {
        if let Some(goal) = self.goal.as_ref().filter(|_| self.observed.offer.is_none()) {
            self.taken = goal.generation;
        }
        let lacks = self.lacks();
        let mut message = match &self.observed.stage {
            Stage::Ended { why, .. } => why.clone(),
            Stage::Idle if !lacks.is_empty() => format!("waits for {} certificates", lacks.len()),
            _ => String::new(),
        };
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        GuestObserved {
            generation: self.taken,
            role: self.observed.role_state(),
            message,
            role_restarts: self.observed.begun.saturating_sub(1),
            uptime_ms: self.now_ms(),
            lacks,
        }
    }
}

/// Names of settings that came, went or have another value.
fn differing(old: Option<&Values>, new: &Values) -> Vec<String> {
    let none = Values::default();
    let old = old.unwrap_or(&none);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
}

/// Sends the state when it changed or a heartbeat is due.
struct Reporter {
    reports: Reports,
    last: Option<(GuestObserved, Instant)>,
}

impl Reporter {
    fn new(reports: Reports) -> Self {
        Self { reports, last: None }
    }

    fn until_heartbeat(&self) -> Duration {
        let elapsed = self.last.as_ref().map_or(Duration::MAX, |(_, at)| at.elapsed());
        Duration::from_millis(HEARTBEAT_INTERVAL_MS).saturating_sub(elapsed)
    }

    fn report(&mut self, state: GuestObserved) {
        let same = self.last.as_ref().is_some_and(|(last, _)| {
            let aged = GuestObserved { uptime_ms: state.uptime_ms, ..last.clone() };
            aged == state
        });
        if !same || self.until_heartbeat().is_zero() {
            self.reports.send(&FromGuest::Observed(state.clone()));
            self.last = Some((state, Instant::now()));
        }
    }
}

/// How long the kernel has run.
fn since_boot() -> Duration {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
