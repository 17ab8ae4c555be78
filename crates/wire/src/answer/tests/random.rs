//! Random requests: decoded into columns, split over chunks, answered, and read by `prost`.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-c]{1,2}", "\\PC{0,6}"]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        any_text().prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        any::<i64>().prop_map(|value| Some(Value::IntValue(value))),
        any::<f64>().prop_map(|value| Some(Value::DoubleValue(value))),
        vec(any::<u8>(), 0..5).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ];
    let leaf = leaf.prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list =
            vec(inner.clone(), 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values }));
        let members = vec((any_text(), inner), 0..3).prop_map(|members| {
            let member = |(key, value)| KeyValue { key, value: Some(value), ..KeyValue::default() };
            Value::KvlistValue(KeyValueList { values: members.into_iter().map(member).collect() })
        });
        prop_oneof![list, members].prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(("[a-d]{1,2}", any_value()), 0..5).prop_map(|attributes| {
        let attribute = |(key, value)| KeyValue { key, value: Some(value), ..KeyValue::default() };
        attributes.into_iter().map(attribute).collect()
    })
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), any::<u32>()]
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), any_text(), attributes(), count()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    let ids = (vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..10));
    (ids, any_text(), attributes(), count(), count()).prop_map(
        |((trace_id, span_id), trace_state, attributes, dropped_attributes_count, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn any_span() -> impl Strategy<Value = Span> {
    let head = (any_text(), any_text(), prop_oneof![Just(vec![]), vec(any::<u8>(), 8)]);
    // Server spans would get new ids where they share one: that has tests of its own.
    let codes = (prop_oneof![Just(0), Just(1), 3..9i32, Just(-1)], -1..4i32, any_text(), count());
    let times = (0..i64::MAX as u64, 0..i64::MAX as u64);
    let parts = (attributes(), vec(event(), 0..3), vec(link(), 0..3));
    let dropped = (count(), count(), count());
    (head, codes, times, parts, dropped).prop_map(|(head, codes, times, parts, dropped)| Span {
        trace_id: vec![7; 16],
        span_id: vec![],
        trace_state: head.0,
        name: head.1,
        parent_span_id: head.2,
        kind: codes.0,
        status: Some(Status { code: codes.1, message: codes.2 }),
        flags: codes.3,
        start_time_unix_nano: times.0.min(times.1),
        end_time_unix_nano: times.0.max(times.1),
        attributes: parts.0,
        events: parts.1,
        links: parts.2,
        dropped_attributes_count: dropped.0,
        dropped_events_count: dropped.1,
        dropped_links_count: dropped.2,
    })
}

fn scope_spans() -> impl Strategy<Value = ScopeSpans> {
    let scope = (any_text(), any_text(), attributes(), count());
    (scope, any_text(), vec(any_span(), 0..4)).prop_map(|(scope, schema_url, spans)| ScopeSpans {
        scope: Some(InstrumentationScope {
            name: scope.0,
            version: scope.1,
            attributes: scope.2,
            dropped_attributes_count: scope.3,
        }),
        spans,
        schema_url,
    })
}

fn resource_spans() -> impl Strategy<Value = ResourceSpans> {
    let service = any_text().prop_map(|name| attribute("service.name", text(&name)));
    let resource = (service, attributes(), count());
    (resource, any_text(), vec(scope_spans(), 0..3)).prop_map(
        |((service, mut attributes, dropped_attributes_count), schema_url, scope_spans)| {
            attributes.push(service);
            let entity_refs = Vec::new();
            let resource = Resource { attributes, dropped_attributes_count, entity_refs };
            ResourceSpans { resource: Some(resource), scope_spans, schema_url }
        },
    )
}

/// A trace in up to three requests; span ids are distinct.
fn requests() -> impl Strategy<Value = Vec<Vec<ResourceSpans>>> {
    vec(vec(resource_spans(), 0..3), 1..4).prop_map(|mut requests| {
        let groups = requests.iter_mut().flatten().flat_map(|group| &mut group.scope_spans);
        for (n, span) in groups.flat_map(|group| &mut group.spans).enumerate() {
            span.span_id = (n as u64 + 1).to_be_bytes().to_vec();
        }
        requests
    })
}

/// Each span as text, under its resource and scope; how spans are grouped does not matter.
fn described<'a>(groups: impl Iterator<Item = &'a ResourceSpans>) -> BTreeMap<Vec<u8>, String> {
    let mut spans = BTreeMap::new();
    for group in groups {
        for scope_spans in &group.scope_spans {
            for span in &scope_spans.spans {
                let of = (&group.resource, &group.schema_url);
                let by = (&scope_spans.scope, &scope_spans.schema_url);
                let said = format!("{of:#?} {by:#?} {span:#?}");
                assert_eq!(spans.insert(span.span_id.clone(), said), None, "a span comes twice");
            }
        }
    }
    spans
}

/// Fields that are nearly right: tags of real fields, lengths that may lie.
fn damaged_message() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        prop_oneof![Just(0x0a), Just(0x12), Just(0x2a), Just(0x32), Just(0x18), Just(0x21)],
        0..12u8,
        any::<u8>(),
    ];
    vec(byte, 0..40)
}

fn n_json_spans(answer: &serde_json::Value) -> usize {
    let list = |value: &serde_json::Value, key: &str| {
        value.get(key).and_then(|list| list.as_array()).cloned().unwrap_or_default()
    };
    let groups = list(&answer["trace"], "resourceSpans");
    let scopes = groups.iter().flat_map(|group| list(group, "scopeSpans"));
    scopes.map(|scope_spans| list(&scope_spans, "spans").len()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_was_received_is_what_is_answered(requests in requests()) {
        let rows = rows_of(&requests);
        let sent = described(requests.iter().flatten());
        prop_assert_eq!(described(decoded(&rows).resource_spans.iter()), sent.clone());
        let by_id = decoded_by_id(&rows).trace.expect("a trace");
        prop_assert_eq!(described(by_id.resource_spans.iter()), sent.clone());
        let json: serde_json::Value =
            serde_json::from_str(&json_of(&rows, Shape::TraceById)).expect("valid JSON");
        prop_assert_eq!(n_json_spans(&json), sent.len());
    }
    #[test]
    fn a_damaged_value_is_still_json(message in damaged_message(), is_map in any::<bool>()) {
        let value = match is_map {
            true => suyuan_model::ValueRef::Map(&message),
            false => suyuan_model::ValueRef::Array(&message),
        };
        let mut json = json_writer::JsonWriter::begin(b"");
        json_value::write(&mut json, value);
        let value: serde_json::Value =
            serde_json::from_slice(&json.into_bytes()).expect("valid JSON");
        prop_assert_eq!(value.as_object().map(|object| object.len()), Some(1));
    }

    #[test]
    fn positions_found_in_one_walk_are_those_found_alone(requests in requests()) {
        for piece in rows_of(&requests).pieces {
            let table = &piece.chunk.attributes;
            let mut finder = positions::PositionFinder::new(table);
            for row in piece.rows.iter().copied().filter(|row| row % 3 != 1) {
                let mut walked = Vec::new();
                finder.append(row, &mut walked);
                prop_assert_eq!(&walked, &positions::of_row(table, row));
                let values = table.shape(row).iter().zip(&walked).map(|(column, position)| {
                    table.columns[*column as usize].value(*position as usize)
                });
                let expected = table.row(row).map(|(_, value)| value);
                prop_assert_eq!(format!("{:?}", values.collect::<Vec<_>>()),
                    format!("{:?}", expected.collect::<Vec<_>>()));
            }
        }
    }
}
