//! The `quorate` binary's parts, as a library so that the process tests can use some of them.
//!
//! Read next: [`cli`] for the command line, [`daemon`] for what `node run` does, [`demo`] for the
//! demo and for the processes, ledger and verdict that the tests share with it.

pub mod balancer;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod daemon;
pub mod demo;
pub mod exit;
pub mod kv;
pub mod login;
pub mod nodes;
pub mod place;
pub mod ports;
pub mod profiles;
pub mod users;
