//! Clients at work on a few objects, while the service is killed and started again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use welkin_storage_wire::Service;

use crate::history::{History, Op};
use crate::object::{Kind, Seen, ask, create, list};
use crate::setting;
use crate::wire::{Client, Server};

const CLIENTS: u64 = 6;
const OBJECTS: usize = 8;
/// Operations of one client between two kills, at most; a kill usually comes before.
const OPERATIONS: usize = 60;

struct Run {
    kind: Kind,
    client: Client,
    histories: Vec<History>,
    /// The last value and the last client that were given out.
    values: AtomicU64,
    clients: AtomicU64,
}

impl Run {
    fn name(object: usize) -> String {
        format!("object{object}")
    }

    /// Asks and records; `None` when no answer came.
    fn ask(&self, client: u64, object: usize, op: Op, etag: Option<&str>) -> Option<Option<Seen>> {
        let history = &self.histories[object];
        history.asked(client, op.clone());
        let (ret, seen) = ask(&self.client, self.kind, &Self::name(object), &op, etag)?;
        history.told(client, ret);
        Some(seen)
    }

    /// One client until it gets no answer, or has done its part.
    fn work(&self, mut random: StdRng) {
        let client = self.clients.fetch_add(1, Ordering::Relaxed);
        let mut known: HashMap<usize, Seen> = HashMap::new();
        for _ in 0..OPERATIONS {
            let object = random.random_range(0..OBJECTS);
            let value = self.values.fetch_add(1, Ordering::Relaxed);
            let op = choose(self.kind, known.get(&object), value, &mut random);
            let etag = known.get(&object).map(|seen| seen.etag.clone());
            match self.ask(client, object, op, etag.as_deref()) {
                None => return,
                Some(None) => {}
                Some(Some(seen)) => {
                    known.insert(object, seen);
                }
            }
        }
    }

    /// Reads everything, and holds it against the list of the collection.
    fn look(&self) {
        let client = self.clients.fetch_add(1, Ordering::Relaxed);
        let mut there = Vec::new();
        for object in 0..OBJECTS {
            if self.ask(client, object, Op::Read, None).unwrap().is_some() {
                there.push(Self::name(object));
            }
        }
        assert_eq!(list(&self.client, self.kind), there, "the list shows what can be read");
    }
}

fn choose(kind: Kind, seen: Option<&Seen>, value: u64, random: &mut StdRng) -> Op {
    match (kind, random.random_range(0..10), seen) {
        (_, 0..3, _) => Op::Read,
        (_, 3, _) => Op::Delete,
        (_, 4, Some(seen)) => Op::DeleteIf(seen.values.clone()),
        (Kind::AppendBlob, 5..7, Some(seen)) => Op::AppendAt(seen.values.len(), value),
        (Kind::AppendBlob, 5.., _) => Op::Append(value),
        (Kind::AppendBlob, ..) => Op::Create(value),
        (_, 5..7, _) => Op::Create(value),
        (_, 7.., Some(seen)) => Op::Swap(seen.values.clone(), value),
        _ => Op::Write(value),
    }
}

fn check(kind: Kind) {
    let seed = setting("WELKIN_CONSISTENCY_SEED", 3);
    for round in 0..setting("WELKIN_CONSISTENCY_ROUNDS", 2) {
        let mut random = StdRng::seed_from_u64(seed + round);
        let mut server = Server::start();
        let client = server.client();
        create(&client, kind);
        let histories = (0..OBJECTS).map(|_| History::default()).collect();
        let run = Run { kind, client, histories, values: 1.into(), clients: 0.into() };
        for _kill in 0..3 {
            std::thread::scope(|scope| {
                for _ in 0..CLIENTS {
                    let random = StdRng::seed_from_u64(random.random());
                    scope.spawn(|| run.work(random));
                }
                // The workload decides when; a run without a kill in its midst is a valid run too.
                std::thread::sleep(Duration::from_millis(random.random_range(20..250)));
                server.kill();
            });
            server.restart();
            run.look();
        }
        for (object, history) in run.histories.iter().enumerate() {
            assert!(history.len() > 20, "too little was asked to say anything");
            assert!(history.is_linearizable(), "{kind:?} {object}, seed {}: {history:?}", seed + round);
        }
    }
}

#[test]
fn block_blobs() {
    check(Kind::BlockBlob);
}

#[test]
fn append_blobs() {
    check(Kind::AppendBlob);
}

#[test]
fn entities() {
    check(Kind::Entity);
}

/// A lease has one holder: of many who acquire at a time, one gets it, and it outlives a kill.
#[test]
fn leases() {
    let mut server = Server::start();
    let client = server.client();
    create(&client, Kind::BlockBlob);
    for round in 0..10 {
        let path = format!("/objects/leased{round}");
        let put = |headers: &[(&str, &str)]| {
            client.send(Service::Blob, "PUT", &path, headers, b"x").unwrap()
        };
        assert_eq!(put(&[("x-ms-blob-type", "BlockBlob")]).status, 201);
        let acquire = || {
            let headers = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
            client.send(Service::Blob, "PUT", &format!("{path}?comp=lease"), &headers, b"").unwrap()
        };
        let answers: Vec<_> = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(acquire)).collect();
            tries.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let holders: Vec<&str> =
            answers.iter().filter(|a| a.status == 201).map(|a| a.header("x-ms-lease-id")).collect();
        assert_eq!(holders.len(), 1, "{answers:?}");
        if round % 5 == 0 {
            server.kill();
            server.restart();
        }
        assert_eq!(put(&[("x-ms-blob-type", "BlockBlob")]).code, "LeaseIdMissing");
        assert_eq!(put(&[("x-ms-blob-type", "BlockBlob"), ("x-ms-lease-id", holders[0])]).status, 201);
        assert_eq!(acquire().code, "LeaseAlreadyPresent");
    }
}
