//! Snapshots, deletion, damage, and what a reader makes of the remains.

use bytes::BytesMut;
use suyuan_objects::Objects;
use suyuan_objects::faulty::MemoryObjects;

use super::*;

/// What lies there, without the zeros before the numbers.
fn listing(objects: &MemoryObjects) -> Vec<String> {
    let infos = objects.list("catalog").unwrap().into_iter();
    let short = |path: &str| {
        let (folder, number) = path.rsplit_once('/').unwrap();
        let (_, kind) = folder.rsplit_once('/').unwrap();
        format!(
            "{} {}",
            if kind == "entries" { "entry" } else { "snapshot" },
            number.parse::<u64>().unwrap()
        )
    };
    infos.map(|info| short(&info.path)).collect()
}

fn entry_path(number: u64) -> String {
    format!("catalog/0/entries/{number:020}")
}

fn snapshot_path(number: u64) -> String {
    format!("catalog/0/snapshots/{number:020}")
}

/// Ten entries of block 1 to 10 with snapshots at 4 and 8.
fn ten(objects: &MemoryObjects) -> Catalog {
    let catalog = open(objects, 1);
    for number in 1..=10 {
        catalog.commit(add(number)).unwrap();
        let snapshot = catalog.maintain().unwrap().snapshot;
        assert_eq!(snapshot, number.is_multiple_of(4).then_some(number.into()));
    }
    catalog
}

#[test]
fn what_a_snapshot_replaced_goes_a_day_later() {
    let objects = MemoryObjects::new();
    let catalog = ten(&objects);
    let state = catalog.state();
    assert_eq!(listing(&objects).len(), 12);
    objects.advance_clock(DAY_NANOS);
    assert_eq!(catalog.maintain().unwrap(), Maintained::default(), "not longer than a day");
    objects.advance_clock(1);
    assert_eq!(catalog.maintain().unwrap().deleted, 9);
    assert_eq!(listing(&objects), ["entry 9", "entry 10", "snapshot 8"]);
    assert_eq!(open(&objects, 2).state(), state);
    objects.advance_clock(100 * DAY_NANOS);
    assert_eq!(catalog.maintain().unwrap(), Maintained::default(), "the newest one stays");
}

#[test]
fn a_young_snapshot_replaces_nothing() {
    let objects = MemoryObjects::new();
    let catalog = open(&objects, 1);
    for number in 1..=4 {
        catalog.commit(add(number)).unwrap();
    }
    catalog.maintain().unwrap();
    objects.advance_clock(DAY_NANOS + 1);
    for number in 5..=8 {
        catalog.commit(add(number)).unwrap();
    }
    assert_eq!(catalog.maintain().unwrap().snapshot, Some(8));
    assert_eq!(catalog.maintain().unwrap().deleted, 0, "those of the first went before");
    assert_eq!(
        listing(&objects),
        ["entry 5", "entry 6", "entry 7", "entry 8", "snapshot 4", "snapshot 8"]
    );
}

#[test]
fn nothing_is_deleted_for_a_snapshot_that_cannot_be_read() {
    let objects = MemoryObjects::new();
    let catalog = ten(&objects);
    objects.put(&snapshot_path(8), Bytes::from_static(b"rot")).unwrap();
    objects.advance_clock(DAY_NANOS + 1);
    let error = catalog.maintain().unwrap_err();
    assert!(matches!(error, CatalogError::Damaged { .. }), "{error}");
    assert_eq!(listing(&objects).len(), 12);
    assert_eq!(open(&objects, 2).state(), catalog.state(), "the snapshot before it serves");
}

#[test]
fn a_damaged_snapshot_without_the_entries_before_it_is_an_error() {
    let objects = MemoryObjects::new();
    let catalog = ten(&objects);
    objects.advance_clock(DAY_NANOS + 1);
    catalog.maintain().unwrap();
    objects.put(&snapshot_path(8), Bytes::from_static(b"rot")).unwrap();
    let error = Catalog::open(Arc::new(objects), options(2)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "catalog object `catalog/0/snapshots/00000000000000000008` has 3 bytes, a head alone has \
         24: restore it from a backup"
    );
}

/// What a reader says when an object of the catalog was changed: one that starts, and one that has
/// read up to entry 8 before.
fn check(change: impl Fn(&MemoryObjects), expected: &str) {
    let objects = MemoryObjects::new();
    let catalog = open(&objects, 1);
    for number in 1..=8 {
        catalog.commit(add(number)).unwrap();
    }
    let reader = open(&objects, 2);
    catalog.maintain().unwrap();
    catalog.commit(add(9)).unwrap();
    catalog.commit(add(10)).unwrap();
    change(&objects);
    let starts = Catalog::open(Arc::new(objects.clone()), options(3)).err().unwrap();
    assert_eq!(starts.to_string(), expected);
    if !matches!(starts, CatalogError::MissingEntry { .. }) {
        let reads = reader.refresh().unwrap_err();
        assert_eq!(reads.to_string(), expected);
        let commits = reader.commit(add(20)).unwrap_err();
        assert_eq!(commits.to_string(), format!("the change was not committed: {expected}"));
        assert_eq!(reader.state().number, 8, "what was known stays");
    }
    let report = &inspect(&objects).unwrap()[0];
    assert_eq!(report.state.as_ref().unwrap_err().to_string(), expected);
}

#[test]
fn damage_is_never_passed_over() {
    check(
        |objects| {
            let mut bytes = BytesMut::from(objects.get(&entry_path(9)).unwrap().unwrap());
            *bytes.last_mut().unwrap() ^= 1;
            objects.put(&entry_path(9), bytes.freeze()).unwrap();
        },
        "catalog object `catalog/0/entries/00000000000000000009` has a checksum that does not \
         match its bytes: restore it from a backup",
    );
    check(
        |objects| {
            let other = objects.get(&entry_path(10)).unwrap().unwrap();
            objects.put(&entry_path(9), other).unwrap();
        },
        "catalog object `catalog/0/entries/00000000000000000009` is number 10 of shard 0: it was \
         moved or copied, restore the right one",
    );
    check(
        |objects| objects.delete(&entry_path(9)).unwrap(),
        "catalog entry `catalog/0/entries/00000000000000000009` is missing and entry 10 is there: \
         restore it",
    );
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let objects = MemoryObjects::new();
    let paths = [
        "catalog/README",
        "catalog/0/entries/1",
        "catalog/0/snapshots/x",
        "catalog/0/snapshots/18446744073709551615",
        "catalog/x/y",
    ];
    for path in paths {
        objects.put(path, Bytes::from_static(b"?")).unwrap();
    }
    let catalog = ten(&objects);
    objects.advance_clock(DAY_NANOS + 1);
    catalog.maintain().unwrap();
    assert_eq!(objects.list("").unwrap().len(), 3 + 5);
    assert_eq!(open(&objects, 2).state(), catalog.state());
    assert_eq!(inspect(&objects).unwrap().len(), 1);
}

#[test]
fn a_listing_says_what_is_there() {
    let objects = MemoryObjects::new();
    let catalog = open(&objects, 1);
    catalog.take_over(log(1)).unwrap();
    let owners = vec![Owner { log: log(1), epoch: 1 }];
    catalog.commit(Change { owners, ..seal(log(1), 0, 10, 1) }).unwrap();
    let removes = vec![block(1)];
    let compaction = Change {
        removes,
        adds: vec![new_block(2), new_block(3)],
        tombstones: vec![tombstone(None)],
        forbids: vec![block(9)],
        ..Change::default()
    };
    catalog.commit(compaction).unwrap();
    catalog.commit(Change::default()).unwrap();
    catalog.maintain().unwrap();
    objects.put(&entry_path(4), Bytes::from_static(b"rot")).unwrap();
    let mut reports = inspect(&objects).unwrap();
    let report = reports.pop().unwrap();
    assert_eq!(*catalog.state(), report.state.unwrap());
    let [snapshot] = &report.snapshots[..] else { panic!("{:?}", report.snapshots) };
    assert_eq!((snapshot.number, *snapshot.blocks.as_ref().unwrap()), (4, 2));
    let [first, second, third, fourth] = &report.entries[..] else { panic!("four entries") };
    assert_eq!(first.content.as_ref().unwrap().take_overs, 1);
    assert_eq!(second.content.as_ref().unwrap().ranges, 1);
    assert_eq!(
        *third.content.as_ref().unwrap(),
        EntryContent {
            writer: uuid(0xee, 1),
            sequence: 3,
            take_overs: 0,
            ranges: 0,
            adds: 2,
            removes: 1,
            tombstones: 1,
            forbids: 1,
        }
    );
    assert!(fourth.content.is_err());
}

/// 10,000 blocks of 20 kB, a fortnight at one block every two minutes.
#[test]
fn a_commit_copies_no_meta() {
    let objects = MemoryObjects::new();
    let catalog = open(&objects, 1);
    let meta = Bytes::from(vec![7; 20_000]);
    let adds = (0..250_u8).map(|number| NewBlock { id: block(number), meta: meta.clone() });
    catalog.commit(Change { adds: adds.collect(), ..Change::default() }).unwrap();
    let before = catalog.state();
    let after = catalog.commit(add(251)).unwrap().state;
    for (id, block) in &before.blocks {
        assert!(Arc::ptr_eq(block, &after.blocks[id]), "{id}");
    }
}
