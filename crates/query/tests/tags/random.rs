//! Random traces, random filters: names and values against a loop over all spans.
//!
//! Each store holds a dozen traces, each span once, partitioned over up to four sources, and is
//! asked before and after an erasure and a compaction. A failure prints its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use suyuan_block::meta::TimeRange;
use suyuan_model::Tenant;
use suyuan_query::tags::{TagNames, TagNamesRequest, TagScope, TagValue, TagValuesRequest};
use suyuan_testkit::random::Random;
use suyuan_testkit::traceql::evaluate::{RefFilter, Subject};
use suyuan_testkit::traceql::random::{RandomSpans, Shape, filter};
use suyuan_testkit::traceql::span::{RefAttributes, RefSpan, RefValue};
use suyuan_testkit::traceql::structure::{TraceFacts, sort_key};
use suyuan_traceql::ast::{Attribute, AttributeScope, FieldExpr, FieldOp, Intrinsic};
use suyuan_traceql::lenient::{self, Alternatives, Matcher};
use suyuan_traceql::{parse_attribute, print};

use super::store::TestStore;
use crate::{names, names_request, values, values_request};

const N_STORES: u64 = 100;
const N_QUESTIONS: u64 = 12;
/// A store so large that its blocks have columns for attributes, and several pages of rows.
const LARGE: Shape = Shape {
    n_traces_min: 2_800,
    n_traces_max: 3_000,
    n_spans_max: 12,
    n_resources: 12,
    n_starts: 900,
};
const N_QUESTIONS_LARGE: u64 = 15;
/// What is asked besides keys of attributes.
const INTRINSICS: [&str; 13] = [
    "name",
    "statusMessage",
    "span:id",
    "span:parentID",
    "event:name",
    "event:timeSinceStart",
    "link:traceID",
    "link:spanID",
    "instrumentation:name",
    "instrumentation:version",
    "trace:id",
    "rootName",
    "rootServiceName",
];

/// Traces that are there, each span once.
struct Traces<'a>(Vec<(Vec<&'a RefSpan>, TraceFacts)>);

/// Counts of what was found, so that the test cannot find nothing.
#[derive(Default)]
struct Counts {
    n_values: usize,
    n_filtered: usize,
}

/// What happened to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    AsSent,
    Erased,
    Compacted,
}

#[test]
fn tags_of_random_traces_are_those_of_a_loop_over_their_spans() {
    let mut counts = Counts::default();
    for seed in 0..N_STORES {
        check_store(seed, Shape::default(), N_QUESTIONS, &mut counts);
    }
    let Counts { n_values, n_filtered } = counts;
    assert!(n_values > 2_500 && n_filtered > 500, "{n_values} values, {n_filtered} filtered");
}

#[test]
fn tags_of_a_large_store_are_those_of_a_loop_over_its_spans() {
    let mut counts = Counts::default();
    check_store(N_STORES, LARGE, N_QUESTIONS_LARGE, &mut counts);
    assert!(counts.n_filtered > 10, "{} filtered", counts.n_filtered);
}

fn check_store(seed: u64, shape: Shape, n_questions: u64, counts: &mut Counts) {
    let mut random = Random::new(seed);
    let spans = each_once(RandomSpans::new(&mut random, shape).sent);
    let tenant = Tenant::single();
    let store = filled(&mut random, &tenant, &spans);
    let erased = random.pick(&spans).trace_id;
    for stage in [Stage::AsSent, Stage::Erased, Stage::Compacted] {
        match stage {
            Stage::AsSent => {}
            Stage::Erased => store.erase(&tenant, erased),
            Stage::Compacted => {
                store.flush();
                store.compact();
            }
        }
        let traces = Traces::of(&spans, (stage != Stage::AsSent).then_some(erased));
        for _ in 0..n_questions {
            let question = Question::new(&mut random, &spans);
            let context = || format!("seed {seed}, {stage:?}, {question:?}");
            check(&question, &traces, stage, &store, counts, &context);
        }
    }
}

struct Question {
    asked: Alternatives,
    attribute: Attribute,
    range: Option<TimeRange>,
}

impl Question {
    fn new(random: &mut Random, spans: &[RefSpan]) -> Self {
        let moments = [(); 2].map(|()| random.pick(spans).start_unix_nanos);
        let range = TimeRange::of(moments[0]).union(TimeRange::of(moments[1]));
        Self {
            asked: any_filter(random),
            attribute: any_attribute(random, spans),
            range: random.one_in(3).then_some(range),
        }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = self.asked.expr().map(|expr| print::field_expr(&expr));
        write!(f, "{filter:?}, {}, {:?}", print::attribute(&self.attribute), self.range)
    }
}

fn check(
    question: &Question,
    traces: &Traces<'_>,
    stage: Stage,
    store: &TestStore,
    counts: &mut Counts,
    context: &dyn Fn() -> String,
) {
    let Question { asked, attribute, range } = question;
    let tenant = Tenant::single();
    let Some(matched) = traces.matched(asked.expr().as_ref()) else { return };
    // With a range whatever lies in it must be found; what lies near it may.
    let within: Vec<_> =
        matched.iter().filter(|(trace, _)| traces.is_within(*trace, *range)).copied().collect();
    if !is_fixed(asked, attribute) {
        let request = TagValuesRequest {
            attribute: attribute.clone(),
            range: *range,
            filter: asked.clone(),
            ..values_request(".a", "")
        };
        let found = values(store, &tenant, &request);
        let found: BTreeSet<String> = found.values.iter().map(show).collect();
        assert!(found.is_superset(&traces.values(attribute, &within)), "{found:?}, {}", context());
        assert!(found.is_subset(&traces.values(attribute, &matched)), "{found:?}, {}", context());
        counts.n_values += found.len();
    }
    let request =
        TagNamesRequest { range: *range, filter: asked.clone(), ..names_request(None, "") };
    let answer = names(store, &tenant, &request);
    let found = all_names(&answer);
    // Blocks do not list all of many keys, and the answer says so.
    let missing: Vec<_> = traces.names(&within).difference(&found).cloned().collect();
    let is_rare = |(scope, name): &(TagScope, String)| {
        name.starts_with("rare") && !matches!(scope, TagScope::Resource | TagScope::Instrumentation)
    };
    assert!(missing.is_empty() || answer.is_cut, "{missing:?}, {}", context());
    assert!(missing.iter().all(is_rare), "{missing:?}, {}", context());
    // What was erased may leave its names in lists of keys.
    if stage == Stage::AsSent || !asked.is_empty() {
        assert!(found.is_subset(&traces.names(&matched)), "{found:?}, {}", context());
    }
    counts.n_filtered += usize::from(!asked.is_empty() && !matched.is_empty());
}

fn all_names(found: &TagNames) -> BTreeSet<(TagScope, String)> {
    let scopes = found.scopes.iter().filter(|(scope, _)| *scope != TagScope::Intrinsic);
    scopes.flat_map(|(scope, names)| names.iter().map(|name| (*scope, name.to_string()))).collect()
}

/// Of copies of a span the first, of a key that comes twice the first value.
fn each_once(sent: Vec<RefSpan>) -> Vec<RefSpan> {
    let mut known = BTreeSet::new();
    let mut spans: Vec<RefSpan> =
        sent.into_iter().filter(|span| known.insert((span.trace_id, sort_key(span)))).collect();
    for span in &mut spans {
        let events = span.events.iter_mut().map(|event| &mut event.attributes);
        let links = span.links.iter_mut().map(|link| &mut link.attributes);
        let own = [&mut span.attributes, &mut span.resource, &mut span.scope_attributes];
        for attributes in own.into_iter().chain(events).chain(links) {
            let mut known = BTreeSet::new();
            attributes.retain(|(key, _)| known.insert(key.clone()));
        }
    }
    spans
}

fn filled(random: &mut Random, tenant: &Tenant, spans: &[RefSpan]) -> TestStore {
    let store = TestStore::new();
    let n_sources = 1 + random.below(4);
    let mut sources = vec![Vec::new(); n_sources as usize];
    for span in spans {
        sources[random.below(n_sources) as usize].push(span.clone());
    }
    for (number, source) in sources.iter().enumerate().filter(|(_, source)| !source.is_empty()) {
        store.publish_spans(tenant, source);
        if number + 1 < sources.len() && !random.one_in(3) {
            store.flush();
        }
    }
    store
}

/// A third of the filters asks for nothing.
fn any_filter(random: &mut Random) -> Alternatives {
    if random.one_in(3) {
        return Alternatives::default();
    }
    let expr = filter(random, 2);
    lenient::parse(&format!("{{ {} }}", print::field_expr(&expr))).expect("within the limits")
}

fn any_attribute(random: &mut Random, spans: &[RefSpan]) -> Attribute {
    if random.one_in(2) {
        return parse_attribute(random.pick(&INTRINSICS)).expect("an intrinsic");
    }
    let span = random.pick(spans);
    let keys: Vec<&str> = all_attributes(&span)
        .flat_map(|(_, attributes)| attributes.iter().map(|(key, _)| &**key))
        .collect();
    let scope = random.pick(&[
        AttributeScope::Any,
        AttributeScope::Span,
        AttributeScope::Resource,
        AttributeScope::Event,
        AttributeScope::Link,
        AttributeScope::Instrumentation,
    ]);
    let name = if keys.is_empty() { "nobody" } else { random.pick(&keys) };
    Attribute::Named { scope, name: name.into() }
}

/// Whether the filter fixes the attribute, so that its values are not looked for.
fn is_fixed(asked: &Alternatives, attribute: &Attribute) -> bool {
    let fixes = |condition: &&FieldExpr| {
        Matcher::of(condition).is_some_and(|m| m.op == FieldOp::Equal && m.attribute == attribute)
    };
    asked.groups().any(|group| group.iter().any(fixes))
}

fn all_attributes(span: &RefSpan) -> impl Iterator<Item = (TagScope, &RefAttributes)> {
    let own = [
        (TagScope::Span, &span.attributes),
        (TagScope::Resource, &span.resource),
        (TagScope::Instrumentation, &span.scope_attributes),
    ];
    let events = span.events.iter().map(|event| (TagScope::Event, &event.attributes));
    let links = span.links.iter().map(|link| (TagScope::Link, &link.attributes));
    own.into_iter().chain(events).chain(links)
}

impl<'a> Traces<'a> {
    fn of(spans: &'a [RefSpan], erased: Option<u128>) -> Self {
        let mut traces: BTreeMap<u128, Vec<&RefSpan>> = BTreeMap::new();
        for span in spans.iter().filter(|span| Some(span.trace_id) != erased) {
            traces.entry(span.trace_id).or_default().push(span);
        }
        let of_trace = |mut spans: Vec<&'a RefSpan>| {
            spans.sort_by_key(|span| sort_key(span));
            let facts = TraceFacts::of(&spans);
            (spans, facts)
        };
        Self(traces.into_values().map(of_trace).collect())
    }

    fn is_within(&self, trace: usize, range: Option<TimeRange>) -> bool {
        let facts = &self.0[trace].1;
        let start = facts.start_unix_nanos;
        let moments =
            TimeRange { min_unix_nanos: start, max_unix_nanos: facts.end_unix_nanos.max(start) };
        range.is_none_or(|range| moments.overlaps(range))
    }

    /// Trace and span of each that fulfils the filter; `None`: it holds no regular expression.
    fn matched(&self, expr: Option<&FieldExpr>) -> Option<Vec<(usize, usize)>> {
        let filter = expr.map(RefFilter::new).transpose().ok()?;
        let mut matched = Vec::new();
        for (trace, (spans, facts)) in self.0.iter().enumerate() {
            for number in 0..spans.len() {
                let subject = Subject { spans, facts, number };
                if filter.as_ref().is_none_or(|filter| filter.holds(subject)) {
                    matched.push((trace, number));
                }
            }
        }
        Some(matched)
    }

    fn names(&self, matched: &[(usize, usize)]) -> BTreeSet<(TagScope, String)> {
        let spans = matched.iter().map(|(trace, span)| self.0[*trace].0[*span]);
        spans
            .flat_map(all_attributes)
            .flat_map(|(scope, attributes)| {
                attributes.iter().map(move |(key, _)| (scope, key.clone()))
            })
            .collect()
    }

    fn values(&self, attribute: &Attribute, matched: &[(usize, usize)]) -> BTreeSet<String> {
        let mut values = BTreeSet::new();
        for (trace, number) in matched {
            let (spans, facts) = &self.0[*trace];
            let span = spans[*number];
            match attribute {
                Attribute::Named { scope, name } => {
                    let scopes: &[TagScope] = match scope {
                        AttributeScope::Any => &[TagScope::Span, TagScope::Resource],
                        AttributeScope::Span => &[TagScope::Span],
                        AttributeScope::Resource => &[TagScope::Resource],
                        AttributeScope::Event => &[TagScope::Event],
                        AttributeScope::Link => &[TagScope::Link],
                        AttributeScope::Instrumentation => &[TagScope::Instrumentation],
                    };
                    let asked = all_attributes(span).filter(|(scope, _)| scopes.contains(scope));
                    let keys = asked.flat_map(|(_, attributes)| attributes);
                    let found = keys.filter(|(key, _)| **key == **name);
                    values.extend(found.flat_map(|(_, value)| shown(value)));
                }
                Attribute::Intrinsic(intrinsic) => {
                    let root = facts.root.map(|root| spans[root]);
                    values.extend(intrinsic_values(*intrinsic, span, root));
                }
                Attribute::Parent { .. } => {}
            }
        }
        values
    }
}

fn intrinsic_values(intrinsic: Intrinsic, span: &RefSpan, root: Option<&RefSpan>) -> Vec<String> {
    let texts: Vec<String> = match intrinsic {
        Intrinsic::Name => vec![span.name.clone()],
        Intrinsic::StatusMessage => given(&span.status_message),
        Intrinsic::SpanId => vec![format!("{:016x}", span.span_id)],
        Intrinsic::ParentId => {
            span.parent_span_id.iter().map(|parent| format!("{parent:016x}")).collect()
        }
        Intrinsic::EventName => span.events.iter().map(|event| event.name.clone()).collect(),
        Intrinsic::EventTimeSinceStart => {
            let start = span.start_unix_nanos;
            let since = |time: u64| TagValue::DurationNanos((time as i64).wrapping_sub(start));
            return span.events.iter().map(|event| show(&since(event.time_unix_nanos))).collect();
        }
        Intrinsic::LinkTraceId => span.links.iter().map(|link| hex(&link.trace_id)).collect(),
        Intrinsic::LinkSpanId => span.links.iter().map(|link| hex(&link.span_id)).collect(),
        Intrinsic::InstrumentationName => given(&span.scope_name),
        Intrinsic::InstrumentationVersion => given(&span.scope_version),
        Intrinsic::TraceId => vec![format!("{:032x}", span.trace_id)],
        Intrinsic::TraceRootName => root.iter().map(|root| root.name.clone()).collect(),
        Intrinsic::TraceRootService => {
            let service = root.and_then(RefSpan::service_name);
            service.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    texts.into_iter().map(|text| format!("string {text}")).collect()
}

/// What is empty was not sent.
fn given(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn show(value: &TagValue) -> String {
    format!("{} {value}", value.type_name())
}

fn shown(value: &RefValue) -> Vec<String> {
    let value = match value {
        RefValue::Text(text) => TagValue::String(text.as_str().into()),
        RefValue::Bool(value) => TagValue::Bool(*value),
        RefValue::Int(value) => TagValue::Int(*value),
        RefValue::Double(value) => TagValue::Float(*value),
        RefValue::Array(elements) => {
            let is_plain = |element: &RefValue| {
                !matches!(
                    element,
                    RefValue::Empty | RefValue::Bytes(_) | RefValue::Array(_) | RefValue::Map(_)
                )
            };
            let types: BTreeSet<_> = elements
                .iter()
                .map(|element| format!("{:?}", std::mem::discriminant(element)))
                .collect();
            let has_values = elements.iter().all(is_plain) && types.len() == 1;
            return if has_values { elements.iter().flat_map(shown).collect() } else { Vec::new() };
        }
        RefValue::Empty | RefValue::Bytes(_) | RefValue::Map(_) => return Vec::new(),
    };
    vec![show(&value)]
}
