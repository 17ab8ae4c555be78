//! Lets one of several threads go at a time, in an order that a seed decides. So a history of many
//! actors is the same at every run, and any of them can be made to sleep between any two calls.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::random::Random;

/// One in so many turns, an actor falls asleep instead.
const SLEEPS_ONE_IN: u64 = 40;

/// Turns that it then sleeps, at most.
const SLEEP_TURNS_MAX: u64 = 150;

pub(super) struct Turnstile {
    turns: Mutex<Turns>,
    changed: Vec<Condvar>,
}

struct Turns {
    random: Random,
    actors: Vec<Actor>,
    turn: Option<usize>,
    n_turns: u64,
}

#[derive(Clone, Copy)]
struct Actor {
    place: Place,
    sleeps_until: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Running,
    Waiting,
    Gone,
}

impl Turnstile {
    pub(super) fn new(actors: usize, random: Random) -> Self {
        let actor = Actor { place: Place::Running, sleeps_until: 0 };
        let turns = Turns { random, actors: vec![actor; actors], turn: None, n_turns: 0 };
        Self { turns: Mutex::new(turns), changed: (0..actors).map(|_| Condvar::new()).collect() }
    }

    /// Waits for the actor's turn. It lasts until it waits again or leaves.
    pub(super) fn wait(&self, actor: usize) {
        let mut turns = self.turns();
        turns.actors[actor].place = Place::Waiting;
        self.hand_over(&mut turns);
        while turns.turn != Some(actor) {
            turns = self.changed[actor].wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
        turns.turn = None;
        turns.actors[actor].place = Place::Running;
    }

    /// The actor does not come again.
    pub(super) fn leave(&self, actor: usize) {
        let mut turns = self.turns();
        turns.actors[actor].place = Place::Gone;
        self.hand_over(&mut turns);
    }

    fn hand_over(&self, turns: &mut Turns) {
        if let Some(next) = turns.next() {
            turns.turn = Some(next);
            self.changed[next].notify_one();
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    /// Whose turn it is, once nobody runs any more.
    fn next(&mut self) -> Option<usize> {
        if self.actors.iter().any(|actor| actor.place == Place::Running) {
            return None;
        }
        loop {
            self.n_turns += 1;
            let waiting = self.actors.iter().enumerate();
            let waiting = waiting.filter(|(_, actor)| actor.place == Place::Waiting);
            let awake: Vec<usize> = waiting
                .clone()
                .filter(|(_, actor)| actor.sleeps_until <= self.n_turns)
                .map(|(index, _)| index)
                .collect();
            if awake.is_empty() {
                let first = waiting.min_by_key(|(_, actor)| actor.sleeps_until)?;
                self.n_turns = first.1.sleeps_until;
                continue;
            }
            let next = awake[self.random.below(awake.len() as u64) as usize];
            if self.random.below(SLEEPS_ONE_IN) > 0 {
                return Some(next);
            }
            let turns = 1 + self.random.below(SLEEP_TURNS_MAX);
            self.actors[next].sleeps_until = self.n_turns + turns;
        }
    }
}
