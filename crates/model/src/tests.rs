//! Rows in, rows out: what the table keeps, and what it forgets when told to.

mod random;

use super::*;
use AttributeOwner::{Event, Resource, Span};

fn head(n: u8) -> SpanHead<'static> {
    SpanHead { trace_id: [n; 16], span_id: n.into(), name: b"GET /", ..SpanHead::default() }
}

fn attributes(table: &AttributeTable, row: u32) -> String {
    let shown: Vec<String> =
        table.row(row).map(|(key, value)| format!("{key}={value:?}")).collect();
    shown.join(" ")
}

#[test]
fn attributes_keep_their_order_and_duplicates() {
    let mut table = TableBuilder::default();
    table.push_string(Span, b"a", b"x");
    table.push_int(Span, b"b", 1);
    table.push_string(Span, b"a", b"y");
    table.push_int(Span, b"a", 7);
    table.finish_span(&head(1));
    table.push_int(Span, b"b", 2);
    table.push_string(Span, b"a", b"z");
    table.push_empty(Span, b"c");
    table.finish_span(&head(2));
    let chunk = table.freeze();
    assert_eq!(
        attributes(&chunk.attributes, 0),
        r#"a=String("x") b=Int(1) a=String("y") a=Int(7)"#
    );
    assert_eq!(attributes(&chunk.attributes, 1), r#"b=Int(2) a=String("z") c=Empty"#);
}

#[test]
fn a_span_that_is_abandoned_leaves_its_neighbours_as_they_were() {
    let mut table = TableBuilder::default();
    table.push_string(Span, b"a", b"first");
    table.push_bool(Event, b"e", true);
    table.finish_event(EventHead { time_unix_nanos: 5, name: b"kept", ..EventHead::default() });
    table.finish_span(&head(1));

    table.push_string(Span, b"a", b"bad");
    table.push_bool(Event, b"e", false);
    table.finish_event(EventHead { name: b"lost", ..EventHead::default() });
    table.push_bool(Event, b"half", false);
    table.abandon_span();

    table.push_string(Span, b"a", b"second");
    table.finish_event(EventHead { time_unix_nanos: 6, name: b"kept too", ..EventHead::default() });
    table.finish_span(&head(2));

    let chunk = table.freeze();
    assert_eq!(chunk.n_rows(), 2);
    assert_eq!(attributes(&chunk.attributes, 0), r#"a=String("first")"#);
    assert_eq!(attributes(&chunk.attributes, 1), r#"a=String("second")"#);
    assert_eq!((chunk.events_of(0), chunk.events_of(1)), (0..1, 1..2));
    assert_eq!((chunk.events.name.value(0), chunk.events.name.value(1)), ("kept", "kept too"));
    assert_eq!(attributes(&chunk.events.attributes, 0), "e=Bool(true)");
    assert_eq!(attributes(&chunk.events.attributes, 1), "");
}

#[test]
fn rows_taken_back_to_a_mark_leave_no_value_behind() {
    let mut table = TableBuilder::default();
    table.push_double(Span, b"d", 0.5);
    table.finish_span(&SpanHead { flags: 1, trace_state: b"k=v", ..head(1) });
    let mark = table.mark();
    for n in 2..9 {
        table.push_double(Span, b"d", n.into());
        table.push_bytes(Span, b"only here", b"\0\xff");
        table.finish_link(LinkHead { trace_id: b"short", ..LinkHead::default() });
        table.finish_span(&SpanHead { flags: 2, status_message: b"m", ..head(n) });
    }
    table.truncate(mark);
    table.finish_span(&SpanHead { parent_span_id: Some(0), ..head(9) });

    let chunk = table.freeze();
    assert_eq!(chunk.n_rows(), 2);
    assert_eq!(chunk.links.span_row.values().len(), 0);
    assert_eq!((chunk.flags.value(0), chunk.flags.value(1)), (1, 0));
    assert_eq!((chunk.trace_state.value(0), chunk.status_message.value(1)), ("k=v", ""));
    assert_eq!((chunk.parent_span_id(0), chunk.parent_span_id(1)), (None, Some([0; 8])));
    assert_eq!(attributes(&chunk.attributes, 0), "d=Double(0.5)");
    assert!(chunk.attributes.column("only here", ValueType::Bytes).is_none());
}

#[test]
fn resources_are_found_again_by_their_bytes_until_the_table_is_cleared() {
    let mut table = TableBuilder::default();
    assert_eq!(table.find_resource(b"raw", b"url"), None);
    table.push_string(Resource, b"service.name", b"mall");
    assert_eq!(table.finish_resource(b"raw", b"url", 3, b""), 0);
    assert_eq!(table.find_resource(b"raw", b"url"), Some(0));
    assert_eq!(table.find_resource(b"raw", b"other"), None);
    table.finish_span(&head(1));
    let chunk = table.freeze();
    assert_eq!(chunk.resources.dropped_attributes.value(0), 3);
    assert_eq!(attributes(&chunk.resources.attributes, 0), r#"service.name=String("mall")"#);
    table.clear();
    assert_eq!((table.n_rows(), table.find_resource(b"raw", b"url")), (0, None));
}

#[test]
fn text_that_is_not_utf8_is_repaired_and_counted_keys_included() {
    let mut table = TableBuilder::default();
    table.push_string(Span, b"k\xff", b"v\xfe");
    table.push_string(Span, b"k\xff", b"good");
    table.finish_span(&head(1));
    assert_eq!(table.take_repaired_texts(), 2, "two attributes");
    assert_eq!(table.take_repaired_texts(), 0);
    assert_eq!(
        attributes(&table.freeze().attributes, 0),
        "k\u{fffd}=String(\"v\u{fffd}\") k\u{fffd}=String(\"good\")"
    );
}

#[test]
fn tenants_are_names_that_can_stand_in_a_path() {
    assert_eq!(Tenant::parse("team-a").map(|t| t.to_string()), Ok("team-a".to_owned()));
    assert_eq!(Tenant::parse(""), Err(TenantError::Empty));
    assert_eq!(Tenant::parse(".."), Err(TenantError::PathSegment));
    assert_eq!(Tenant::parse("a/b"), Err(TenantError::BadCharacter { character: '/' }));
    assert_eq!(Tenant::parse(&"x".repeat(151)), Err(TenantError::TooLong { bytes: 151 }));
}
