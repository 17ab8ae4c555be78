//! A catalog whose first object has an arbitrary body behind a right head: no panic, and what opens
//! can be committed to, and opens again as the same.

#![no_main]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use suyuan_catalog::{Catalog, Change, CommitError, NewBlock, Options, inspect};
use suyuan_objects::Objects;
use suyuan_objects::faulty::MemoryObjects;
use suyuan_wal::Uuid;

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, body)) = bytes.split_first() else { return };
    let (magic, folder) = match kind % 2 {
        0 => (b"SYUNCATE", "entries"),
        _ => (b"SYUNCATS", "snapshots"),
    };
    let objects = MemoryObjects::new();
    let path = format!("catalog/0/{folder}/00000000000000000001");
    objects.put(&path, with_head(magic, body)).expect("memory takes everything");
    inspect(&objects).expect("memory can be read");
    let Some(catalog) = open(&objects, 1) else { return };
    let adds = vec![NewBlock { id: Uuid([0xfb; 16]), meta: Bytes::from_static(b"meta") }];
    match catalog.commit(Change { adds, ..Change::default() }) {
        Ok(committed) => assert_eq!(committed.number, 2),
        Err(CommitError::Ignored(_)) => {}
        Err(error) => panic!("{error}"),
    }
    catalog.maintain().expect("memory can be written");
    let again = open(&objects, 2).expect("a catalog that opened opens again");
    assert_eq!(again.state(), catalog.state());
});

fn open(objects: &MemoryObjects, writer: u8) -> Option<Catalog> {
    let options = Options {
        shard: 0,
        writer: Uuid([writer; 16]),
        snapshot_every: 1,
        entry_keep: Duration::from_secs(1),
    };
    Catalog::open(Arc::new(objects.clone()), options).ok()
}

fn with_head(magic: &[u8; 8], body: &[u8]) -> Bytes {
    let mut object = magic.to_vec();
    object.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
    object.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&object), body);
    object.extend_from_slice(&checksum.to_le_bytes());
    object.extend_from_slice(body);
    object.into()
}
