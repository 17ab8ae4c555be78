//! Any order of spans, half-written spans and steps back, held against a list of lines.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use AttributeOwner::{Link, Scope};

/// Attributes: a key out of a few, and a number that says type and value.
type Attributes = Vec<(u8, u8)>;

#[derive(Clone, Debug)]
struct SpanParts {
    text: u8,
    attributes: Attributes,
    events: Vec<(u8, Attributes)>,
    links: Vec<(u8, Attributes)>,
    resource: Attributes,
}

#[derive(Clone, Debug)]
enum Step {
    Span(SpanParts),
    /// As many spans, no two names of which are equal: dictionaries give up.
    Distinct(u32),
    AbandonSpan(SpanParts),
    /// A span, its event, its link, and a resource and a scope are all half-way.
    HalfWritten(SpanParts),
    Mark,
    TruncateToMark,
    Clear,
}

fn attributes() -> impl Strategy<Value = Attributes> {
    vec((0..5u8, any::<u8>()), 0..4)
}

fn span_parts() -> impl Strategy<Value = SpanParts> {
    let side = || vec((any::<u8>(), attributes()), 0..3);
    (any::<u8>(), attributes(), side(), side(), attributes()).prop_map(
        |(text, attributes, events, links, resource)| SpanParts {
            text,
            attributes,
            events,
            links,
            resource,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => span_parts().prop_map(Step::Span),
        1 => prop_oneof![Just(300), Just(2_100)].prop_map(Step::Distinct),
        2 => span_parts().prop_map(Step::AbandonSpan),
        2 => span_parts().prop_map(Step::HalfWritten),
        2 => Just(Step::Mark),
        2 => Just(Step::TruncateToMark),
        1 => Just(Step::Clear),
    ]
}

/// Empty for one in four, as sparse columns like it.
fn text(n: u8) -> String {
    if n.is_multiple_of(4) { String::new() } else { format!("text {}", n % 16) }
}

fn push_all(table: &mut TableBuilder, owner: AttributeOwner, attributes: &Attributes) {
    for (key, value) in attributes {
        let key = [b'a' + key];
        match value % 7 {
            0 => table.push_string(owner, &key, text(*value).as_bytes()),
            1 => table.push_bool(owner, &key, *value > 99),
            2 => table.push_int(owner, &key, (*value).into()),
            3 => table.push_double(owner, &key, (*value).into()),
            4 => table.push_bytes(owner, &key, &[*value; 3]),
            5 => table.push_array(owner, &key, &[]),
            _ => table.push_empty(owner, &key),
        }
    }
}

fn push_parts(table: &mut TableBuilder, parts: &SpanParts) {
    push_all(table, Span, &parts.attributes);
    for (n, attributes) in &parts.events {
        push_all(table, Event, attributes);
        table.finish_event(EventHead { name: text(*n).as_bytes(), ..EventHead::default() });
    }
    for (n, attributes) in &parts.links {
        push_all(table, Link, attributes);
        let text = text(*n);
        table.finish_link(LinkHead {
            span_id: text.as_bytes(),
            trace_state: text.as_bytes(),
            flags: (*n % 2).into(),
            ..LinkHead::default()
        });
    }
}

fn finish(table: &mut TableBuilder, parts: &SpanParts) {
    let message = format!("{:?}", parts.resource);
    let resource = table.find_resource(message.as_bytes(), b"").unwrap_or_else(|| {
        push_all(table, Resource, &parts.resource);
        table.finish_resource(message.as_bytes(), b"", 0, b"")
    });
    push_parts(table, parts);
    let text = text(parts.text);
    table.finish_span(&SpanHead {
        name: text.as_bytes(),
        status_message: text.as_bytes(),
        flags: (parts.text % 3).into(),
        resource,
        ..SpanHead::default()
    });
}

/// Every span as a line.
fn lines(table: &TableBuilder) -> Vec<String> {
    let chunk = table.freeze();
    let line = |row: u32| {
        let (events, links) = (&chunk.events, &chunk.links);
        let event = |e: u32| {
            format!("{}({})", events.name.value(e as usize), attributes_of(&events.attributes, e))
        };
        let link = |l: u32| {
            let id = String::from_utf8_lossy(links.span_id.value(l as usize));
            let (state, flags) = (links.trace_state.value(l), links.flags.value(l));
            format!("{id} {state} {flags}({})", attributes_of(&links.attributes, l))
        };
        format!(
            "{} {} {} [{}] events {:?} links {:?} resource [{}]",
            chunk.name.value(row as usize),
            chunk.status_message.value(row),
            chunk.flags.value(row),
            attributes_of(&chunk.attributes, row),
            chunk.events_of(row).map(event).collect::<Vec<_>>(),
            chunk.links_of(row).map(link).collect::<Vec<_>>(),
            attributes_of(&chunk.resources.attributes, chunk.resource.value(row as usize)),
        )
    };
    (0..table.n_rows()).map(line).collect()
}

fn attributes_of(table: &AttributeTable, row: u32) -> String {
    super::attributes(table, row)
}

/// The line of a span that stands alone in a new table: what it must look like among others.
fn line_alone(parts: &SpanParts) -> String {
    let mut table = TableBuilder::default();
    finish(&mut table, parts);
    lines(&table).remove(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn what_is_taken_back_leaves_no_trace(steps in vec(step(), 1..40)) {
        let mut table = TableBuilder::default();
        let mut expected: Vec<String> = Vec::new();
        let mut mark = table.mark();
        let mut distinct = 0;
        for step in &steps {
            match step {
                Step::Span(parts) => {
                    finish(&mut table, parts);
                    expected.push(line_alone(parts));
                }
                Step::Distinct(n_spans) => {
                    let resource = table.finish_resource(b"distinct", b"", 0, b"");
                    for _ in 0..*n_spans {
                        let name = format!("name {distinct}");
                        distinct += 1;
                        let name_bytes = name.as_bytes();
                        table.push_string(Span, b"a", name_bytes);
                        table.finish_span(&SpanHead { name: name_bytes, resource, ..SpanHead::default() });
                        expected.push(format!(
                            "{name}  0 [a=String({name:?})] events [] links [] resource []"
                        ));
                    }
                }
                Step::AbandonSpan(parts) => {
                    push_parts(&mut table, parts);
                    table.abandon_span();
                }
                Step::HalfWritten(parts) => {
                    let before = table.mark();
                    push_parts(&mut table, parts);
                    for owner in [Event, Link, Resource, Scope] {
                        push_all(&mut table, owner, &parts.attributes);
                    }
                    table.truncate(before);
                }
                Step::Mark => mark = table.mark(),
                Step::TruncateToMark => {
                    table.truncate(mark);
                    expected.truncate(mark.rows() as usize);
                }
                Step::Clear => {
                    table.clear();
                    expected.clear();
                    mark = table.mark();
                }
            }
            prop_assert_eq!(table.n_rows() as usize, expected.len());
        }
        prop_assert_eq!(lines(&table), expected);
    }
}
