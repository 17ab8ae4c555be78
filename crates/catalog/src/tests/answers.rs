//! Answers that get lost, come late or are about somebody else's object, and writers that sleep for
//! a day between two calls.

use std::sync::Mutex;

use suyuan_objects::faulty::{Fault, FaultyObjects, MemoryObjects, Plan};

use super::gated::{Gate, GatedObjects, Moment};
use super::*;

/// How many calls it takes to open an empty catalog.
fn calls_to_open() -> u64 {
    let faulty = FaultyObjects::new(MemoryObjects::new(), Plan::default());
    Catalog::open(Arc::new(faulty.clone()), options(1)).unwrap();
    faulty.calls()
}

/// These faults in a row, from the first creation on: what the commit says, and what it says when
/// the same change is committed again.
fn check(faults: &[Fault], expected: [&str; 2]) {
    let objects = MemoryObjects::new();
    let calls = calls_to_open() + 1..;
    let plan = Plan { faults: calls.zip(faults.iter().copied()).collect(), ..Plan::default() };
    let faulty = FaultyObjects::new(objects.clone(), plan);
    let catalog = Catalog::open(Arc::new(faulty), options(1)).unwrap();
    let said = [(); 2].map(|()| match catalog.commit(seal(log(1), 0, 10, 1)) {
        Ok(committed) => format!("committed {}", committed.number),
        Err(CommitError::Ignored(Ignored::Gap { .. })) => "gap".to_owned(),
        Err(CommitError::Store(_)) => "nothing happened".to_owned(),
        Err(CommitError::Unknown { number, .. }) => format!("unknown {number}"),
        Err(error) => panic!("{faults:?}: {error}"),
    });
    assert_eq!(said, expected, "{faults:?}");
    let state = catalog.refresh().unwrap();
    assert_eq!(blocks(&state), [1], "{faults:?}");
    assert_eq!(open(&objects, 2).state(), state, "{faults:?}");
}

#[test]
fn an_unknown_answer_is_settled() {
    use Fault::{Late, LostAnswer, LostRequest, Refused, Repeated};
    let once = ["committed 1", "gap"];
    check(&[], once);
    check(&[LostAnswer], once);
    check(&[LostRequest], once);
    check(&[Repeated], once);
    check(&[Late(1)], once);
    check(&[Late(9)], once);
    check(&[LostRequest, LostAnswer, Late(1)], once);
    check(&[Refused], ["nothing happened", "committed 1"]);
    let later = ["unknown 1", "committed 1"];
    check(&[LostRequest, Refused], later);
    check(&[LostAnswer, Refused], later);
    check(&[LostAnswer; 4], later);
    check(&[LostRequest; 4], later);
    check(&[LostRequest; 8], ["unknown 1", "unknown 1"]);
}

#[test]
fn every_call_of_a_commit_may_fail() {
    for fault in [Fault::Refused, Fault::LostRequest, Fault::LostAnswer, Fault::Repeated] {
        for call in 1..8 {
            let objects = MemoryObjects::new();
            let plan = Plan::fault_at(calls_to_open() + call, fault);
            let faulty = FaultyObjects::new(objects.clone(), plan);
            let catalog = Catalog::open(Arc::new(faulty), options(1)).unwrap();
            open(&objects, 2).commit(add(2)).unwrap();
            let change = Change { forbids: vec![block(9)], ..seal(log(1), 0, 10, 1) };
            let committed = catalog.commit(change.clone()).or_else(|_| catalog.commit(change));
            let story = format!("{fault:?} at call {call}");
            assert_eq!(committed.expect(&story).number, 2, "{story}");
            assert_eq!(blocks(&open(&objects, 3).state()), [1, 2], "{story}");
            assert_eq!(open(&objects, 3).state(), catalog.state(), "{story}");
        }
    }
}

#[test]
fn what_is_unknown_is_settled_before_anything_else() {
    let again = |catalog: &Catalog| {
        assert_eq!(catalog.commit(add(1)).unwrap().number, 1, "it was committed");
        let result = catalog.commit(add(1));
        assert_eq!(ignored(result), Ignored::BlockKnown(block(1)), "and is said so once");
    };
    let settle = |next: &dyn Fn(&Catalog)| {
        let objects = MemoryObjects::new();
        let calls = calls_to_open() + 1..;
        let faults = calls.zip([Fault::LostRequest; 4]).collect();
        let faulty = FaultyObjects::new(objects.clone(), Plan { faults, ..Plan::default() });
        let catalog = Catalog::open(Arc::new(faulty), options(1)).unwrap();
        let unknown = catalog.commit(add(1));
        assert!(matches!(unknown, Err(CommitError::Unknown { number: 1, .. })), "{unknown:?}");
        assert_eq!(*open(&objects, 2).state(), State::default());
        next(&catalog);
        assert_eq!(blocks(&open(&objects, 2).state())[0], 1);
        again(&catalog);
    };
    settle(&|catalog| assert_eq!(catalog.commit(add(2)).unwrap().number, 2));
    settle(&|catalog| assert_eq!(blocks(&catalog.refresh().unwrap()), [1]));
    settle(&|catalog| {
        catalog.take_over(log(1)).unwrap();
    });
}

#[test]
fn a_number_that_another_took_meanwhile_is_not_ours() {
    let objects = MemoryObjects::new();
    let calls = calls_to_open() + 1..;
    let faults = calls.zip([Fault::LostRequest; 4]).collect();
    let faulty = FaultyObjects::new(objects.clone(), Plan { faults, ..Plan::default() });
    let catalog = Catalog::open(Arc::new(faulty), options(1)).unwrap();
    assert!(matches!(catalog.commit(add(1)), Err(CommitError::Unknown { number: 1, .. })));
    open(&objects, 2).commit(add(2)).unwrap();
    assert_eq!(blocks(&catalog.refresh().unwrap()), [2]);
    assert_eq!(catalog.commit(add(1)).unwrap().number, 2);
}

/// A catalog that runs `meanwhile` once, when `call` on an entry is about to happen, or just has.
fn open_gated(
    objects: &MemoryObjects,
    when: (Moment, &'static str),
    meanwhile: impl FnOnce() + Send + 'static,
) -> Catalog {
    let meanwhile = Mutex::new(Some(meanwhile));
    let gate = Gate(Box::new(move |moment, call, path| {
        if (moment, call) == when && path.contains("/entries/") {
            let meanwhile = meanwhile.lock().unwrap().take();
            if let Some(meanwhile) = meanwhile {
                meanwhile();
            }
        }
    }));
    let objects = GatedObjects { objects: objects.clone(), gate };
    Catalog::open(Arc::new(objects), options(1)).unwrap()
}

/// Others commit `changes`, take a snapshot, and a day later delete what it replaced.
fn a_day_passes(objects: &MemoryObjects, changes: Vec<Change>) {
    let other = open(objects, 2);
    for change in changes {
        other.commit(change).unwrap();
    }
    assert!(other.maintain().unwrap().snapshot.is_some(), "four entries are enough");
    objects.advance_clock(DAY_NANOS + 1);
    assert!(other.maintain().unwrap().deleted > 0);
}

#[test]
fn a_writer_that_slept_for_a_day_commits_where_it_is_read() {
    let objects = MemoryObjects::new();
    let others = objects.clone();
    let catalog = open_gated(&objects, (Moment::Before, "create"), move || {
        a_day_passes(&others, (2..=6).map(add).collect());
    });
    let committed = catalog.commit(add(1)).unwrap();
    assert_eq!(committed.number, 6, "entry 1 can be created again, and nobody reads it");
    assert_eq!(blocks(&committed.state), [1, 2, 3, 4, 5, 6]);
    assert_eq!(open(&objects, 3).state(), committed.state);
    let reports = inspect(&objects).unwrap();
    let numbers: Vec<u64> = reports[0].entries.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [6], "the entry out of its time is deleted");
}

#[test]
fn an_owner_that_slept_for_a_day_is_fenced() {
    let objects = MemoryObjects::new();
    let others = objects.clone();
    let catalog = open_gated(&objects, (Moment::Before, "create"), move || {
        let other = open(&others, 3);
        let owner = other.take_over(log(1)).unwrap();
        let change = Change { owners: vec![owner], ..seal(log(1), 0, 10, 2) };
        a_day_passes(&others, vec![change, add(3), add(4)]);
    });
    let change = seal(log(1), 0, 10, 1);
    assert_eq!(ignored(catalog.commit(change)), Ignored::NoOwner { log: log(1) });
    let state = open(&objects, 4).state();
    assert_eq!((blocks(&state), catalog.state()), (vec![2, 3, 4], state));
}

#[test]
fn a_writer_that_slept_after_its_commit_finds_it_in_the_snapshot() {
    let objects = MemoryObjects::new();
    let others = objects.clone();
    let catalog = open_gated(&objects, (Moment::After, "create"), move || {
        a_day_passes(&others, (2..=5).map(add).collect());
    });
    let committed = catalog.commit(add(1)).unwrap();
    assert_eq!((committed.number, blocks(&committed.state)), (1, vec![1, 2, 3, 4, 5]));
    assert_eq!(open(&objects, 3).state(), committed.state);
}

#[test]
fn an_entry_that_counts_is_not_taken_for_one_out_of_its_time() {
    let objects = MemoryObjects::new();
    let others = objects.clone();
    let catalog = open_gated(&objects, (Moment::After, "create"), move || {
        let other = open(&others, 2);
        for number in 2..=5 {
            other.commit(add(number)).unwrap();
        }
        assert_eq!(other.maintain().unwrap().snapshot, Some(5));
    });
    assert_eq!(catalog.commit(add(1)).unwrap().number, 1);
    let reports = inspect(&objects).unwrap();
    assert_eq!(reports[0].entries.len(), 5, "it is not deleted");
}

/// A writer that slept for a day creates entry 1 anew and is killed before it looks: that misleads
/// neither who reads nor who commits.
#[test]
fn an_entry_out_of_its_time_misleads_nobody() {
    let objects = MemoryObjects::new();
    let (reader, writer) = (open(&objects, 3), open(&objects, 4));
    a_day_passes(&objects, (2..=6).map(add).collect());
    rules::force(&objects, 1, Vec::new(), add(1));
    assert_eq!(blocks(&reader.refresh().unwrap()), [2, 3, 4, 5, 6]);
    let committed = writer.commit(add(7)).unwrap();
    assert_eq!((committed.number, blocks(&committed.state)), (6, vec![2, 3, 4, 5, 6, 7]));
    assert_eq!(writer.commit(add(1)).unwrap().number, 7, "block 1 was never added");
    assert_eq!(reader.refresh().unwrap(), open(&objects, 5).state());
}

/// As above, between the two looks of a server that starts.
#[test]
fn a_start_that_slept_for_a_day_reads_again() {
    let objects = MemoryObjects::new();
    let others = objects.clone();
    let catalog = open_gated(&objects, (Moment::Before, "get"), move || {
        a_day_passes(&others, (2..=6).map(add).collect());
        rules::force(&others, 1, Vec::new(), add(1));
    });
    assert_eq!((catalog.state().number, blocks(&catalog.state())), (5, vec![2, 3, 4, 5, 6]));
}

#[test]
fn a_snapshot_whose_answer_is_lost_is_there_or_taken_later() {
    for (fault, then) in [(Fault::LostAnswer, None), (Fault::LostRequest, Some(4))] {
        let objects = MemoryObjects::new();
        let counting = FaultyObjects::new(objects.clone(), Plan::default());
        let run = |store: FaultyObjects<MemoryObjects>| {
            let catalog = Catalog::open(Arc::new(store), options(1)).unwrap();
            (1..=4).for_each(|number| drop(catalog.commit(add(number)).unwrap()));
            catalog
        };
        run(counting.clone());
        // The look at the snapshots comes first.
        let plan = Plan::fault_at(counting.calls() + 2, fault);
        let catalog = run(FaultyObjects::new(MemoryObjects::new(), plan));
        assert_eq!(catalog.maintain().unwrap().snapshot, Some(4), "{fault:?}");
        assert_eq!(catalog.maintain().unwrap().snapshot, then, "{fault:?}");
    }
}

#[test]
fn two_that_commit_at_once_both_commit() {
    let objects = MemoryObjects::new();
    let others = objects.clone();
    let catalog = open_gated(&objects, (Moment::Before, "create"), move || {
        open(&others, 2).commit(seal(log(2), 0, 1, 2)).unwrap();
    });
    let committed = catalog.commit(seal(log(1), 0, 1, 1)).unwrap();
    assert_eq!((committed.number, blocks(&committed.state)), (2, vec![1, 2]));
}

#[test]
fn of_two_that_take_over_at_once_the_later_one_owns_the_log() {
    let objects = MemoryObjects::new();
    let others = objects.clone();
    let catalog = open_gated(&objects, (Moment::Before, "create"), move || {
        assert_eq!(open(&others, 2).take_over(log(1)).unwrap().epoch, 1);
    });
    assert_eq!(catalog.take_over(log(1)).unwrap().epoch, 2);
}
