//! The power goes at every step, the program is killed at every step, and every step fails, in
//! every way a disk can.
//!
//! The rules, checked against a ledger of what each call said:
//! - what returned well is there afterwards;
//! - what failed happened wholly or not at all;
//! - what a program saw, whatever failed before, is what every later one sees.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use suyuan_wal::simulated::{Fault, SimulatedDisk, Survival};

use super::contract::some_bytes;
use crate::{Created, LocalObjects, ObjectError, Objects};

/// What the program does to one path.
#[derive(Clone, Copy, Debug)]
enum Act {
    Put(u64),
    Create(u64),
    /// Writes so many pieces of 150 kB.
    Write(u64),
    /// Begins to write and thinks better of it.
    Abandon,
    Delete,
    DeleteFolder,
}

const STORY: [(&str, Act); 16] = [
    ("a/1", Act::Put(1)),
    ("catalog/0/1", Act::Create(2)),
    ("catalog/0/1", Act::Create(3)),
    ("blocks/1/spans", Act::Write(3)),
    ("blocks/1/traces", Act::Put(4)),
    ("catalog/0/2", Act::Create(5)),
    ("a/1", Act::Put(6)),
    ("a/1", Act::Delete),
    ("a/1", Act::Create(7)),
    ("blocks/2/spans", Act::Abandon),
    ("blocks/2/spans", Act::Write(1)),
    ("blocks/1", Act::DeleteFolder),
    ("top", Act::Create(8)),
    ("p/q/r/s", Act::Put(9)),
    ("p/q/t", Act::Create(10)),
    ("catalog/0/3", Act::Create(11)),
];

/// What each path may hold. Several: a call failed, and nobody has looked since.
#[derive(Clone, Default)]
struct Ledger(BTreeMap<String, Vec<Option<Bytes>>>);

impl Ledger {
    fn may_hold(&self, path: &str) -> Vec<Option<Bytes>> {
        self.0.get(path).cloned().unwrap_or_else(|| vec![None])
    }

    /// Afterwards the path holds this, or after a failure what it held before, too.
    fn note(&mut self, path: &str, after: Option<Bytes>, succeeded: bool) {
        let mut may_hold = if succeeded { Vec::new() } else { self.may_hold(path) };
        may_hold.push(after);
        self.0.insert(path.to_owned(), may_hold);
    }

    /// What was seen stays.
    fn look(&mut self, objects: &LocalObjects, story: &str) {
        let listed = objects.list("");
        for (path, may_hold) in &mut self.0 {
            // That the disk cannot read now says nothing about what is there.
            let Ok(found) = objects.get(path) else { continue };
            assert!(may_hold.contains(&found), "{story}: {path} holds something else");
            if let Ok(listed) = &listed {
                let listed = listed.iter().find(|info| info.path == *path).map(|info| info.bytes);
                assert_eq!(
                    listed,
                    found.as_ref().map(|bytes| bytes.len() as u64),
                    "{story}: {path}"
                );
            }
            *may_hold = vec![found];
        }
        for info in listed.into_iter().flatten() {
            assert!(self.0.contains_key(&info.path), "{story}: nobody wrote {}", info.path);
        }
    }
}

fn act(objects: &LocalObjects, ledger: &mut Ledger, path: &str, act: Act, story: &str) {
    match act {
        Act::Put(seed) => {
            let bytes = some_bytes(seed, 700);
            let done = objects.put(path, bytes.clone());
            ledger.note(path, Some(bytes), done.is_ok());
        }
        Act::Create(seed) => {
            let bytes = some_bytes(seed, 1200);
            let is_free = ledger.may_hold(path).contains(&None);
            match objects.create(path, bytes.clone()) {
                Ok(Created::New) => {
                    assert!(is_free, "{story}: {path} was created over another object");
                    ledger.note(path, Some(bytes), true);
                }
                Ok(Created::Exists) => {
                    let mut may_hold = ledger.may_hold(path);
                    may_hold.retain(Option::is_some);
                    assert!(!may_hold.is_empty(), "{story}: {path} cannot exist");
                    ledger.0.insert(path.to_owned(), may_hold);
                }
                Err(ObjectError::Unsettled { .. }) if is_free => {
                    ledger.note(path, Some(bytes), false);
                }
                // Whatever else failed had no effect, and this test holds it to that.
                Err(_) => {}
            }
        }
        Act::Write(pieces) => {
            let bytes = some_bytes(pieces, 150_000 * pieces as usize);
            let written = (|| -> Result<u64, String> {
                let mut writer = objects.writer(path).map_err(|error| error.to_string())?;
                for piece in bytes.chunks(150_000) {
                    writer.write_all(piece).map_err(|error| error.to_string())?;
                }
                writer.finish().map_err(|error| error.to_string())
            })();
            ledger.note(path, Some(bytes), written.is_ok());
        }
        Act::Abandon => {
            if let Ok(mut writer) = objects.writer(path) {
                // Either way nothing remains.
                let _ = writer.write_all(&[1; 300_000]);
            }
        }
        Act::Delete => {
            let done = objects.delete(path);
            ledger.note(path, None, done.is_ok());
        }
        Act::DeleteFolder => {
            let done = objects.delete_folder(path);
            let below = format!("{path}/");
            let paths: Vec<_> =
                ledger.0.keys().filter(|path| path.starts_with(&below)).cloned().collect();
            for path in paths {
                ledger.note(&path, None, done.is_ok());
            }
        }
    }
}

/// Runs the story until the power goes. Looks after each act, if it is to.
fn run(disk: &SimulatedDisk, look: Look, story: &str) -> Ledger {
    let mut ledger = Ledger::default();
    let Ok(objects) = LocalObjects::open(Arc::new(disk.inside("objects"))) else { return ledger };
    for (path, what) in STORY {
        act(&objects, &mut ledger, path, what, story);
        if !disk.is_on() {
            break;
        }
        if look == Look::AfterEachAct {
            ledger.look(&objects, story);
        }
    }
    ledger
}

#[derive(Clone, Copy, PartialEq)]
enum Look {
    AfterEachAct,
    Never,
}

/// Starts again and looks; is cut again at once, starts again and sees the same.
fn check_after(disk: &SimulatedDisk, survival: Survival, ledger: &Ledger, story: &str) {
    let (disk, mut ledger) = (disk.fork(), ledger.clone());
    disk.restart(survival);
    for start in ["first start", "second start"] {
        let story = format!("{story}, {survival:?}, {start}");
        let objects = LocalObjects::open(Arc::new(disk.inside("objects"))).unwrap();
        ledger.look(&objects, &story);
        let names = objects.list("").unwrap();
        assert!(names.iter().all(|info| !info.path.contains("/.")), "{story}");
        disk.restart(Survival::Nothing);
    }
}

const DISK_BYTES: u64 = 10_000_000;

fn survivals(seed: u64) -> impl Iterator<Item = Survival> {
    let some = (0..4).map(move |n| Survival::Some(seed * 4 + n));
    [Survival::Nothing, Survival::Everything].into_iter().chain(some)
}

fn steps_of_the_story() -> u64 {
    let disk = SimulatedDisk::new(DISK_BYTES, 1);
    let ledger = run(&disk, Look::Never, "undisturbed");
    check_after(&disk, Survival::Nothing, &ledger, "undisturbed");
    let kept = ledger.0.values().filter(|may_hold| may_hold[0].is_some()).count();
    assert_eq!(kept, 8, "the story ends with eight objects");
    disk.steps()
}

#[test]
fn power_cut_at_every_step() {
    let steps = steps_of_the_story();
    let mut cuts = 0;
    for step in 1..=steps {
        let disk = SimulatedDisk::new(DISK_BYTES, step);
        disk.cut_power_at(step);
        let ledger = run(&disk, Look::Never, "cut");
        assert!(!disk.is_on(), "step {step}");
        for survival in survivals(step) {
            check_after(&disk, survival, &ledger, &format!("cut at step {step}"));
            cuts += 1;
        }
    }
    println!("{steps} steps, {cuts} power cuts");
    assert!(steps > 80, "{steps}");
}

#[test]
fn every_step_fails() {
    let steps = steps_of_the_story();
    let faults = [Fault::Io, Fault::Full, Fault::Sync, Fault::ShortWrite(100)];
    let mut failed = 0;
    for step in 1..=steps {
        for fault in faults {
            for look in [Look::AfterEachAct, Look::Never] {
                let story = format!("{fault:?} at step {step}");
                let disk = SimulatedDisk::new(DISK_BYTES, step);
                disk.fail_at(step, fault);
                let ledger = run(&disk, look, &story);
                for survival in survivals(step) {
                    check_after(&disk, survival, &ledger, &story);
                }
                failed += 1;
            }
        }
    }
    println!("{steps} steps, {failed} faults");
}

#[test]
fn a_full_disk_says_so() {
    let disk = SimulatedDisk::new(1000, 1);
    let objects = LocalObjects::open(Arc::new(disk.inside("objects"))).unwrap();
    objects.put("a", some_bytes(1, 900)).unwrap();
    let full = |error: ObjectError| matches!(error, ObjectError::Full { .. });
    assert!(objects.put("b", some_bytes(2, 200)).is_err_and(full));
    assert!(objects.create("b", some_bytes(2, 200)).is_err_and(full));
    assert_eq!(objects.list("").unwrap().len(), 1);
    objects.delete("a").unwrap();
    objects.put("b", some_bytes(2, 200)).unwrap();
}
