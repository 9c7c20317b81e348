//! Histories of concurrent clients against a storage service that is killed in between.
//!
//! Clients work on a few blobs, partitions and queues over HTTP. Every so often the service gets SIGKILL, is started
//! again over the same data, and is read whole. What was answered, before the kills and after them, is held against
//! what a blob, a partition and a message are to one client (`Model`), by a checker of linearizability. A write that
//! was acknowledged and is gone, a read of what is out of date, a transaction that others see half of, a message that
//! is lost, got twice within its visibility timeout or back after its deletion: each has no order that explains it.
//!
//! `WELKIN_CONSISTENCY_SEED` repeats the clients' choices (not their luck: threads and kills come as they come), and
//! `WELKIN_CONSISTENCY_KILLS` makes it shorter or longer. SIGKILL loses no page cache, so this does not
//! show what a failure of power would do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use welkin_storage_wire::operation::Service;

use crate::blob::{BlobObject, Form, Kind};
use crate::history::Checked;
use crate::partition::PartitionObject;
use crate::queue::QueueObject;
use crate::wire::{Client, Server};
use crate::workload::Object;

mod blob;
mod gate;
mod history;
mod message;
mod partition;
mod planted;
mod queue;
mod wire;
mod workload;

/// Kills, unless told.
const KILLS: u64 = 6;
const BLOCK_BLOBS: usize = 3;
const APPEND_BLOBS: usize = 2;
/// More than the engine keeps in a row.
const WIDE_BYTES: usize = 20_000;
const NARROW_BYTES: usize = 8;
const PARTITIONS: usize = 3;
const QUEUES: [&str; 2] = ["queue0", "queue1"];

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("it is a number"))
}

fn make_collections(client: &Client) {
    let json = [("content-type", "application/json"), ("accept", "application/json;odata=nometadata")];
    let table = format!("{{\"TableName\":\"{}\"}}", partition::TABLE);
    let container = format!("/{}?restype=container", blob::CONTAINER);
    let mut answers = vec![
        client.send(Service::Blob, "PUT", &container, &[], ""),
        client.send(Service::Table, "POST", "/Tables", &json, &table),
    ];
    answers.extend(QUEUES.map(|queue| client.send(Service::Queue, "PUT", &format!("/{queue}"), &[], "")));
    for answer in answers {
        assert_eq!(answer.as_ref().map(|answer| answer.status), Some(201), "{answer:?}");
    }
}

fn make_objects(client: &Client) -> Vec<Box<dyn Object>> {
    let mut objects: Vec<Box<dyn Object>> = Vec::new();
    for (kind, count) in [(Kind::Block, BLOCK_BLOBS), (Kind::Append, APPEND_BLOBS)] {
        for number in 0..count {
            let value_bytes = if number == 0 { WIDE_BYTES } else { NARROW_BYTES };
            let name = format!("{kind:?}{number}");
            objects.push(Box::new(BlobObject::new(&name, Form { kind, value_bytes })));
        }
    }
    for number in 0..PARTITIONS {
        let partition = PartitionObject::new(&format!("p{number}"));
        if number == 0 {
            partition.lengthen(client);
        }
        objects.push(Box::new(partition));
    }
    objects.extend(QUEUES.map(|queue| Box::new(QueueObject::new(queue)) as Box<dyn Object>));
    objects
}

#[test]
fn clients_see_one_order_whatever_is_killed() {
    let began = Instant::now();
    let seed = setting("WELKIN_CONSISTENCY_SEED").unwrap_or_else(rand::random);
    let kills = setting("WELKIN_CONSISTENCY_KILLS").unwrap_or(KILLS);
    println!("WELKIN_CONSISTENCY_SEED={seed} repeats the choices of the clients");
    let mut server = Server::start();
    let client = server.client();
    make_collections(&client);
    let objects = make_objects(&client);
    let turns = workload::run(&mut server, &objects, kills, &mut StdRng::seed_from_u64(seed));
    let ran = began.elapsed();
    let checked: Vec<_> = objects.iter().map(|object| object.check()).collect();
    let (good, bad): (Vec<_>, Vec<_>) = checked.into_iter().partition(Result::is_ok);
    let bad: Vec<String> = bad.into_iter().filter_map(Result::err).collect();
    assert!(bad.is_empty(), "seed {seed}: no order explains the history of\n{}", bad.join("\n"));
    let good: Vec<Checked> = good.into_iter().flatten().flatten().collect();
    let sum = |count: fn(&Checked) -> usize| good.iter().map(count).sum::<usize>();
    let (asked, unanswered) = (sum(|checked| checked.calls), sum(|checked| checked.unanswered));
    println!(
        "{turns} turns of clients, {kills} kills, {} histories with {asked} calls, {unanswered} without an answer, \
         at most {} in one: {:.1} s, and {:.1} s to check",
        good.len(),
        good.iter().map(|checked| checked.calls).max().unwrap(),
        ran.as_secs_f64(),
        (began.elapsed() - ran).as_secs_f64(),
    );
    assert!(good.len() > objects.len() && asked > turns / 2, "calls were written down, of messages too");
    assert!(unanswered > 0, "kills came while calls were under way");
}
