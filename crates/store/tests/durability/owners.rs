//! Several servers on one object store.
//!
//! With logs of their own they all commit and all see everything; of two on the same log the one
//! that was there first has lost the right to commit, however late it wakes.
//!
//! `SUYUAN_OWNERS_SEED` repeats a run of random steps.

use std::sync::Arc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use suyuan_objects::faulty::{Fault, FaultyObjects, MemoryObjects, Plan};
use suyuan_objects::{Objects, S3Objects, S3Options};
use suyuan_testkit::fake_s3::{ACCESS_KEY_ID, BUCKET, FakeS3, SECRET_ACCESS_KEY};
use suyuan_testkit::random::Random;
use suyuan_wal::simulated::SimulatedDisk;

use crate::ledger::{Counts, Ledger, catalog_state};
use crate::machine::Machine;
use crate::story::DAY_NANOS;

const DISK_BYTES: u64 = 64 << 20;
/// Between the first request numbers of two servers.
const NUMBERS_PER_SERVER: u64 = 10_000;
/// Attempts of a step where one call in so many fails.
const RANDOM_ATTEMPTS: u32 = 400;
const RANDOM_ONE_IN: u64 = 10;
const RANDOM_RUNS: u64 = 8;
const RANDOM_STEPS: u64 = 60;
/// What each of two servers does at once.
const ROUNDS: u64 = 5;

/// A server with a log of its own, what it was sent, and its next request.
struct Server {
    machine: Machine,
    ledger: Ledger,
    number: u64,
}

impl Server {
    fn start(place: u64, objects: Arc<dyn Objects>) -> Self {
        let disk = Arc::new(SimulatedDisk::new(DISK_BYTES, place + 1));
        let machine = again(|| Machine::start(disk.clone(), objects.clone()));
        Self { machine, ledger: Ledger::default(), number: place * NUMBERS_PER_SERVER }
    }

    fn send(&mut self) {
        let answer = self.machine.send(self.number);
        assert_eq!(answer, Ok(()), "a sound log takes everything");
        self.ledger.note(self.number, &answer);
        self.number += 1;
    }

    /// One step, as the dice fall. Failures are those of the object store.
    fn step(&mut self, random: &mut Random) -> Result<(), String> {
        match random.below(10) {
            0..4 => self.send(),
            4 | 5 => self.machine.cut(),
            6 | 7 => drop(self.machine.seal()?),
            8 => drop(self.machine.compact()?),
            _ => self.machine.keep()?,
        }
        Ok(())
    }
}

/// Until it works.
fn again<T>(step: impl Fn() -> Result<T, String>) -> T {
    let mut attempts = (0..RANDOM_ATTEMPTS).map(|_| step());
    attempts.find_map(Result::ok).expect("a step works at last")
}

/// What all of them were sent: in blocks, and seen by each of them.
fn check_all(servers: &[Server], objects: &Arc<dyn Objects>, story: &str) -> Counts {
    let mut ledger = Ledger::default();
    for server in servers {
        again(|| server.machine.flush());
        ledger.join(&server.ledger);
    }
    let mut counts = Counts::default();
    for server in servers {
        // What the others committed last.
        again(|| server.machine.keep());
        counts = ledger.check(&server.machine.store, objects, false, story);
        assert_eq!(counts.block_rows, counts.acknowledged, "{story}: everything is in blocks");
    }
    // A start that failed may have named a log that was never written.
    assert!(catalog_state(objects).logs.len() >= servers.len(), "{story}");
    counts
}

#[test]
fn two_servers_by_turns_on_a_store_that_fails() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let seed = std::env::var("SUYUAN_OWNERS_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let first = seed.unwrap_or(now.as_nanos() as u64);
    let (mut counts, mut n_failed) = (Counts::default(), 0);
    for seed in first..first + RANDOM_RUNS {
        let story = format!("SUYUAN_OWNERS_SEED={seed}");
        println!("{story}");
        let memory = MemoryObjects::new();
        let network = |place| Plan::random(seed.wrapping_mul(2) + place, RANDOM_ONE_IN);
        let mut servers = [0, 1].map(|place| {
            Server::start(place, Arc::new(FaultyObjects::new(memory.clone(), network(place))))
        });
        let mut random = Random::new(seed);
        for _ in 0..RANDOM_STEPS {
            let server = &mut servers[random.below(2) as usize];
            n_failed += u64::from(server.step(&mut random).is_err());
            if random.one_in(20) {
                memory.advance_clock(DAY_NANOS);
            }
        }
        let objects: Arc<dyn Objects> = Arc::new(memory);
        counts.add(&check_all(&servers, &objects, &story));
    }
    assert!(n_failed > 0, "nothing failed: nothing was tested");
    println!("{RANDOM_RUNS} runs, {n_failed} steps failed: {counts:?}");
}

/// Both send, seal, compact and clean up as fast as they can.
fn two_at_once(objects: &Arc<dyn Objects>) {
    let mut servers = [0, 1].map(|place| Server::start(place, objects.clone()));
    thread::scope(|scope| {
        for server in &mut servers {
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    server.send();
                    server.send();
                    again(|| server.machine.flush());
                    again(|| server.machine.compact());
                    again(|| server.machine.keep());
                }
            });
        }
    });
    let counts = check_all(&servers, objects, "two at once");
    eprintln!("{} blocks: {counts:?}", catalog_state(objects).blocks.len());
}

#[test]
fn two_servers_at_once_in_memory() {
    two_at_once(&(Arc::new(MemoryObjects::new()) as Arc<dyn Objects>));
}

#[test]
fn two_servers_at_once_on_s3() {
    let fake = FakeS3::start();
    let options = S3Options {
        endpoint: Some(fake.endpoint()),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some(ACCESS_KEY_ID.to_owned()),
        secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()),
        allow_http: true,
        ..S3Options::for_bucket(BUCKET)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let objects = S3Objects::new(&options, runtime.handle().clone()).expect("good options");
    two_at_once(&(Arc::new(objects) as Arc<dyn Objects>));
    println!("{} requests to the store", fake.requests());
}

/// How far the new owner gets before the old one wakes.
#[derive(Clone, Copy, Debug)]
enum Takeover {
    /// It has only said that the log is its own.
    Fresh,
    /// It has sealed, and entries of the old one's time are deleted.
    LongAgo,
}

/// A server stops in the middle of a seal; another one takes its log over; the first goes on.
/// Returns how many calls of the store the seal began and ended with.
fn paused_owner(fault: Option<(u64, Fault)>, takeover: Takeover) -> (u64, u64) {
    let story = format!("{fault:?}, {takeover:?}");
    let memory = MemoryObjects::new();
    let objects: Arc<dyn Objects> = Arc::new(memory.clone());
    let plan = fault.map_or(Plan::default(), |(call, fault)| Plan::fault_at(call, fault));
    let network = FaultyObjects::new(memory.clone(), plan);
    let disk = SimulatedDisk::new(DISK_BYTES, 1);
    let mut ledger = Ledger::default();
    let old = Machine::start(Arc::new(disk.clone()), Arc::new(network.clone()));
    let old = old.expect("a server starts");
    for number in 0..3 {
        ledger.note(number, &old.send(number));
    }
    old.cut();
    let begin = network.calls();
    let is_sealed = old.seal().is_ok();
    let calls = (begin, network.calls());

    let new = Machine::start(Arc::new(disk.fork()), objects.clone()).expect("another starts");
    if matches!(takeover, Takeover::LongAgo) {
        let old_number = catalog_state(&objects).number;
        for number in 10..18 {
            ledger.note(number, &new.send(number));
            new.flush().expect("it is the owner");
        }
        for _ in 0..2 {
            memory.advance_clock(DAY_NANOS);
            new.keep().expect("a sound store");
        }
        let entries = objects.list("catalog/0/entries").expect("a store in memory can be listed");
        let first = entries.first().map(|entry| entry.path.clone()).unwrap_or_default();
        let number = first.rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
        assert!(number.is_none_or(|number| number > old_number), "{story}: first entry {first}");
    }
    ledger.check(&new.store, &objects, false, &story);
    let before = catalog_state(&objects);

    // The old one wakes, and learns that it is not the owner, if it has anything to commit.
    let woken = old.seal();
    assert_eq!(woken.is_ok(), is_sealed, "{story}: {woken:?}");
    // Its log goes on without anybody's knowledge: it must not take the other's progress for its own.
    old.send(NUMBERS_PER_SERVER).expect("its log is sound");
    let told = old.flush().expect_err("its right is gone");
    assert!(told.contains("taken over"), "{story}: {told}");

    let after = catalog_state(&objects);
    assert_eq!(after.blocks, before.blocks, "{story}: nothing it wrote counts");
    assert_eq!(after.logs, before.logs, "{story}");
    new.flush().expect("it is the owner still");
    new.keep().expect("a sound store");
    ledger.check(&new.store, &objects, false, &story);
    calls
}

#[test]
fn a_paused_owner_wakes_after_the_takeover() {
    let (mut n_wakes, faults) = (
        0,
        [Fault::Refused, Fault::LostRequest, Fault::LostAnswer, Fault::Late(1), Fault::Late(2)],
    );
    for takeover in [Takeover::Fresh, Takeover::LongAgo] {
        let (begin, end) = paused_owner(None, takeover);
        for call in begin + 1..=end {
            for fault in faults {
                paused_owner(Some((call, fault)), takeover);
                n_wakes += 1;
            }
        }
    }
    println!("{n_wakes} owners woke after the takeover");
}
