//! What the cache asks the store for, and what it does not.

use std::sync::Arc;

use bytes::Bytes;

use super::contract::some_bytes;
use crate::faulty::{FaultyObjects, MemoryObjects, Plan};
use crate::{CachedObjects, Objects};

const PATH: &str = "blocks/1/spans.parquet";

fn cached(bytes_max: u64) -> (FaultyObjects<MemoryObjects>, CachedObjects, Bytes) {
    let store = MemoryObjects::new();
    let bytes = some_bytes(1, 1_000_000);
    store.put(PATH, bytes.clone()).unwrap();
    store.put("catalog/1", bytes.clone()).unwrap();
    let store = FaultyObjects::new(store, Plan::default());
    let objects = CachedObjects::new(Arc::new(store.clone()), bytes_max);
    (store, objects, bytes)
}

#[test]
fn a_range_is_fetched_once() {
    let (store, objects, bytes) = cached(10_000_000);
    assert_eq!(objects.get_range(PATH, 10..1000).unwrap(), bytes.slice(10..1000));
    assert_eq!(objects.get_range(PATH, 10..1000).unwrap(), bytes.slice(10..1000));
    assert_eq!(store.calls(), 1);
    let both = objects.get_ranges(PATH, &[10..1000, 5000..5010]).unwrap();
    assert_eq!(both, [bytes.slice(10..1000), bytes.slice(5000..5010)]);
    assert_eq!(store.calls(), 2);
    assert_eq!(objects.get(PATH).unwrap().unwrap(), bytes);
    assert_eq!(objects.get(PATH).unwrap().unwrap(), bytes);
    assert_eq!(store.calls(), 3);
    let stats = objects.stats();
    assert_eq!((stats.hits, stats.misses), (3, 3));
    assert_eq!((stats.hit_bytes, stats.miss_bytes), (1_001_980, 1_001_000));
    assert!((1_001_000..1_003_000).contains(&stats.held_bytes), "{stats:?}");
}

#[test]
fn what_may_change_is_not_kept() {
    let (store, objects, _) = cached(10_000_000);
    for _ in 0..2 {
        objects.get("catalog/1").unwrap();
        objects.get_range("catalog/1", 0..10).unwrap();
        objects.head(PATH).unwrap();
        assert_eq!(objects.get("blocks/absent").unwrap(), None);
    }
    assert_eq!(store.calls(), 8);
    assert_eq!(objects.stats().held_bytes, 0);
}

#[test]
fn no_more_is_held_than_allowed() {
    let (_, objects, bytes) = cached(200_000);
    for start in (0..990_000).step_by(5000) {
        let range = start..start + 5000;
        let expected = bytes.slice(range.start as usize..range.end as usize);
        assert_eq!(objects.get_range(PATH, range).unwrap(), expected);
        assert!(objects.stats().held_bytes <= 200_000, "{:?}", objects.stats());
    }
    assert!(objects.stats().held_bytes > 100_000, "{:?}", objects.stats());
    objects.get(PATH).unwrap();
    assert!(objects.stats().held_bytes <= 200_000, "more than it can hold is not kept");
}

#[test]
fn what_is_deleted_is_forgotten() {
    let (_, objects, _) = cached(10_000_000);
    objects.get_range(PATH, 0..10).unwrap();
    objects.delete(PATH).unwrap();
    objects.get_range(PATH, 0..10).expect_err("it was deleted");
    assert_eq!(objects.stats().held_bytes, 0);
}
