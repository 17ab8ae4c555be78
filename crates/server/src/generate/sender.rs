//! One connection: takes the next request when it is due, sends it, tries again if that helps.
//!
//! In: the queue of requests. Out: counts, and the traces that were acknowledged wholly. While a
//! request waits for its retry, the connection sends nothing else, as an SDK's exporter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc, watch};

use super::Patience;
use super::answer::{Answer, Verdict};
use super::follow::Following;
use super::source::Outgoing;
use super::tally::Tally;
use super::target::Target;
use super::verify::Acknowledged;

pub(super) struct Sender {
    pub(super) target: Target,
    pub(super) patience: Patience,
    pub(super) tally: Arc<Tally>,
    pub(super) following: Arc<Following>,
    pub(super) acknowledged: Option<mpsc::Sender<Acknowledged>>,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Sender {
    /// Sends until the queue ends or somebody says stop.
    pub(super) async fn run(mut self, requests: Arc<Mutex<mpsc::Receiver<Outgoing>>>) {
        loop {
            let next = requests.lock().await.recv().await;
            let Some(outgoing) = next else { return };
            let due_at = outgoing.due_at.unwrap_or_else(Instant::now);
            if self.wait_until(due_at).await == Waited::Stopped {
                requests.lock().await.close();
                return;
            }
            self.send(outgoing, due_at).await;
        }
    }

    async fn wait_until(&mut self, due_at: Instant) -> Waited {
        if *self.stopped.borrow() {
            return Waited::Stopped;
        }
        tokio::select! {
            () = tokio::time::sleep_until(due_at.into()) => Waited::Due,
            () = stop(&mut self.stopped) => Waited::Stopped,
        }
    }

    async fn send(&mut self, outgoing: Outgoing, due_at: Instant) {
        if outgoing.is_after_closing {
            self.tally.note_closing();
        }
        self.tally.count_sent(outgoing.n_spans);
        let answer = self.attempts(&outgoing).await;
        let Verdict::Accepted { n_spans_refused } = answer.verdict else {
            self.tally.count_failed(outgoing.n_spans);
            self.following.forget(&outgoing.followed);
            return;
        };
        let n_refused = n_spans_refused.min(outgoing.n_spans as u64);
        let n_acknowledged = outgoing.n_spans as u64 - n_refused;
        let (n_bytes, latency) = (outgoing.body.len(), due_at.elapsed());
        self.tally.count_acknowledged(n_acknowledged, n_refused, n_bytes, latency);
        if n_refused > 0 {
            self.following.forget(&outgoing.followed);
            return;
        }
        let acknowledged_at = Instant::now();
        for (trace_id, followed) in self.following.acknowledge(&outgoing.followed) {
            self.tally.offer_example(trace_id, &followed);
            let Some(acknowledged) = &self.acknowledged else { continue };
            let n_spans = followed.n_spans;
            // A full queue only means that one sample less is looked up.
            let _ = acknowledged.try_send(Acknowledged { trace_id, n_spans, acknowledged_at });
        }
    }

    /// The last answer, after as many attempts as the patience allows.
    async fn attempts(&mut self, outgoing: &Outgoing) -> Answer {
        let mut pause = self.patience.pause;
        let mut n_attempts = 1;
        loop {
            let answer = self.target.attempt(outgoing.body.clone()).await;
            self.tally.count_answer(&answer.status, Some(&answer.reason));
            let Verdict::TryAgain { after } = answer.verdict else { return answer };
            if n_attempts >= self.patience.attempts_max {
                return answer;
            }
            n_attempts += 1;
            let wait = after.unwrap_or(pause).min(self.patience.pause_max);
            pause = (pause * 2).min(self.patience.pause_max);
            if self.wait_until(Instant::now() + wait).await == Waited::Stopped {
                return answer;
            }
            self.tally.count_retry();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    Due,
    Stopped,
}

/// Ends when somebody says stop; never, if nobody can any more.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    const FOR_EVER: Duration = Duration::MAX;
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        tokio::time::sleep(FOR_EVER).await;
    }
}
