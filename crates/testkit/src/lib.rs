//! For tests: the oracle of what was sent, equality of traces, faulty disks.
