//! RabbitMQ with a durable queue.

use std::net::Ipv4Addr;
use std::path::Path;

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use crate::storage::error::StorageError;
use crate::storage::peers::Peer;
use crate::storage::process::{Process, Program, User, folder_of};
use crate::storage::slice::Worker;
use crate::storage::work::Work;
use crate::storage::worker::{TEXT_BYTES, expect};

const QUEUE: &str = "bench";
/// AMQP's delivery mode of messages that outlive the server.
const PERSISTENT: u8 = 2;
/// How often a worker asks for a message before the queue counts as broken.
const ASKS_MAX: usize = 1000;

/// A running RabbitMQ, and the port mapper that Erlang needs.
#[derive(Debug)]
pub struct Rabbit {
    mapper: Process,
    process: Process,
    port: u16,
}

impl Rabbit {
    /// Starts a node of its own on three ports.
    pub async fn start(programs: &Path, folder: &Path, port: u16) -> Result<Self, StorageError> {
        let path = programs.join("rabbitmq-server");
        if !path.exists() {
            return Err(StorageError::Peer(format!("there is no {}", path.display())));
        }
        let user = User::named("rabbitmq").await?;
        let folder = folder_of(user, folder.join("rabbitmq"))?;
        let (distribution, mapper) = ((port + 1).to_string(), (port + 2).to_string());
        let loopback = Ipv4Addr::LOCALHOST.to_string();
        // Started here, so that it can be ended here: Erlang would start one that stays for ever.
        let arguments = ["-port", &mapper, "-address", &loopback].map(str::to_owned).into();
        let program = Program { name: "epmd", path: "epmd".into(), arguments, user, ..Program::default() };
        let mapper_process = program.start(&folder, &[port + 2]).await?;
        let inside = |name: &str| folder.join(name).display().to_string();
        let environment = vec![
            ("HOME", folder.display().to_string()),
            ("ERL_EPMD_PORT", mapper),
            ("ERL_EPMD_ADDRESS", loopback.clone()),
            ("RABBITMQ_NODENAME", "welkin-bench@localhost".to_owned()),
            ("RABBITMQ_NODE_IP_ADDRESS", loopback),
            ("RABBITMQ_NODE_PORT", port.to_string()),
            ("RABBITMQ_DIST_PORT", distribution),
            ("RABBITMQ_MNESIA_BASE", inside("mnesia")),
            ("RABBITMQ_LOG_BASE", inside("log")),
            ("RABBITMQ_PID_FILE", inside("pid")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", inside("generated")),
            ("RABBITMQ_CONFIG_FILE", inside("rabbitmq.conf")),
            ("RABBITMQ_CONF_ENV_FILE", inside("rabbitmq-env.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", inside("plugins")),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}".to_owned()),
            // So that the script becomes the server instead of waiting for it.
            ("RUNNING_UNDER_SYSTEMD", "1".to_owned()),
        ];
        let program = Program { name: "RabbitMQ", path, environment, user, ..Program::default() };
        let process = program.start(&folder, &[port]).await?;
        Ok(Self { mapper: mapper_process, process, port })
    }

    /// Ends both.
    pub async fn stop(self) -> Result<(), StorageError> {
        self.process.stop().await?;
        self.mapper.stop().await
    }
}

impl Peer for Rabbit {
    type Worker = AmqpWorker;

    async fn worker(&self, _: Work, _: String) -> Result<AmqpWorker, StorageError> {
        let address = format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port);
        let connection = Connection::connect(&address, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), FieldTable::default()).await?;
        Ok(AmqpWorker { _connection: connection, channel, content: vec![b'z'; TEXT_BYTES] })
    }
}

/// A connection that puts a message, takes one and acknowledges it.
#[derive(Debug)]
pub struct AmqpWorker {
    /// It closes when it is dropped.
    _connection: Connection,
    channel: Channel,
    content: Vec<u8>,
}

impl Worker for AmqpWorker {
    async fn work(&mut self) -> Result<(), StorageError> {
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let options = BasicPublishOptions::default();
        let published =
            self.channel.basic_publish("".into(), QUEUE.into(), options, &self.content, properties);
        let confirmation = published.await?.await?;
        expect(confirmation.is_ack(), || "a message is not confirmed".to_owned())?;
        for _ in 0..ASKS_MAX {
            let got = self.channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await?;
            if let Some(message) = got {
                let length = message.delivery.data.len();
                expect(length == TEXT_BYTES, || format!("the message has {length} bytes"))?;
                let tag = message.delivery.delivery_tag;
                self.channel.basic_ack(tag, BasicAckOptions::default()).await?;
                return Ok(());
            }
        }
        Err(StorageError::Answer(format!("the queue has no message, asked {ASKS_MAX} times after a put")))
    }
}
