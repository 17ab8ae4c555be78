//! Everything a client can ask: Tempo's HTTP API and our own.
