//! What a server must find after it got everything: counts, sample traces, answers.
//!
//! In: whole traces, as they begin. Out: `truth.json`, by a plain evaluation of each trace. The
//! questions stand beside their answers, as TraceQL.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use suyuan_ids::{SpanId, TraceId};

use super::span::{Kind, Span, Status, Value};
use super::{Instance, Trace};

/// One trace in so many is kept as a sample.
const SAMPLE_EVERY: u64 = 997;
/// The user in `needle_user` has about so many spans.
const NEEDLE_SPANS: u64 = 30;
/// An ordinary trace of some size, to be asked for by id.
const TRACE_SPANS: usize = 46;

const STATEMENT_PREFIX: &str = "FROM coupons WHERE user_id = 1234";

/// Everything about a corpus; times in nanoseconds since 1970.
#[derive(Debug, Serialize)]
pub struct Truth {
    pub start_ns: u64,
    pub end_ns: u64,
    pub spans: u64,
    pub traces: u64,
    pub bytes: u64,
    pub requests: u64,
    pub by_service: BTreeMap<&'static str, u64>,
    pub errors: u64,
    /// Spans with `http.response.status_code` = 500.
    pub status_500: u64,
    /// Trace ids in hexadecimal, with the number of spans.
    pub sample_traces: Vec<(String, usize)>,
    pub biggest: (String, usize),
    pub trace_of_46: Option<(String, usize)>,
    pub answers: Answers,
    /// The question behind each answer that counts traces and spans.
    pub questions: BTreeMap<&'static str, &'static str>,
    #[serde(skip)]
    users: HashMap<i64, HashMap<TraceId, u64>>,
}

/// Pairs are: traces that match, spans that match.
#[derive(Debug, Default, Serialize)]
pub struct Answers {
    pub svc_and_500: (u64, u64),
    pub all_500_l10000: (u64, u64),
    pub regex_name_dur: (u64, u64),
    pub regex_statement: (u64, u64),
    pub structural_desc: (u64, u64),
    pub structural_child: (u64, u64),
    pub count_errors: (u64, u64),
    pub avg_by: (u64, u64),
    pub needle_user: i64,
    pub needle_int: (u64, u64),
    pub span_keys: BTreeSet<&'static str>,
    pub resource_keys: BTreeSet<&'static str>,
    pub routes: BTreeSet<String>,
    pub server_names: BTreeSet<String>,
    pub count: u64,
    pub roots: u64,
    pub errors: u64,
}

static QUESTIONS: [(&str, &str); 9] = [
    (
        "svc_and_500",
        "{ resource.service.name = \"payment\" && span.http.response.status_code = 500 }",
    ),
    ("all_500_l10000", "{ span.http.response.status_code = 500 }"),
    ("needle_int", "{ span.shop.user.id = <needle_user> }"),
    ("regex_name_dur", "{ name =~ \"GET /product/.*\" && duration > 50ms }"),
    (
        "regex_statement",
        "{ span.db.query.text =~ \".*FROM coupons WHERE user_id = 1234[0-9]* .*\" }",
    ),
    ("structural_desc", "{ resource.service.name = \"mall\" } >> { status = error }"),
    (
        "structural_child",
        "{ kind = server } > { span.db.system.name = \"mysql\" && duration > 20ms }",
    ),
    ("count_errors", "{ status = error } | count() > 1"),
    ("avg_by", "{ kind = client } | by(resource.service.name) | avg(duration) > 30ms"),
];

impl Truth {
    /// An empty corpus for the time from `start_ns` to `end_ns`.
    pub fn new(start_ns: u64, end_ns: u64) -> Self {
        Self {
            start_ns,
            end_ns,
            spans: 0,
            traces: 0,
            bytes: 0,
            requests: 0,
            by_service: BTreeMap::new(),
            errors: 0,
            status_500: 0,
            sample_traces: Vec::new(),
            biggest: (String::new(), 0),
            trace_of_46: None,
            answers: Answers::default(),
            questions: QUESTIONS.into_iter().collect(),
            users: HashMap::new(),
        }
    }

    /// Takes one whole trace into account.
    pub fn add(&mut self, instances: &[Instance], trace: &Trace) {
        let named = |n_spans| (trace.trace_id.to_string(), n_spans);
        let n_spans = trace.spans.len();
        self.traces += 1;
        self.spans += n_spans as u64;
        if n_spans == TRACE_SPANS && self.trace_of_46.is_none() {
            self.trace_of_46 = Some(named(n_spans));
        }
        if n_spans > self.biggest.1 {
            self.biggest = named(n_spans);
        }
        if self.traces % SAMPLE_EVERY == 1 {
            self.sample_traces.push(named(n_spans));
        }
        for span in &trace.spans {
            self.count(instances, span);
        }
        self.answers.add(instances, trace);
    }

    /// Takes one request file into account.
    pub fn add_request(&mut self, n_bytes: usize) {
        self.requests += 1;
        self.bytes += n_bytes as u64;
    }

    /// Chooses the needle, when everything was added.
    pub fn finish(&mut self) {
        let chosen = self.users.iter().min_by_key(|(user, traces)| {
            (traces.values().sum::<u64>().abs_diff(NEEDLE_SPANS), **user)
        });
        if let Some((user, traces)) = chosen {
            self.answers.needle_user = *user;
            self.answers.needle_int = (traces.len() as u64, traces.values().sum());
        }
    }

    fn count(&mut self, instances: &[Instance], span: &Span) {
        self.end_ns = self.end_ns.max(span.end_unix_nanos);
        *self.by_service.entry(service(instances, span)).or_default() += 1;
        self.errors += u64::from(is_error(span));
        self.status_500 += u64::from(has_status_500(span));
        for attribute in &span.attributes {
            self.answers.span_keys.insert(attribute.key);
        }
        if let Some(Value::Int(user)) = value(span, "shop.user.id") {
            *self.users.entry(*user).or_default().entry(span.trace_id).or_default() += 1;
        }
        if let Some(Value::Text(route)) = value(span, "http.route")
            && !self.answers.routes.contains(route.as_ref())
        {
            self.answers.routes.insert(route.to_string());
        }
        if span.kind == Kind::Server && !self.answers.server_names.contains(span.name.as_ref()) {
            self.answers.server_names.insert(span.name.to_string());
        }
        for attribute in &instances[usize::from(span.instance)].attributes {
            self.answers.resource_keys.insert(attribute.key);
        }
    }
}

impl Answers {
    fn add(&mut self, instances: &[Instance], trace: &Trace) {
        let spans = &trace.spans;
        let by_id: HashMap<SpanId, &Span> = spans.iter().map(|span| (span.span_id, span)).collect();
        let parent = |span: &Span| span.parent_span_id.and_then(|id| by_id.get(&id).copied());
        let count = |matches: &dyn Fn(&Span) -> bool| {
            spans.iter().filter(|span| matches(span)).count() as u64
        };
        let is_below_mall = |span: &Span| {
            std::iter::successors(parent(span), |above| parent(above))
                .any(|above| service(instances, above) == "mall")
        };
        let errors = count(&is_error);
        self.count += spans.len() as u64;
        self.errors += errors;
        self.roots += count(&|span| span.parent_span_id.is_none());
        tally(
            &mut self.svc_and_500,
            count(&|span| has_status_500(span) && service(instances, span) == "payment"),
        );
        tally(&mut self.all_500_l10000, count(&has_status_500));
        tally(
            &mut self.regex_name_dur,
            count(&|span| span.name.starts_with("GET /product/") && lasts(span) > 50_000_000),
        );
        tally(&mut self.regex_statement, count(&has_statement));
        tally(&mut self.structural_desc, count(&|span| is_error(span) && is_below_mall(span)));
        tally(
            &mut self.structural_child,
            count(&|span| {
                is_mysql(span)
                    && lasts(span) > 20_000_000
                    && parent(span).is_some_and(|above| above.kind == Kind::Server)
            }),
        );
        tally(&mut self.count_errors, if errors > 1 { errors } else { 0 });
        tally(&mut self.avg_by, slow_clients(instances, spans));
    }
}

/// Counts a trace if it has matches, and its matches.
fn tally(pair: &mut (u64, u64), matched: u64) {
    pair.0 += u64::from(matched > 0);
    pair.1 += matched;
}

/// Client spans of the services whose client spans last more than 30 ms on average.
fn slow_clients(instances: &[Instance], spans: &[Span]) -> u64 {
    let mut services: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.kind == Kind::Client) {
        let (n_spans, nanos) = services.entry(service(instances, span)).or_default();
        *n_spans += 1;
        *nanos += lasts(span);
    }
    let slow = services.values().filter(|(n_spans, nanos)| *nanos > 30_000_000 * n_spans);
    slow.map(|(n_spans, _)| n_spans).sum()
}

fn service(instances: &[Instance], span: &Span) -> &'static str {
    instances[usize::from(span.instance)].service_name
}

fn lasts(span: &Span) -> u64 {
    span.end_unix_nanos - span.start_unix_nanos
}

fn is_error(span: &Span) -> bool {
    matches!(span.status, Status::Error(_))
}

fn value<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
}

fn has_status_500(span: &Span) -> bool {
    value(span, "http.response.status_code") == Some(&Value::Int(500))
}

fn is_mysql(span: &Span) -> bool {
    value(span, "db.system.name") == Some(&Value::Text("mysql".into()))
}

/// What the regular expression of `regex_statement` matches, without an engine for them.
fn has_statement(span: &Span) -> bool {
    let Some(Value::Text(statement)) = value(span, "db.query.text") else { return false };
    let Some((_, behind)) = statement.split_once(STATEMENT_PREFIX) else { return false };
    behind.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(' ')
}
