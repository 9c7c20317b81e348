use super::*;

const A: LeaseId = LeaseId([0xA; 16]);
const B: LeaseId = LeaseId([0xB; 16]);
const NOW: i64 = 1_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_ticks(seconds * TICKS_PER_SECOND)
}

/// Leases of A in every state, at `NOW`.
fn lease(state: &str) -> Option<Lease> {
    let (duration_seconds, phase) = match state {
        "available" => return None,
        "leased" => (Some(30), Phase::Held(Some(at(NOW + 20)))),
        "infinite" => (None, Phase::Held(None)),
        "expired" => (Some(30), Phase::Held(Some(at(NOW)))),
        "breaking" => (Some(30), Phase::Breaking(at(NOW + 20))),
        "broken by time" => (Some(30), Phase::Breaking(at(NOW))),
        "broken" => (Some(30), Phase::Broken),
        other => panic!("no state {other}"),
    };
    Some(Lease { id: A, duration_seconds, phase })
}

fn action(text: &str) -> LeaseAction {
    match text {
        "acquire A" => LeaseAction::Acquire { id: A, duration_seconds: Some(15) },
        "acquire B" => LeaseAction::Acquire { id: B, duration_seconds: None },
        "renew A" => LeaseAction::Renew(A),
        "renew B" => LeaseAction::Renew(B),
        "change A B" => LeaseAction::Change { id: A, proposed: B },
        "change B A" => LeaseAction::Change { id: B, proposed: A },
        "change B B" => LeaseAction::Change { id: B, proposed: B },
        "release A" => LeaseAction::Release(A),
        "release B" => LeaseAction::Release(B),
        "break" => LeaseAction::Break(None),
        "break 0" => LeaseAction::Break(Some(0)),
        "break 10" => LeaseAction::Break(Some(10)),
        "break 60" => LeaseAction::Break(Some(60)),
        other => panic!("no action {other}"),
    }
}

/// What a lease is, as the table below writes it.
fn told(result: Result<Option<Lease>, LeaseError>) -> String {
    match result {
        Err(error) => format!("{error:?}"),
        Ok(None) => "available".to_owned(),
        Ok(Some(lease)) => {
            let id = if lease.id == A { "A" } else { "B" };
            let seconds = |until: Timestamp| seconds_until(until, at(NOW));
            match lease.phase {
                Phase::Held(None) => format!("leased {id} for ever"),
                Phase::Held(Some(until)) => format!("leased {id} {}", seconds(until)),
                Phase::Breaking(until) => format!("breaking {id} {}", seconds(until)),
                Phase::Broken => format!("broken {id}"),
            }
        }
    }
}

#[test]
fn every_action_in_every_state() {
    let rows: &[(&str, [&str; 7])] = &[
        // available, leased, infinite, breaking, broken, broken by time, expired
        (
            "acquire A",
            [
                "leased A 15",
                "leased A 15",
                "leased A 15",
                "BreakingAndCannotBeAcquired",
                "leased A 15",
                "leased A 15",
                "leased A 15",
            ],
        ),
        (
            "acquire B",
            [
                "leased B for ever",
                "AlreadyPresent",
                "AlreadyPresent",
                "AlreadyPresent",
                "leased B for ever",
                "leased B for ever",
                "leased B for ever",
            ],
        ),
        (
            "renew A",
            [
                "IdMismatch",
                "leased A 30",
                "leased A for ever",
                "BrokenAndCannotBeRenewed",
                "BrokenAndCannotBeRenewed",
                "BrokenAndCannotBeRenewed",
                "leased A 30",
            ],
        ),
        ("renew B", ["IdMismatch"; 7]),
        (
            "change A B",
            [
                "NotPresent",
                "leased B 20",
                "leased B for ever",
                "BreakingAndCannotBeChanged",
                "NotPresent",
                "NotPresent",
                "NotPresent",
            ],
        ),
        (
            "change B A",
            [
                "NotPresent",
                "leased A 20",
                "leased A for ever",
                "BreakingAndCannotBeChanged",
                "NotPresent",
                "NotPresent",
                "NotPresent",
            ],
        ),
        (
            "change B B",
            [
                "NotPresent",
                "IdMismatch",
                "IdMismatch",
                "IdMismatch",
                "NotPresent",
                "NotPresent",
                "NotPresent",
            ],
        ),
        (
            "release A",
            ["IdMismatch", "available", "available", "available", "available", "available", "available"],
        ),
        ("release B", ["IdMismatch"; 7]),
        (
            "break",
            ["NotPresent", "breaking A 20", "broken A", "breaking A 20", "broken A", "broken A", "broken A"],
        ),
        ("break 0", ["NotPresent", "broken A", "broken A", "broken A", "broken A", "broken A", "broken A"]),
        (
            "break 10",
            [
                "NotPresent",
                "breaking A 10",
                "breaking A 10",
                "breaking A 10",
                "broken A",
                "broken A",
                "broken A",
            ],
        ),
        (
            "break 60",
            [
                "NotPresent",
                "breaking A 20",
                "breaking A 60",
                "breaking A 20",
                "broken A",
                "broken A",
                "broken A",
            ],
        ),
    ];
    let states = ["available", "leased", "infinite", "breaking", "broken", "broken by time", "expired"];
    for (name, expected) in rows {
        for (state, expected) in states.iter().zip(expected) {
            let found = told(act(lease(state).as_ref(), action(name), at(NOW)));
            assert_eq!(&found, expected, "{name} when {state}");
        }
    }
}

#[test]
fn use_of_a_lease() {
    use LeaseError::{IdMismatchWith, IdMissing, Lost, NotPresentWith};
    let of = LeaseOf::Container;
    let (mismatch, absent) = (Some(IdMismatchWith(of)), Some(NotPresentWith(of)));
    // state, no id on a read, no id on a write, its id, another id
    for (state, read, write, own, other) in [
        ("available", None, None, absent, absent),
        ("leased", None, Some(IdMissing), None, mismatch),
        ("infinite", None, Some(IdMissing), None, mismatch),
        ("breaking", None, Some(IdMissing), None, mismatch),
        ("broken", None, None, Some(Lost), Some(Lost)),
        ("broken by time", None, None, Some(Lost), Some(Lost)),
        ("expired", None, None, Some(Lost), Some(Lost)),
    ] {
        let lease = lease(state);
        let found = |given, access| check(lease.as_ref(), given, access, of, at(NOW)).err();
        assert_eq!(found(None, Access::Read), read, "{state}");
        assert_eq!(found(None, Access::Write), write, "{state}");
        for access in [Access::Read, Access::Write] {
            assert_eq!(found(Some(A), access), own, "{state}");
            assert_eq!(found(Some(B), access), other, "{state}");
        }
        let kept = after_write(lease.as_ref(), at(NOW)).is_some();
        assert_eq!(kept, ["leased", "infinite", "breaking"].contains(&state), "{state}");
    }
}

#[test]
fn times() {
    let breaking = lease("breaking").unwrap();
    let tick = |seconds: i64| Timestamp::from_ticks(seconds * TICKS_PER_SECOND - 1);
    for (now, state, seconds) in [
        (at(NOW), LeaseState::Breaking, 20),
        (tick(NOW + 1), LeaseState::Breaking, 20),
        (tick(NOW + 20), LeaseState::Breaking, 1),
        (at(NOW + 20), LeaseState::Broken, 0),
    ] {
        assert_eq!((breaking.state_at(now), breaking.breaks_in_seconds(now)), (state, seconds));
    }
}
