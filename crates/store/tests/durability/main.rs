//! Guards: what was acknowledged is found once, by id and by a scan, whatever fails between the
//! log's first byte and the last file that a compaction removes.
//!
//! Machines are driven by hand ([`machine`]) over disks and object stores that forget, fail and lose
//! answers; a ledger knows what was promised ([`ledger`]).

mod ledger;
mod machine;
mod story;

mod faults;
mod owners;
mod power;
