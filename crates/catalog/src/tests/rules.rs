//! Which entries do not count. Each rule is asked three ways: the writer that knows better, the
//! writer that knows an older state, and the readers.

use suyuan_objects::Objects;
use suyuan_objects::faulty::MemoryObjects;

use super::*;
use crate::change::{CommitId, Entry};
use crate::format::encode_entry;

/// Commits `before`, then holds `change` against it: by the writer that knows, by one that does
/// not, and, written past both of them, by readers.
fn check(before: &[Change], change: Change, expected: Ignored) {
    let objects = MemoryObjects::new();
    let (a, b) = (open(&objects, 1), open(&objects, 2));
    for change in before {
        a.commit(change.clone()).unwrap();
    }
    let state = a.state();
    assert_eq!(ignored(a.commit(change.clone())), expected, "by the writer that knows");
    assert_eq!(ignored(b.commit(change.clone())), expected, "by a writer that does not");
    assert_eq!(b.state(), state);
    force(&objects, state.number + 1, Vec::new(), change);
    let after = a.refresh().unwrap();
    assert_eq!(*after, State { number: state.number + 1, ..State::clone(&state) }, "by a reader");
    assert_eq!(b.refresh().unwrap(), after);
    assert_eq!(open(&objects, 3).state(), after);
    assert_eq!(a.commit(add(200)).unwrap().number, state.number + 2, "its number is used up");
}

/// Writes an entry that no honest writer would.
pub(super) fn force(objects: &MemoryObjects, number: u64, take_overs: Vec<Owner>, change: Change) {
    let commit = CommitId { writer: uuid(0xff, number as u8), sequence: 1 };
    let entry = Entry { shard: 0, number, commit, take_overs, change };
    let path = format!("catalog/0/entries/{number:020}");
    objects.create(&path, encode_entry(&entry).unwrap()).unwrap();
}

#[test]
fn a_range_that_does_not_begin_where_the_last_one_ended() {
    let gap = |got| Ignored::Gap { log: log(1), expected: at(10), got: at(got) };
    let before = [seal(log(1), 0, 10, 1)];
    check(&before, seal(log(1), 0, 10, 2), gap(0));
    check(&before, seal(log(1), 0, 20, 2), gap(0));
    check(&before, seal(log(1), 9, 20, 2), gap(9));
    check(&before, seal(log(1), 11, 20, 2), gap(11));
    let twice =
        Change { ranges: vec![range(log(1), 10, 20), range(log(1), 10, 20)], ..Change::default() };
    check(&before, twice, Ignored::Gap { log: log(1), expected: at(20), got: at(10) });
    let backwards = Change { ranges: vec![range(log(1), 10, 9)], ..Change::default() };
    check(&before, backwards, Ignored::Backwards { log: log(1) });
    let half = Change {
        ranges: vec![range(log(2), 0, 5), range(log(1), 11, 20)],
        adds: vec![new_block(2)],
        ..Change::default()
    };
    check(&before, half, gap(11));
}

#[test]
fn ranges_of_one_log_may_follow_each_other() {
    let catalog = open(&MemoryObjects::new(), 1);
    let ranges = vec![range(log(1), 3, 5), range(log(2), 0, 0), range(log(1), 5, 9)];
    let state = catalog.commit(Change { ranges, ..Change::default() }).unwrap().state;
    assert_eq!((state.log_end(log(1)), state.log_end(log(2))), (Some(at(9)), Some(at(0))));
}

#[test]
fn a_removal_of_a_block_that_is_not_there() {
    check(&[], remove(1), Ignored::BlockGone(block(1)));
    check(&[add(1), remove(1)], remove(1), Ignored::BlockGone(block(1)));
    let twice = Change { removes: vec![block(1), block(1)], ..Change::default() };
    check(&[add(1)], twice, Ignored::BlockGone(block(1)));
    let second_compaction =
        Change { removes: vec![block(1), block(2)], adds: vec![new_block(9)], ..Change::default() };
    check(&[add(1), add(2), remove(2)], second_compaction, Ignored::BlockGone(block(2)));
}

#[test]
fn an_addition_of_a_block_that_is_known_or_forbidden() {
    check(&[add(1)], add(1), Ignored::BlockKnown(block(1)));
    check(&[add(1), remove(1)], add(1), Ignored::BlockKnown(block(1)));
    let twice = Change { adds: vec![new_block(1), new_block(1)], ..Change::default() };
    check(&[], twice, Ignored::BlockKnown(block(1)));
    let forbid = |number| Change { forbids: vec![block(number)], ..Change::default() };
    check(&[forbid(1)], add(1), Ignored::Forbidden(block(1)));
    check(&[forbid(1), forbid(1)], add(1), Ignored::Forbidden(block(1)));
    check(&[add(1)], forbid(1), Ignored::BlockKnown(block(1)));
    check(&[add(1), remove(1)], forbid(1), Ignored::BlockKnown(block(1)));
    let both = Change { adds: vec![new_block(1)], ..forbid(1) };
    check(&[], both, Ignored::BlockKnown(block(1)));
}

#[test]
fn a_log_that_was_taken_over() {
    let objects = MemoryObjects::new();
    let (a, b) = (open(&objects, 1), open(&objects, 2));
    let first = a.take_over(log(1)).unwrap();
    assert_eq!(first, Owner { log: log(1), epoch: 1 });
    let owned = |owner, change| Change { owners: vec![owner], ..change };
    a.commit(owned(first, seal(log(1), 0, 10, 1))).unwrap();
    let second = b.take_over(log(1)).unwrap();
    assert_eq!(second.epoch, 2);

    let fenced = Ignored::Fenced { log: log(1), epoch: 2, claimed: 1 };
    assert_eq!(a.state().epoch(log(1)), 1, "the paused owner knows nothing yet");
    assert_eq!(ignored(a.commit(owned(first, seal(log(1), 10, 20, 2)))), fenced);
    assert_eq!(ignored(a.commit(owned(first, remove(1)))), fenced, "nor may it compact");
    let no_owner = Ignored::NoOwner { log: log(1) };
    assert_eq!(ignored(a.commit(seal(log(1), 10, 20, 2))), no_owner);
    let other = Owner { log: log(2), epoch: 0 };
    assert_eq!(ignored(a.commit(owned(other, seal(log(1), 10, 20, 2)))), no_owner);
    let future = Owner { log: log(1), epoch: 3 };
    let claimed = Ignored::Fenced { log: log(1), epoch: 2, claimed: 3 };
    assert_eq!(ignored(a.commit(owned(future, seal(log(1), 10, 20, 2)))), claimed);
    b.commit(owned(second, seal(log(1), 10, 20, 3))).unwrap();
    assert_eq!(blocks(&a.refresh().unwrap()), [1, 3]);
}

#[test]
fn a_take_over_that_comes_second_does_not_count() {
    let objects = MemoryObjects::new();
    let reader = open(&objects, 1);
    let owner = |epoch| Owner { log: log(1), epoch };
    force(&objects, 1, vec![owner(1)], Change::default());
    force(&objects, 2, vec![owner(1)], Change::default());
    force(&objects, 3, vec![owner(0)], Change::default());
    force(&objects, 4, vec![owner(3)], Change::default());
    force(&objects, 5, vec![owner(2), owner(2)], Change::default());
    let state = reader.refresh().unwrap();
    assert_eq!((state.number, state.epoch(log(1)), state.writers.len()), (5, 1, 1));
    assert_eq!(reader.take_over(log(1)).unwrap(), owner(2));
}

#[test]
fn a_commit_counts_once() {
    let objects = MemoryObjects::new();
    let catalog = open(&objects, 1);
    let commit = CommitId { writer: uuid(0xff, 1), sequence: 5 };
    for (number, sequence) in [(1, 5), (2, 5), (3, 4), (4, 6)] {
        let commit = CommitId { sequence, ..commit };
        let tombstones = vec![tombstone(None)];
        let change = Change { tombstones, ..Change::default() };
        let entry = Entry { shard: 0, number, commit, take_overs: Vec::new(), change };
        let path = format!("catalog/0/entries/{number:020}");
        objects.create(&path, encode_entry(&entry).unwrap()).unwrap();
    }
    let state = catalog.refresh().unwrap();
    let held: Vec<u64> = state.tombstones.keys().map(|id| id.number).collect();
    assert_eq!((state.number, held), (4, vec![1, 4]));
}

/// A writer's name is for one `Catalog`, but a second one after the first does no harm.
#[test]
fn a_writer_that_was_there_before_goes_on() {
    let objects = MemoryObjects::new();
    open(&objects, 1).commit(add(1)).unwrap();
    assert_eq!(blocks(&open(&objects, 1).commit(add(2)).unwrap().state), [1, 2]);
}

#[test]
fn a_prohibition_dates_from_the_first_time() {
    let objects = MemoryObjects::new();
    let catalog = open(&objects, 1);
    let forbid = Change { forbids: vec![block(1)], ..Change::default() };
    let first = catalog.commit(forbid.clone()).unwrap().state.forbidden[&block(1)];
    objects.advance_clock(DAY_NANOS);
    let state = catalog.commit(forbid).unwrap().state;
    assert_eq!((state.number, state.forbidden[&block(1)]), (2, first));
    assert_eq!(first.number, 1);
}

#[test]
fn writers_of_long_ago_are_forgotten() {
    let mut state = State::default();
    for number in 1..=5000_u64 {
        let mut writer = [0; 16];
        writer[..8].copy_from_slice(&number.to_le_bytes());
        let commit = CommitId { writer: Uuid(writer), sequence: 1 };
        let (take_overs, change) = (Vec::new(), Change::default());
        state.advance(Entry { shard: 0, number, commit, take_overs, change }, 0).unwrap();
    }
    assert_eq!(state.writers.len(), 4096);
    assert!(state.writers.values().all(|writer| writer.number > 5000 - 4096));
}
