//! Counts of spans by time cell, service, name, kind and status.
