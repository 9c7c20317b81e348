//! Rows of goal, observed state and time, with the step that must follow.

use super::*;
use serde_json::json;

fn goal(tasks: &[(&str, &str)], program: Option<bool>) -> GuestGoal {
    let tasks: Vec<_> = tasks
        .iter()
        .map(|(line, kind)| json!({"command_line": line, "elevated": false, "kind": kind, "variables": {}}))
        .collect();
    let program =
        program.map(|ready| json!({"command_line": "web", "elevated": false, "ready_on_start": ready}));
    serde_json::from_value(json!({
        "generation": 7,
        "network": {"address": "10.0.0.2", "prefix_length": 24, "gateway": "10.0.0.1"},
        "environment": {
            "deployment": "6ba7b8109dad11d180b400c04fd430c8", "service": "s", "role": "Web", "instance": "Web_IN_0",
            "update_domain": 0, "fault_domain": 0, "settings": {}, "endpoints": [], "local_resources": [], "peers": []
        },
        "startup_tasks": tasks, "program": program, "variables": {}
    }))
    .unwrap()
}

/// A guest that is set up for `goal` and stands at `stage`.
fn at(goal: &GuestGoal, stage: Stage) -> Observed {
    Observed {
        network: Some(goal.network.clone()),
        environment: Some(goal.environment.clone()),
        recipe: Some(Recipe::of(goal)),
        live: Some(Live::of(goal)),
        stage,
        failures: 1,
        begun: 1,
        ..Observed::at_boot()
    }
}

#[test]
fn each_stage_has_its_step() {
    let goal = goal(&[("a", "simple"), ("b", "background")], Some(true));
    let ended = |since_ms| Stage::Ended { since_ms, failed: false, why: String::new() };
    let check = |stage, now_ms, expected| assert_eq!(plan(Some(&goal), &at(&goal, stage), now_ms), expected);
    check(Stage::Idle, 0, Some(Action::Begin));
    check(Stage::Next(0), 0, Some(Action::StartTask(0)));
    check(Stage::Task(0), 9_999_999, None);
    check(Stage::Next(1), 0, Some(Action::StartTask(1)));
    check(Stage::Next(2), 0, Some(Action::StartProgram));
    check(Stage::Program { since_ms: 0, ready: false }, 9_999_999, None);
    check(ended(5_000), 5_999, None);
    check(ended(5_000), 6_000, Some(Action::Begin));
    check(Stage::Stopping { since_ms: 0, killed: false }, STOP_GRACE_MS - 1, None);
    check(Stage::Stopping { since_ms: 0, killed: false }, STOP_GRACE_MS, Some(Action::Kill));
    check(Stage::Stopping { since_ms: 0, killed: true }, STOP_GRACE_MS, None);
}

#[test]
fn first_network_then_environment_then_role() {
    let goal = goal(&[], None);
    let mut observed = Observed::at_boot();
    assert_eq!(plan(None, &observed, 0), None);
    assert_eq!(plan(Some(&goal), &observed, 0), Some(Action::ConfigureNetwork));
    observed.network = Some(goal.network.clone());
    assert_eq!(plan(Some(&goal), &observed, 0), Some(Action::Publish));
    observed.environment = Some(goal.environment.clone());
    assert_eq!(plan(Some(&goal), &observed, 0), Some(Action::Begin));
    observed.recipe = Some(Recipe::of(&goal));
    observed.live = Some(Live::of(&goal));
    observed.stage = Stage::Next(0);
    assert_eq!(plan(Some(&goal), &observed, 0), Some(Action::Rest));
    observed.stage = Stage::Resting;
    assert_eq!(plan(Some(&goal), &observed, 0), None);
    assert_eq!(observed.role_state(), RoleState::Ready);
}

#[test]
fn programs_change_by_a_new_run() {
    let old = goal(&[], Some(true));
    let running = at(&old, Stage::Program { since_ms: 0, ready: true });
    let mut settings = old.clone();
    settings.environment.settings.0.insert("Colour".to_owned(), "blue".to_owned());
    assert_eq!(plan(Some(&settings), &running, 0), Some(Action::Publish));
    let program = goal(&[], Some(false));
    assert_eq!(plan(Some(&program), &running, 0), Some(Action::Leave));
    let mut elsewhere = old.clone();
    elsewhere.environment.endpoints = serde_json::from_value(json!([
        {"name": "http", "protocol": "http", "address": "10.0.0.2", "port": 81, "public_port": 80}
    ]))
    .unwrap();
    let published = Observed { environment: Some(elsewhere.environment.clone()), ..running.clone() };
    assert_eq!(plan(Some(&elsewhere), &published, 0), Some(Action::Leave));
    let leaving = at(&program, Stage::Leaving { since_ms: 1_000 });
    assert_eq!(plan(Some(&program), &leaving, 999 + LEAVE_MS), None);
    assert_eq!(plan(Some(&program), &leaving, 1_000 + LEAVE_MS), Some(Action::Terminate));
    assert_eq!(leaving.role_state(), RoleState::Stopping);
    // A role that waits out its back-off need not when its goal has changed.
    let ended = at(&old, Stage::Ended { since_ms: 0, failed: true, why: String::new() });
    assert_eq!(plan(Some(&program), &ended, 1), Some(Action::Begin));
}

#[test]
fn settings_change_live_for_a_role_that_takes_them() {
    let old = goal(&[], Some(true));
    let mut settings = old.clone();
    settings.environment.settings.0.insert("Colour".to_owned(), "blue".to_owned());
    let mut peers = old.clone();
    peers.environment.peers =
        serde_json::from_value(json!([{"role": "Web", "instance": "Web_IN_1", "endpoints": []}])).unwrap();
    let offered = |goal: &GuestGoal, accepted| Some(Offer { live: Live::of(goal), since_ms: 100, accepted });
    let check = |goal: &GuestGoal, listens_until_ms, offer, now_ms, expected| {
        let running = at(&old, Stage::Program { since_ms: 0, ready: true });
        let environment = Some(goal.environment.clone());
        let observed = Observed { environment, listens_until_ms, offer, ..running };
        assert_eq!(plan(Some(goal), &observed, now_ms), expected, "{observed:?}");
    };
    // One that waits for changes is asked; what it says counts, and silence is no answer.
    check(&settings, 200, None, 100, Some(Action::Offer));
    check(&settings, 200, offered(&settings, None), 99 + OFFER_MS, None);
    check(&settings, 200, offered(&settings, None), 100 + OFFER_MS, Some(Action::Leave));
    check(&settings, 200, offered(&settings, Some(true)), 101, Some(Action::Adopt));
    check(&settings, 200, offered(&settings, Some(false)), 101, Some(Action::Leave));
    check(&peers, 200, None, 100, Some(Action::Offer));
    check(&peers, 200, offered(&peers, None), 100 + OFFER_MS, Some(Action::Adopt));
    // Another change meanwhile is another offer, and one that is taken back is none.
    check(&peers, 200, offered(&settings, Some(true)), 101, Some(Action::Offer));
    check(&old, 200, offered(&settings, None), 101, Some(Action::Adopt));
    check(&old, 200, None, 101, None);
    // One that does not wait has the settings in its variables, which stay as they were; other instances are in none.
    check(&settings, 100, None, 100, Some(Action::Leave));
    check(&peers, 100, None, 100, Some(Action::Adopt));
    // A role that has no program takes everything, and one that is starting begins anew.
    let stage = |stage| Observed { environment: Some(settings.environment.clone()), ..at(&old, stage) };
    assert_eq!(plan(Some(&settings), &stage(Stage::Resting), 0), Some(Action::Adopt));
    assert_eq!(plan(Some(&settings), &stage(Stage::Next(0)), 0), Some(Action::Terminate));
}

#[test]
fn shutdown_stops_the_role_first() {
    let goal = goal(&[], Some(true));
    let check = |stage, foreground, now_ms, expected| {
        let observed = Observed { shutdown_ms: Some(1_000), foreground, ..at(&goal, stage) };
        assert_eq!(plan(Some(&goal), &observed, now_ms), expected);
        assert_eq!(observed.role_state(), RoleState::Stopping);
    };
    check(Stage::Program { since_ms: 0, ready: true }, 0, 1_000, Some(Action::Terminate));
    check(Stage::Leaving { since_ms: 1_000 }, 0, 1_000, Some(Action::Terminate));
    check(Stage::Stopping { since_ms: 1_000, killed: false }, 0, 1_001, None);
    check(Stage::Stopping { since_ms: 1_000, killed: false }, 0, 1_000 + STOP_GRACE_MS, Some(Action::Kill));
    check(Stage::Idle, 0, 1_001, Some(Action::PowerOff));
    check(Stage::Idle, 1, 1_001, None);
    check(Stage::Idle, 1, 1_000 + STOP_GRACE_MS, Some(Action::PowerOff));
}

#[test]
fn a_foreground_task_delays_recycling() {
    let goal = goal(&[], Some(true));
    let ended = Stage::Ended { since_ms: 0, failed: false, why: String::new() };
    let observed = Observed { foreground: 1, ..at(&goal, ended) };
    assert_eq!(plan(Some(&goal), &observed, BACK_OFF_MS_MAX), None);
}

#[test]
fn exits_lead_on() {
    let goal = goal(&[("a", "simple")], Some(true));
    let check = |stage, now_ms, success, expected: (RoleState, u32)| {
        let mut observed = at(&goal, stage);
        observed.ended(now_ms, success, "ended");
        assert_eq!((observed.role_state(), observed.failures), expected);
    };
    check(Stage::Task(0), 5, true, (RoleState::Starting, 1));
    check(Stage::Task(0), 5, false, (RoleState::Failed, 2));
    check(Stage::Program { since_ms: 0, ready: true }, 5, true, (RoleState::Recycling, 2));
    check(Stage::Program { since_ms: 0, ready: true }, STABLE_MS, false, (RoleState::Recycling, 1));
    check(Stage::Stopping { since_ms: 0, killed: false }, 5, false, (RoleState::Starting, 0));
}

#[test]
fn back_off_doubles_up_to_a_minute() {
    let check = |failures, expected| assert_eq!(back_off_ms(failures), expected);
    check(0, 1_000);
    check(1, 1_000);
    check(2, 2_000);
    check(6, 32_000);
    check(7, 60_000);
    check(u32::MAX, 60_000);
}

#[test]
fn a_role_begins_with_its_certificates() {
    let mut goal = goal(&[], Some(true));
    let thumbprint: Sha1Thumbprint = "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709".parse().unwrap();
    goal.certificates = vec![CertificateGoal { name: "tls".to_owned(), thumbprint, elevated_only: false }];
    let stopped = Stage::Ended { since_ms: 0, failed: false, why: String::new() };
    for stage in [Stage::Idle, stopped] {
        let mut observed = at(&goal, stage);
        assert_eq!(plan(Some(&goal), &observed, 60_000), None, "it waits");
        assert_eq!(lacking(&goal, &observed), [thumbprint]);
        observed.held.insert(thumbprint);
        assert_eq!(plan(Some(&goal), &observed, 60_000), Some(Action::Install));
        observed.installed = goal.certificates.clone();
        assert_eq!(plan(Some(&goal), &observed, 60_000), Some(Action::Begin));
        assert_eq!(lacking(&goal, &observed), []);
    }
    // Other certificates are another run.
    let mut observed = at(&goal, Stage::Program { since_ms: 0, ready: true });
    (observed.held, observed.installed) = ([thumbprint].into(), goal.certificates.clone());
    assert_eq!(plan(Some(&goal), &observed, 0), None);
    goal.certificates[0].elevated_only = true;
    assert_eq!(plan(Some(&goal), &observed, 0), Some(Action::Leave));
    observed.stage = Stage::Idle;
    assert_eq!(plan(Some(&goal), &observed, 0), Some(Action::Install));
}
