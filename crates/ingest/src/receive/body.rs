//! Reads the body of a request, with an eye on the clock.
//!
//! In: hyper's stream of frames. Out: one chunk after the other, or why there are no more. A sender
//! that stalls, or that is slow beyond the whole time for a body, is cut off: it would hold memory
//! that others wait for.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::{Kind, Problem};

pub(super) struct BodyReader {
    body: Incoming,
    deadline: Instant,
    idle_max: Duration,
}

/// What is thrown away after a refusal, so that a sender which writes all of its body before it
/// reads gets to see the answer instead of a reset connection.
const DISCARD_BYTES_MAX: usize = 64 << 20;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(2);

impl BodyReader {
    pub(super) fn new(body: Incoming, time_max: Duration, idle_max: Duration) -> Self {
        Self { body, deadline: Instant::now() + time_max, idle_max }
    }

    /// What the sender says the body's size is.
    pub(super) fn announced_bytes(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The next chunk; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let by = self.deadline.min(Instant::now() + self.idle_max);
            let Ok(frame) = timeout_at(by, self.body.frame()).await else {
                return Err(Problem::new(
                    Kind::SlowBody,
                    "the body came too slowly: the time to send it is over",
                ));
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => {
                    let message = format!("the body ended before its end: {error}");
                    return Err(Problem::new(Kind::BrokenBody, message));
                }
                Some(Ok(frame)) => {
                    // Trailers of a request mean nothing here.
                    if let Ok(chunk) = frame.into_data() {
                        return Ok(Some(chunk));
                    }
                }
            }
        }
    }

    /// Reads the rest and forgets it, within bounds.
    pub(super) async fn discard(mut self) {
        let read = async {
            let mut discarded_bytes = 0;
            while discarded_bytes < DISCARD_BYTES_MAX
                && let Some(Ok(frame)) = self.body.frame().await
            {
                discarded_bytes += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        // When the time is over the connection is closed with the rest unread.
        let _ = timeout(DISCARD_TIME_MAX, read).await;
    }
}
