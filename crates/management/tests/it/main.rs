//! The management service on a real port with real mutual TLS, between a fabric controller and a storage service
//! that keep to their wires and do as the tests say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it cannot go on")]

mod fabric;
mod rig;
mod storage;

mod affinity_group;
mod authorization;
mod deployment;
mod history;
mod hosted_service;
mod limits;
mod management_certificate;
mod protocol;
mod restart;
mod service_certificate;
mod steps;
mod storage_account;
mod subscription;
mod update;
mod versions;
