//! Messages that one trace sent and another will read.
//!
//! In: letters as traces publish them. Out: those of one group of readers that were sent before a
//! moment. Holds at most `LETTERS_MAX` per group: what nobody reads in time is thrown away, oldest
//! first, and only costs a link.

use std::collections::VecDeque;

use suyuan_ids::{SpanId, TraceId};

const LETTERS_MAX: usize = 256;

/// A Kafka message for one group of readers, with the span that sent it.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) group: &'static str,
    pub(crate) topic: &'static str,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) trace_state: &'static str,
    pub(crate) partition: u64,
    pub(crate) offset: u64,
    pub(crate) sent_unix_nanos: u64,
}

/// One queue per group, in the order in which the groups first got something.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    queues: Vec<(&'static str, VecDeque<Letter>)>,
}

impl Mailbox {
    pub(crate) fn put(&mut self, letter: Letter) {
        let group = letter.group;
        let index = self.queues.iter().position(|(name, _)| *name == group).unwrap_or_else(|| {
            self.queues.push((group, VecDeque::new()));
            self.queues.len() - 1
        });
        let queue = &mut self.queues[index].1;
        if queue.len() == LETTERS_MAX {
            queue.pop_front();
        }
        queue.push_back(letter);
    }

    /// Up to `n_max` letters for `group` of one topic, sent before `now_unix_nanos`.
    pub(crate) fn take(&mut self, group: &str, n_max: usize, now_unix_nanos: u64) -> Vec<Letter> {
        let Some((_, queue)) = self.queues.iter_mut().find(|(name, _)| *name == group) else {
            return Vec::new();
        };
        let Some(topic) = queue.front().map(|letter| letter.topic) else { return Vec::new() };
        let n_ready = queue
            .iter()
            .take(n_max)
            .take_while(|letter| letter.topic == topic && letter.sent_unix_nanos < now_unix_nanos)
            .count();
        queue.drain(..n_ready).collect()
    }
}
