//! Drawings as examples, and that what is drawn is read again.

use super::*;
use crate::random::Random;
use crate::traceql::random::{RandomSpans, Shape};

#[test]
fn a_drawing_says_all_of_a_span() {
    let scene = parse(
        r#"
trace 1 @10:00:00
  gateway/GET /cart  server 120ms http.status=200 (scope "lib" "1.2" debug=true)
    cart/load  client +10ms 1.5ms error message:"no" tags=["a", 2] (resource pod="a b")
      ! exception  +5ms exception.type="x" "odd key"=2.0
      & 0a0b - why=retry raw=0x00ff
  /orphan  parent:63 kind:9 status:-1 map={a=1} nothing=empty
"#,
    )
    .expect("a drawing");
    let [root, child, orphan] = &scene.spans[..] else { panic!("three spans") };
    assert_eq!(root.start_unix_nanos, DAY_UNIX_NANOS + 36_000_000_000_000);
    assert_eq!((root.name.as_str(), root.service_name()), ("GET /cart", Some("gateway")));
    assert_eq!((root.kind, root.duration_nanos()), (2, 120_000_000));
    assert_eq!(root.attributes, [("http.status".to_owned(), RefValue::Int(200))]);
    assert_eq!((root.scope_name.as_str(), root.scope_version.as_str()), ("lib", "1.2"));
    assert_eq!((child.span_id, child.parent_span_id), (2, Some(1)));
    assert_eq!(child.start_unix_nanos, root.start_unix_nanos + 10_000_000);
    assert_eq!((child.duration_nanos(), child.status_code), (1_500_000, 2));
    let tags = RefValue::Array(vec![RefValue::Text("a".into()), RefValue::Int(2)]);
    assert_eq!(child.attributes, [("tags".to_owned(), tags)]);
    assert_eq!(child.resource[1], ("pod".to_owned(), RefValue::Text("a b".into())));
    let event = &child.events[0];
    assert_eq!(event.time_unix_nanos as i64, child.start_unix_nanos + 5_000_000);
    assert_eq!(event.attributes[1], ("odd key".to_owned(), RefValue::Double(2.0)));
    let link = &child.links[0];
    assert_eq!((&link.trace_id[..], &link.span_id[..]), (&[10, 11][..], &[][..]));
    assert_eq!(link.attributes[1].1, RefValue::Bytes(vec![0, 255]));
    assert_eq!((orphan.parent_span_id, orphan.kind, orphan.status_code), (Some(99), 9, -1));
    assert_eq!(orphan.service_name(), None);
    assert_eq!(orphan.attributes[1].1, RefValue::Empty);
}

#[test]
fn what_says_nothing_is_refused() {
    assert_eq!(parse("trace 1\n a/b  word").unwrap_err(), "`word` says nothing: a/b  word");
    assert_eq!(parse("trace one").unwrap_err(), "a trace has a number: trace one");
    assert_eq!(parse("! event").unwrap_err(), "no span has this event: ! event");
}

#[test]
fn drawn_spans_are_read_again() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let spans = RandomSpans::new(&mut random, Shape::default()).sent;
        let drawn = draw(&spans, |id| id as u64);
        let scene = parse(&drawn).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
        assert_eq!(scene.spans.len(), spans.len(), "seed {seed}");
        for (read, span) in scene.spans.iter().zip(&spans) {
            // Not-a-number is not equal to itself.
            assert_eq!(format!("{read:?}"), format!("{span:?}"), "seed {seed}");
        }
    }
}
