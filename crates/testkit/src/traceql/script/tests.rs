//! Scripts as examples.

use super::*;
use crate::traceql::search::RefTraces;

const SCRIPT: &str = "\
# Why.
trace 1 @10:00:00
  a/one
  a/two  +1ms
trace 2 @10:00:01
  a/one  id:7
  a/one  id:8
---
{ true }
with spss 1, limit 2,from 09:00:00, longer 1ms
=> 2: one#7 of 2
=> 1: one of 2

{
  false }
=> none
===
trace 1
 x
---
{ }
=> x
";

#[test]
fn a_script_is_scenes_queries_and_answers() {
    let acts = parse(SCRIPT).expect("a script");
    let [first, second] = &acts[..] else { panic!("two acts") };
    let [all, nothing] = &first.cases[..] else { panic!("two cases") };
    assert_eq!((all.line, all.query.as_str()), (9, "{ true }"));
    assert_eq!((all.question.spans_per_set, all.question.limit), (1, 2));
    assert_eq!(all.question.duration_nanos_min, Some(1_000_000));
    assert_eq!(all.expected, ["2: one#7 of 2", "1: one of 2"]);
    assert_eq!(nothing.query, "{\n  false }");
    assert_eq!(second.cases[0].expected, ["x"]);
    let traces = RefTraces::of(&first.scene.spans);
    assert_eq!(
        answer_lines(&first.scene, &traces.search(&all.question).expect("an answer")),
        all.expected
    );
}

#[test]
fn a_script_that_expects_nothing_is_refused() {
    let error = parse("trace 1\n---\n{ true }\n").unwrap_err();
    assert_eq!(error, "line 3: nothing is expected");
}

#[test]
fn what_is_written_is_read() {
    let acts = parse(SCRIPT).expect("a script");
    let case = &acts[0].cases[0];
    let spans = &acts[0].scene.spans;
    let found = RefTraces::of(spans).search(&case.question).expect("an answer");
    let again = parse(&write(spans, &case.query, &case.question, &found)).expect("a script");
    assert_eq!(again[0].scene.spans, *spans);
    assert_eq!(again[0].cases[0].expected, case.expected);
    assert_eq!(
        format!("{:?}", again[0].cases[0].question.range_unix_nanos),
        format!("{:?}", case.question.range_unix_nanos)
    );
}
