//! The program: configuration, roles, wiring, shutdown.
