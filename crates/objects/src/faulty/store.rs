//! A store before another one that loses answers, times out, and stops.
//!
//! In: a plan, by the number of the call or by a seed. Out: the other store's answers, or errors as
//! a network makes them. Never: half an object, a wrong byte, or an answer that a real store could
//! not give.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::{Created, ObjectError, ObjectInfo, ObjectWriter, Objects};

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The store refuses with a 5xx, again and again: no effect, an error that says so, for
    /// `create` too.
    Refused,
    /// The request never arrives: no effect, and an error; of `create`, `Unsettled`.
    LostRequest,
    /// The request takes effect and its answer is lost: an error; of `create`, `Unsettled`.
    LostAnswer,
    /// As `LostAnswer`, but asked again beneath the caller: `create` says that its own object
    /// exists. Any other call succeeds.
    Repeated,
    /// The request is on its way when the caller gives up: an error, of `create` `Unsettled`, and
    /// the effect comes right before so many further changing calls have been made. Calls other
    /// than `put` and `create` are lost.
    Late(u64),
}

/// Which calls go wrong. Calls are counted from 1; a writer is one call, made when it finishes.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What happens to which call.
    pub faults: BTreeMap<u64, Fault>,
    /// From this call on the program cannot reach the store; this one may or may not take effect.
    pub stop_at: Option<Stop>,
    /// Faults at random besides.
    pub random: Option<RandomFaults>,
}

/// The program is killed in the middle of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The number of the call.
    pub call: u64,
    /// Whether it takes effect.
    pub takes_effect: bool,
}

/// One call in so many goes wrong, in a way that the seed decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomFaults {
    /// Another seed, other faults.
    pub seed: u64,
    /// One in so many calls. 1 is every call, 0 is none.
    pub one_in: u64,
}

impl Plan {
    /// One call goes wrong.
    pub fn fault_at(call: u64, fault: Fault) -> Self {
        Self { faults: BTreeMap::from([(call, fault)]), ..Self::default() }
    }

    /// One call is the program's last.
    pub fn stop_at(call: u64, takes_effect: bool) -> Self {
        Self { stop_at: Some(Stop { call, takes_effect }), ..Self::default() }
    }

    /// One call in so many goes wrong.
    pub fn random(seed: u64, one_in: u64) -> Self {
        Self { random: Some(RandomFaults { seed, one_in }), ..Self::default() }
    }
}

/// The store that fails. A clone is another handle to it, with the same plan and counts. Several
/// servers on one store have one each, around clones of the other store.
#[derive(Clone)]
pub struct FaultyObjects<O> {
    objects: O,
    state: Arc<Mutex<State>>,
}

struct State {
    plan: Plan,
    random: u64,
    calls: u64,
    counts: BTreeMap<&'static str, u64>,
    is_stopped: bool,
    on_their_way: Vec<Late>,
}

/// A request that the caller has given up.
struct Late {
    changes_before: u64,
    path: String,
    bytes: Bytes,
    is_create: bool,
}

/// What becomes of a call.
enum Verdict {
    Passes,
    Fails(Fault),
    Stops { takes_effect: bool },
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Read,
    Change,
}

impl<O: Objects> FaultyObjects<O> {
    /// Puts a plan before a store.
    pub fn new(objects: O, plan: Plan) -> Self {
        let state = State {
            random: plan.random.map_or(0, |random| random.seed),
            plan,
            calls: 0,
            counts: BTreeMap::new(),
            is_stopped: false,
            on_their_way: Vec::new(),
        };
        Self { objects, state: Arc::new(Mutex::new(state)) }
    }

    /// Goes on by another plan; calls are still counted from the first one.
    pub fn set_plan(&self, plan: Plan) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.random = plan.random.map_or(0, |random| random.seed);
        state.plan = plan;
    }

    /// How many calls were made so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How often which fault happened, by name.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.state().counts.clone()
    }

    /// Whether the plan's end was reached.
    pub fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and decides about it. Requests on their way arrive first when their time has
    /// come.
    fn begin(&self, kind: Kind) -> Result<Verdict, io::Error> {
        let (verdict, arriving) = {
            let mut state = self.state();
            if state.is_stopped {
                return Err(io::Error::other("the store cannot be reached any more"));
            }
            let arriving = if kind == Kind::Change { state.arriving() } else { Vec::new() };
            (state.decide(), arriving)
        };
        for late in arriving {
            // Whatever this says, nobody is waiting for it.
            let _ = if late.is_create {
                self.objects.create(&late.path, late.bytes).map(|_| ())
            } else {
                self.objects.put(&late.path, late.bytes)
            };
        }
        Ok(verdict)
    }

    fn read<T>(
        &self,
        path: &str,
        read: impl FnOnce() -> Result<T, ObjectError>,
    ) -> Result<T, ObjectError> {
        let failed = |source| ObjectError::failed("read", path, source);
        match self.begin(Kind::Read).map_err(failed)? {
            Verdict::Passes | Verdict::Fails(Fault::Repeated) => read(),
            Verdict::Fails(fault) => Err(failed(error_of(fault))),
            Verdict::Stops { .. } => Err(failed(timed_out())),
        }
    }

    fn change<T>(
        &self,
        action: &'static str,
        path: &str,
        change: impl FnOnce() -> Result<T, ObjectError>,
    ) -> Result<T, ObjectError> {
        let failed = |source| ObjectError::failed(action, path, source);
        match self.begin(Kind::Change).map_err(failed)? {
            Verdict::Passes | Verdict::Fails(Fault::Repeated) => change(),
            Verdict::Fails(Fault::LostAnswer) | Verdict::Stops { takes_effect: true } => {
                change()?;
                Err(failed(timed_out()))
            }
            Verdict::Fails(fault) => Err(failed(error_of(fault))),
            Verdict::Stops { takes_effect: false } => Err(failed(timed_out())),
        }
    }

    fn postpone(&self, changes_before: u64, path: &str, bytes: Bytes, is_create: bool) {
        let late = Late { changes_before, path: path.to_owned(), bytes, is_create };
        self.state().on_their_way.push(late);
    }
}

impl State {
    fn arriving(&mut self) -> Vec<Late> {
        for late in &mut self.on_their_way {
            late.changes_before = late.changes_before.saturating_sub(1);
        }
        self.on_their_way.extract_if(.., |late| late.changes_before == 0).collect()
    }

    fn decide(&mut self) -> Verdict {
        self.calls += 1;
        if let Some(stop) = self.plan.stop_at
            && self.calls >= stop.call
        {
            self.is_stopped = true;
            return Verdict::Stops { takes_effect: stop.takes_effect };
        }
        let fault = self.plan.faults.get(&self.calls).copied().or_else(|| self.random_fault());
        let Some(fault) = fault else { return Verdict::Passes };
        *self.counts.entry(name(fault)).or_default() += 1;
        Verdict::Fails(fault)
    }

    fn random_fault(&mut self) -> Option<Fault> {
        let one_in = self.plan.random?.one_in;
        if one_in == 0 || !self.next_random().is_multiple_of(one_in) {
            return None;
        }
        Some(match self.next_random() % 5 {
            0 => Fault::Refused,
            1 => Fault::LostRequest,
            2 => Fault::LostAnswer,
            3 => Fault::Repeated,
            _ => Fault::Late(1 + self.next_random() % 4),
        })
    }

    /// SplitMix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl<O: Objects + Clone + 'static> Objects for FaultyObjects<O> {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
        let failed = |source| ObjectError::failed("write", path, source);
        match self.begin(Kind::Change).map_err(failed)? {
            Verdict::Passes | Verdict::Fails(Fault::Repeated) => self.objects.put(path, bytes),
            Verdict::Fails(Fault::LostAnswer) | Verdict::Stops { takes_effect: true } => {
                self.objects.put(path, bytes)?;
                Err(failed(timed_out()))
            }
            Verdict::Fails(Fault::Late(changes_before)) => {
                self.postpone(changes_before, path, bytes, false);
                Err(failed(timed_out()))
            }
            Verdict::Fails(fault) => Err(failed(error_of(fault))),
            Verdict::Stops { takes_effect: false } => Err(failed(timed_out())),
        }
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, ObjectError> {
        let unsettled = Err(ObjectError::unsettled(path, timed_out()));
        let failed = |source| ObjectError::failed("create", path, source);
        match self.begin(Kind::Change).map_err(failed)? {
            Verdict::Passes => self.objects.create(path, bytes),
            Verdict::Fails(Fault::Refused) => Err(failed(error_of(Fault::Refused))),
            Verdict::Fails(Fault::Repeated) => {
                self.objects.create(path, bytes)?;
                Ok(Created::Exists)
            }
            Verdict::Fails(Fault::LostAnswer) | Verdict::Stops { takes_effect: true } => {
                self.objects.create(path, bytes)?;
                unsettled
            }
            Verdict::Fails(Fault::Late(changes_before)) => {
                self.postpone(changes_before, path, bytes, true);
                unsettled
            }
            Verdict::Fails(Fault::LostRequest) | Verdict::Stops { takes_effect: false } => {
                unsettled
            }
        }
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>, ObjectError> {
        let inner = self.objects.writer(path)?;
        Ok(Box::new(FaultyWriter { objects: self.clone(), path: path.to_owned(), inner }))
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, ObjectError> {
        self.read(path, || self.objects.get(path))
    }

    fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ObjectError> {
        self.read(path, || self.objects.get_ranges(path, ranges))
    }

    fn head(&self, path: &str) -> Result<Option<ObjectInfo>, ObjectError> {
        self.read(path, || self.objects.head(path))
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.read(folder, || self.objects.list(folder))
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        self.change("delete", path, || self.objects.delete(path))
    }

    fn delete_folder(&self, folder: &str) -> Result<(), ObjectError> {
        self.change("delete", folder, || self.objects.delete_folder(folder))
    }

    fn now_unix_nanos(&self) -> Result<u64, ObjectError> {
        self.read("clock", || self.objects.now_unix_nanos())
    }
}

struct FaultyWriter<O> {
    objects: FaultyObjects<O>,
    path: String,
    inner: Box<dyn ObjectWriter>,
}

impl<O: Objects> Write for FaultyWriter<O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<O: Objects> ObjectWriter for FaultyWriter<O> {
    fn finish(self: Box<Self>) -> Result<u64, ObjectError> {
        let Self { objects, path, inner } = *self;
        objects.change("write", &path, || inner.finish())
    }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Refused => "refused",
        Fault::LostRequest => "lost request",
        Fault::LostAnswer => "lost answer",
        Fault::Repeated => "repeated",
        Fault::Late(_) => "late",
    }
}

fn error_of(fault: Fault) -> io::Error {
    match fault {
        Fault::Refused => io::Error::other("503 slow down"),
        _ => timed_out(),
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer")
}
