//! The program: configuration, roles, wiring, shutdown.
//!
//! In: a command line. Out: a running server, or what one of its tools was asked for. The only
//! package that knows all others; what each of them does is decided in it, not here.

pub mod cli;
pub mod config;

pub mod serve;
pub mod server;

pub mod doors;
pub mod greeting;
pub mod lock;
pub mod signals;

pub mod demo;
pub mod generate;
pub mod shop;

pub mod admin_command;
pub mod block_command;
pub mod check_command;
pub mod search;
pub mod trace;
pub mod wal_command;

mod fetch;
mod listing;
mod offline;

pub mod civil_time;
pub mod logging;
pub mod progress;
pub mod quantity;
pub mod terminal;
