//! `--verify`: is found what was acknowledged, and how soon?
//!
//! In: traces whose last span was just acknowledged. Out: how long it took until all of their spans
//! were found by id, each once. Asks again with growing pauses (5 ms to 100 ms), so the figures are
//! that much too long at most; never has more than `LOOKUPS_MAX` under way.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Request, Uri, Version};
use http_body_util::{BodyExt, Full, Limited};
use suyuan_ids::TraceId;
use suyuan_wire::protobuf::Malformed;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answer::each_field;
use super::report::{Latency, Verified};
use super::tally::{Latencies, Tally};
use super::target::{HttpClient, TargetError, client, deepest, endpoint_uri, extra_headers};
use super::{Options, Patience};

const LOOKUPS_MAX: usize = 16;
const QUEUE_MAX: usize = 64;
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// A trace of 200,000 spans is about so large.
const ANSWER_BYTES_MAX: usize = 256 << 20;
const EXAMPLES_MAX: usize = 10;

/// A trace that the server has acknowledged wholly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledged {
    pub(super) trace_id: TraceId,
    pub(super) n_spans: usize,
    pub(super) acknowledged_at: Instant,
}

/// Asks one server.
pub(super) struct Verifier {
    client: HttpClient,
    server: String,
    headers: HeaderMap,
    patience: Patience,
    tally: Arc<Tally>,
}

/// How a lookup ended.
enum Lookup {
    Found { after: Duration },
    Missing(String),
    Wrong(String),
}

/// The queue between the connections and the verifier.
pub(super) fn channel() -> (mpsc::Sender<Acknowledged>, mpsc::Receiver<Acknowledged>) {
    mpsc::channel(QUEUE_MAX)
}

impl Verifier {
    pub(super) fn new(
        server: &str,
        options: &Options,
        tally: Arc<Tally>,
    ) -> Result<Self, TargetError> {
        endpoint_uri(server, "/api/v2/traces/0")?;
        let mut headers = extra_headers(options)?;
        headers.insert(ACCEPT, HeaderValue::from_static("application/protobuf"));
        Ok(Self {
            client: client(Version::HTTP_11),
            server: server.to_owned(),
            headers,
            patience: options.patience,
            tally,
        })
    }

    /// Looks up everything that comes, until the queue ends.
    pub(super) async fn run(self, mut traces: mpsc::Receiver<Acknowledged>) -> Verified {
        let this = Arc::new(self);
        let (mut verified, mut latencies) = (Verified::default(), Latencies::default());
        let mut lookups = JoinSet::new();
        loop {
            let may_begin = lookups.len() < LOOKUPS_MAX;
            tokio::select! {
                trace = traces.recv(), if may_begin => {
                    let Some(trace) = trace else { break };
                    let this = Arc::clone(&this);
                    lookups.spawn(async move { this.look_up(trace).await });
                }
                Some(Ok(lookup)) = lookups.join_next() => {
                    count(lookup, &mut verified, &mut latencies);
                }
            }
        }
        while let Some(lookup) = lookups.join_next().await {
            if let Ok(lookup) = lookup {
                count(lookup, &mut verified, &mut latencies);
            }
        }
        verified.visible_after_ms = Latency::from(&latencies);
        verified
    }

    async fn look_up(&self, trace: Acknowledged) -> Lookup {
        let Acknowledged { trace_id, n_spans, acknowledged_at } = trace;
        let mut pause = PAUSE;
        loop {
            let found = match timeout(self.patience.answer_wait_max, self.ask(trace_id)).await {
                Ok(found) => found,
                Err(_) => Err("no answer".to_owned()),
            };
            let after = acknowledged_at.elapsed();
            match &found {
                Ok(found) if found.n_spans > n_spans || found.n_spans > found.n_span_ids => {
                    let (n_found, n_ids) = (found.n_spans, found.n_span_ids);
                    return Lookup::Wrong(format!(
                        "{trace_id}: {n_found} spans with {n_ids} ids instead of {n_spans}"
                    ));
                }
                Ok(found) if found.n_spans == n_spans => {
                    self.tally.count_found();
                    return Lookup::Found { after };
                }
                _ if after > self.patience.visible_wait_max => {
                    let what = match found {
                        Ok(found) => format!("{} spans", found.n_spans),
                        Err(reason) => reason,
                    };
                    return Lookup::Missing(format!("{trace_id}: {what} instead of {n_spans}"));
                }
                _ => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Asks once. A trace that is not there has no spans.
    async fn ask(&self, trace_id: TraceId) -> Result<Found, String> {
        let path = format!("/api/v2/traces/{trace_id}");
        let uri: Uri = endpoint_uri(&self.server, &path).map_err(|error| error.to_string())?;
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let answer = self.client.request(request).await.map_err(|error| deepest(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| deepest(error.as_ref()))?.to_bytes();
        match status.as_u16() {
            200 => spans(&body).map_err(|malformed| format!("the answer {malformed}")),
            404 => Ok(Found::default()),
            other => Err(format!("status {other}")),
        }
    }
}

fn count(lookup: Lookup, verified: &mut Verified, latencies: &mut Latencies) {
    verified.traces += 1;
    let example = match lookup {
        Lookup::Found { after } => {
            verified.traces_found += 1;
            latencies.add(after);
            return;
        }
        Lookup::Missing(what) => {
            verified.traces_missing += 1;
            what
        }
        Lookup::Wrong(what) => {
            verified.traces_wrong += 1;
            what
        }
    };
    if verified.examples.len() < EXAMPLES_MAX {
        verified.examples.push(example);
    }
}

/// What an answer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) n_spans: usize,
    pub(super) n_span_ids: usize,
}

/// Counts the spans of a `TraceByIDResponse` (`tempo.md 1.2`): trace = 1, in it resource spans = 1,
/// scope spans = 2, spans = 2, span id = 2.
pub(super) fn spans(body: &[u8]) -> Result<Found, Malformed> {
    let mut n_spans = 0;
    let mut ids = HashSet::new();
    each_field(body, 1, &mut |trace| {
        each_field(trace, 1, &mut |resource_spans| {
            each_field(resource_spans, 2, &mut |scope_spans| {
                each_field(scope_spans, 2, &mut |span| {
                    n_spans += 1;
                    each_field(span, 2, &mut |id| {
                        ids.insert(id);
                        Ok(())
                    })
                })
            })
        })
    })?;
    Ok(Found { n_spans, n_span_ids: ids.len() })
}
