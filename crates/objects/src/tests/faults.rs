//! The store that fails does what its plan says, and nothing a real store could not do.

use std::io::Write;

use bytes::Bytes;

use crate::faulty::{Fault, FaultyObjects, MemoryObjects, Plan};
use crate::{Created, ObjectError, Objects};

fn with(fault: Fault) -> (MemoryObjects, FaultyObjects<MemoryObjects>) {
    let store = MemoryObjects::new();
    (store.clone(), FaultyObjects::new(store, Plan::fault_at(1, fault)))
}

fn bytes() -> Bytes {
    Bytes::from_static(b"bytes")
}

#[test]
fn create_says_what_the_plan_says() {
    let outcome = |fault| {
        let (store, faulty) = with(fault);
        let said = match faulty.create("a", bytes()) {
            Ok(created) => format!("{created:?}"),
            Err(ObjectError::Unsettled { .. }) => "unsettled".to_owned(),
            Err(_) => "failed".to_owned(),
        };
        (said, store.get("a").unwrap().is_some())
    };
    assert_eq!(outcome(Fault::Refused), ("failed".to_owned(), false));
    assert_eq!(outcome(Fault::LostRequest), ("unsettled".to_owned(), false));
    assert_eq!(outcome(Fault::LostAnswer), ("unsettled".to_owned(), true));
    assert_eq!(outcome(Fault::Repeated), ("Exists".to_owned(), true));
    assert_eq!(outcome(Fault::Late(1)), ("unsettled".to_owned(), false));
}

#[test]
fn a_late_request_arrives_between_later_ones() {
    let (store, faulty) = with(Fault::Late(2));
    faulty.create("a", bytes()).unwrap_err();
    faulty.put("b", bytes()).unwrap();
    assert_eq!(faulty.get("a").unwrap(), None);
    assert_eq!(faulty.create("a", Bytes::new()).unwrap(), Created::Exists);
    assert_eq!(store.get("a").unwrap(), Some(bytes()));
}

#[test]
fn a_late_creation_replaces_nothing() {
    let (store, faulty) = with(Fault::Late(2));
    faulty.create("a", bytes()).unwrap_err();
    assert_eq!(faulty.create("a", Bytes::new()).unwrap(), Created::New);
    faulty.delete("b").unwrap();
    assert_eq!(store.get("a").unwrap(), Some(Bytes::new()));
}

#[test]
fn other_calls_fail_with_or_without_effect() {
    for (fault, has_effect) in
        [(Fault::Refused, false), (Fault::LostRequest, false), (Fault::LostAnswer, true)]
    {
        let (store, faulty) = with(fault);
        faulty.put("a", bytes()).unwrap_err();
        assert_eq!(store.get("a").unwrap().is_some(), has_effect, "{fault:?}");

        let (store, faulty) = with(fault);
        let mut writer = faulty.writer("a").unwrap();
        writer.write_all(b"bytes").unwrap();
        writer.finish().unwrap_err();
        assert_eq!(store.get("a").unwrap().is_some(), has_effect, "{fault:?}");

        let (store, faulty) = with(fault);
        store.put("a", bytes()).unwrap();
        faulty.delete("a").unwrap_err();
        assert_eq!(store.get("a").unwrap().is_none(), has_effect, "{fault:?}");

        let (store, faulty) = with(fault);
        store.put("a", bytes()).unwrap();
        faulty.get_range("a", 0..5).unwrap_err();
        assert_eq!(faulty.get_range("a", 0..5).unwrap(), bytes());
        assert_eq!(faulty.faults().values().sum::<u64>(), 1);
    }
}

#[test]
fn a_stopped_program_reaches_nothing() {
    for takes_effect in [false, true] {
        let store = MemoryObjects::new();
        let faulty = FaultyObjects::new(store.clone(), Plan::stop_at(2, takes_effect));
        faulty.put("a", bytes()).unwrap();
        faulty.create("b", bytes()).unwrap_err();
        assert!(faulty.is_stopped());
        faulty.put("c", bytes()).unwrap_err();
        faulty.get("a").unwrap_err();
        let left = store.list("").unwrap();
        assert_eq!(left.len(), 1 + usize::from(takes_effect));
    }
}

/// One who reads back when in doubt creates every object exactly once.
#[test]
fn random_faults_are_settled_by_reading_back() {
    let mut faults = 0;
    for seed in 0..200 {
        let store = MemoryObjects::new();
        let faulty = FaultyObjects::new(store.clone(), Plan::random(seed, 3));
        for number in 0..30 {
            let (path, own) = (format!("log/{number}"), Bytes::from(format!("own {number}")));
            loop {
                match faulty.create(&path, own.clone()) {
                    Ok(Created::New) => break,
                    Ok(Created::Exists) | Err(ObjectError::Unsettled { .. }) => {}
                    Err(_) => continue,
                }
                if let Ok(Some(found)) = faulty.get(&path) {
                    assert_eq!(found, own, "seed {seed}");
                    break;
                }
            }
        }
        assert_eq!(store.list("log").unwrap().len(), 30, "seed {seed}");
        faults += faulty.faults().values().sum::<u64>();
    }
    println!("{faults} faults");
    assert!(faults > 1000, "{faults}");
}
