//! What is ruled out before rows are read.

use suyuan_model::{AttributeOwner, ValueType};
use suyuan_store::{Between, Probe, UnitPresence};

use super::fixture::{Sent, batch, parse, span};
use crate::filter::expr::Expr;
use crate::filter::{Filter, KeyPresence, SourceState};

/// A unit that has only these.
struct Keys(&'static [(AttributeOwner, &'static str, ValueType)]);

impl KeyPresence for Keys {
    fn presence(&self, owner: AttributeOwner, key: &str, value_type: ValueType) -> UnitPresence {
        match self.0.contains(&(owner, key, value_type)) {
            true => UnitPresence::Maybe,
            false => UnitPresence::Absent,
        }
    }
}

const KEYS: Keys = Keys(&[
    (AttributeOwner::Span, "text", ValueType::String),
    (AttributeOwner::Span, "int", ValueType::Int),
    (AttributeOwner::Span, "both", ValueType::Int),
    (AttributeOwner::Span, "both", ValueType::Double),
    (AttributeOwner::Span, "double", ValueType::Double),
    (AttributeOwner::Span, "flag", ValueType::Bool),
    (AttributeOwner::Span, "list", ValueType::Int),
    (AttributeOwner::Span, "list", ValueType::Array),
    (AttributeOwner::Resource, "shared", ValueType::String),
    (AttributeOwner::Resource, "service.name", ValueType::String),
    (AttributeOwner::Event, "of.event", ValueType::Bool),
]);

#[test]
fn missing_keys_rule_out_what_rejects_nil() {
    let is_ruled_out = |filter: &str| {
        let filter = Filter::compile(&parse(filter)).expect("compiles");
        filter.conditions().iter().any(|condition| condition.rules_out(&KEYS).is_some())
    };
    for filter in [
        "span.no = 1",
        "span.text = 1",
        r#"span.int = "x""#,
        "span.no != nil",
        r#"span.no != "x""#,
        r#"span.no !~ "x""#,
        ".no > 1",
        ".no",
        "!.text",
        "event.no = 1",
        "event.of.event = 1",
        "link.no = 1",
        "span.int = 1 && span.no = 1",
        "span.no = 1 || .also.no = 2",
        "span.text + 1 > 2",
        "span.no = span.int",
        r#"resource.text = "x""#,
        "resource.service.name = 5",
    ] {
        assert!(is_ruled_out(filter), "{filter}");
    }
    for filter in [
        r#"span.text = "x""#,
        "span.both = 1",
        ".shared = `x`",
        "!(span.no = 1)",
        "span.no = nil",
        "span.no = 1 || span.int = 1",
        "event.of.event",
        "resource.service.name = ``",
        "name = `x`",
        "span.int + 1 > 2",
        "span.int = span.both",
    ] {
        assert!(!is_ruled_out(filter), "{filter}");
    }
    let none = Keys(&[]);
    let condition = |filter: &str| Filter::compile(&parse(filter)).expect("compiles");
    let reason = |filter: &str| condition(filter).conditions()[0].rules_out(&none);
    assert_eq!(reason("resource.service.name = ``"), None);
    assert_eq!(reason("resource.service.name != `x`"), None);
    assert_eq!(
        reason("resource.service.name = `x`").as_deref(),
        Some("`resource.service.name` is nowhere a text")
    );
}

#[test]
fn equalities_are_probed_where_nothing_else_can_be_equal() {
    let probes = |filter: &str| {
        let filter = Filter::compile(&parse(filter)).expect("compiles");
        let lists: Vec<Vec<String>> = (filter.conditions().iter())
            .flat_map(|condition| condition.probes(&KEYS))
            .map(|list| {
                let mut texts: Vec<String> = list.iter().map(|probe| text(*probe)).collect();
                texts.sort();
                texts
            })
            .collect();
        lists.iter().map(|list| list.join(" | ")).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(probes("span.text = `x`"), "text=x");
    assert_eq!(probes(".text = `x`"), "text=x");
    assert_eq!(probes(".shared = `x`"), "");
    assert_eq!(probes("span.int = 5"), "int=5");
    assert_eq!(probes("span.both = 5"), "both=5 | both=5.0");
    assert_eq!(probes("span.both = 4.5"), "both=4.5");
    assert_eq!(probes("span.both = 0"), "");
    assert_eq!(probes("span.int = 5.0"), "int=5");
    assert_eq!(probes("span.int = 4.5"), "");
    assert_eq!(probes("span.flag"), "flag=true");
    assert_eq!(probes("!span.flag"), "flag=false");
    assert_eq!(probes("span.flag = true"), "flag=true");
    assert_eq!(probes("span.list = 1"), "");
    assert_eq!(probes("span.text = `x` || span.int = 5"), "int=5 | text=x");
    assert_eq!(probes("span.text = `x` || span.int > 5"), "");
    assert_eq!(probes("span.text =~ `x|y`"), "text=x | text=y");
    assert_eq!(probes("span.text = `x` || span.text = `y`"), "text=x | text=y");
    assert_eq!(probes("span.int = 7 || span.int = 5"), "int=5 | int=7");
    assert_eq!(probes("span.text != `x`"), "");
    assert_eq!(probes("name = `GET`"), "name=GET");
    assert_eq!(probes("trace:id = `00AB`"), "trace=000000000000000000000000000000ab");
    assert_eq!(probes("!(span.text = `x`)"), "");
}

fn text(probe: Probe<'_>) -> String {
    match probe {
        Probe::SpanText { key, text } => format!("{key}={text}"),
        Probe::SpanInt { key, value } => format!("{key}={value}"),
        Probe::SpanDouble { key, value } => format!("{key}={value:?}"),
        Probe::SpanBool { key, value } => format!("{key}={value}"),
        Probe::TraceId(id) => format!("trace={id}"),
        Probe::Name(name) => format!("name={name}"),
    }
}

#[test]
fn comparisons_of_numbers_are_bounds() {
    let bounds = |filter: &str| {
        let filter = Filter::compile(&parse(filter)).expect("compiles");
        let mut conditions = filter.conditions().iter();
        conditions.find_map(|condition| condition.bounds(&KEYS).first().map(|b| format!("{b:?}")))
    };
    let check = |filter: &str, expected: Between<'_>| {
        assert_eq!(bounds(filter), Some(format!("{expected:?}")), "{filter}");
    };
    check("duration > 5us", Between::DurationNanos { min: 5_000, max: i64::MAX });
    check("2.5 >= duration", Between::DurationNanos { min: i64::MIN, max: 3 });
    check("span.int = 5", Between::SpanInt { key: "int", min: 5, max: 5 });
    check("span.int < 4.5", Between::SpanInt { key: "int", min: i64::MIN, max: 5 });
    let zero = Between::SpanDouble { key: "double", min: -0.0, max: f64::INFINITY };
    check("span.double >= 0", zero);
    for filter in
        ["span.int != 5", "span.both = 5", "span.list = 5", ".shared > 5", "!(span.int = 5)"]
    {
        assert_eq!(bounds(filter), None, "{filter}");
    }
}

#[test]
fn resources_and_scopes_rule_out_what_none_of_them_has() {
    let mut spans = [span(&[]), span(&[])];
    spans[0].resource = vec![("service.name", Sent::Text("cart"))];
    spans[1].resource = vec![("service.name", Sent::Text("shop"))];
    spans[0].scope = ("http", "", vec![]);
    spans[1].scope = ("http", "", vec![]);
    let batch = batch(&spans);
    let reason = |filter: &str| {
        let filter = Filter::compile(&parse(filter)).expect("compiles");
        let (resources, scopes) = (&batch.chunk.resources, &batch.chunk.scopes);
        let mut source = SourceState::default();
        let mut conditions = filter.conditions().iter();
        conditions.find_map(|condition| condition.rules_out_sources(resources, scopes, &mut source))
    };
    assert!(reason("resource.service.name = `pay`").is_some());
    assert!(reason("resource.service.name = `pay` || instrumentation:name = `x`").is_some());
    assert!(reason("!(instrumentation:name = `http`)").is_some());
    assert!(reason("!(resource.service.name = `cart`)").is_none());
    assert!(reason("resource.service.name = `cart`").is_none());
    assert!(reason("resource.service.name = `pay` || .a = 1").is_none());
    assert!(reason(".service.name = `pay`").is_none());
}

#[test]
fn lists_of_a_thousand_values_are_one_test() {
    let text = |n: u32| format!("span:id = `{n:x}` || .a = {n} || .b = `{n}` || .c =~ `{n}|x`");
    let all: Vec<String> = (1..1_000).map(text).collect();
    let filter = Filter::compile(&parse(&all.join(" || "))).expect("compiles");
    let [condition] = filter.conditions() else { panic!("one condition") };
    let Expr::Or(operands) = &condition.expr else { panic!("one list: {condition}") };
    assert_eq!(operands.len(), 4);
}

#[test]
fn what_is_read_stands_in_the_order_of_the_text() {
    let filter = "(.b != nil || link.a = 1 || .c = 2 && span.a) && .b = nil || link.a = 2 || true";
    let filter = Filter::compile(&parse(filter)).expect("compiles");
    let names: Vec<String> = filter.reads().iter().map(suyuan_traceql::print::attribute).collect();
    assert_eq!(names, [".b", "link.a", ".c", "span.a"]);
}

#[test]
fn what_is_cheap_to_read_and_leaves_few_rows_stands_first() {
    let order = |filter: &str| {
        let filter = Filter::compile(&parse(filter)).expect("compiles");
        let texts: Vec<String> = filter.conditions().iter().map(ToString::to_string).collect();
        texts.join("; ")
    };
    assert_eq!(
        order("span.a + 1 > 2 && duration > 1s && span.a = 1 && resource.service.name = `x`"),
        "resource.service.name = `x`; span.a = 1; duration > 1s; (span.a + 1) > 2"
    );
    assert_eq!(order("duration > 1s && name =~ `a.+`"), "name =~ `a.+`; duration > 1s");
    assert_eq!(order("rootName = `a` && event.b = 1"), "event.b = 1; rootName = `a`");
    assert_eq!(
        order("event.a = 1 && !(.b = 2 || .c) && event.b != nil"),
        "!(.b = 2 || .c); event.a = 1 && event.b != nil"
    );
}
