//! Attributes and intrinsics of spans against constants: every operator, every type, present and
//! absent.

use suyuan_model::SpanHead;

use super::fixture::{Sent, SentSpan, check, span};

fn named(name: &'static str) -> SentSpan {
    SentSpan {
        head: SpanHead { name: name.as_bytes(), ..SpanHead::default() },
        ..SentSpan::default()
    }
}

#[test]
fn texts_compare_by_bytes() {
    let spans = [
        span(&[("a", Sent::Text("b"))]),
        span(&[("a", Sent::Text("ba"))]),
        span(&[]),
        span(&[("a", Sent::Text(""))]),
        span(&[("a", Sent::Text("é"))]),
        span(&[("a", Sent::Int(5))]),
    ];
    check(
        &spans,
        &[
            (r#"span.a = "b""#, &[0]),
            (r#"span.a != "b""#, &[1, 3, 4]),
            (r#"span.a < "ba""#, &[0, 3]),
            (r#"span.a <= "ba""#, &[0, 1, 3]),
            (r#"span.a > "b""#, &[1, 4]),
            (r#"span.a >= "b""#, &[0, 1, 4]),
            (r#""b" < span.a"#, &[1, 4]),
            (r#""b" = span.a"#, &[0]),
            (r#"span.a = """#, &[3]),
            (r#"!(span.a = "b")"#, &[1, 2, 3, 4, 5]),
            (r#"span.missing = "b""#, &[]),
            (r#"span.missing != "b""#, &[]),
        ],
    );
}

#[test]
fn numbers_compare_as_numbers() {
    let spans = [
        span(&[("n", Sent::Int(5))]),
        span(&[("n", Sent::Double(5.0))]),
        span(&[("n", Sent::Double(4.5))]),
        span(&[("n", Sent::Int(-7))]),
        span(&[("n", Sent::Text("5"))]),
        span(&[]),
        span(&[("n", Sent::Double(f64::NAN))]),
    ];
    check(
        &spans,
        &[
            ("span.n = 5", &[0, 1]),
            ("span.n = 5.0", &[0, 1]),
            ("span.n != 5", &[2, 3, 6]),
            ("span.n > 4.4", &[0, 1, 2]),
            ("span.n >= 5", &[0, 1]),
            ("span.n < 5", &[2, 3]),
            ("span.n <= 4.5", &[2, 3]),
            ("5 > span.n", &[2, 3]),
            ("4.5 <= span.n", &[0, 1, 2]),
            ("span.n = 5ns", &[0, 1]),
            ("span.n < 1us", &[0, 1, 2, 3]),
            ("span.n + 0 > 4.5", &[0, 1]),
            ("-span.n = 7", &[3]),
            ("span.n * 2 = 10", &[0, 1]),
            ("span.n / 2 = 2", &[0]),
            ("span.n / 2 = 2.25", &[2]),
            ("span.n % 2 = -1", &[3]),
            ("span.n / 0 = 1", &[]),
            ("!(span.n / 0 = 1)", &[0, 1, 2, 3, 4, 5, 6]),
            ("span.n ^ 2 = 25", &[0, 1]),
            ("2 ^ span.n = 32", &[0, 1]),
            ("span.n ^ 2 = 49", &[3]),
        ],
    );
}

#[test]
fn booleans_are_conditions_themselves() {
    let spans = [
        span(&[("a", Sent::Bool(true))]),
        span(&[("a", Sent::Bool(false))]),
        span(&[]),
        span(&[("a", Sent::Int(1))]),
        span(&[("a", Sent::Array(vec![Sent::Bool(true)]))]),
    ];
    check(
        &spans,
        &[
            (".a", &[0]),
            ("!.a", &[1]),
            ("!(!.a)", &[0]),
            (".a = true", &[0, 4]),
            (".a != true", &[1]),
            (".a = false", &[1]),
            ("true = .a", &[0, 4]),
            (".a && true", &[0]),
            (".a || span.a = 1", &[0, 3]),
            (".missing || .a", &[0]),
            (".missing && .a", &[]),
            ("!(.missing && .a)", &[0, 1, 2, 3, 4]),
            ("!(.a || .missing)", &[1, 2, 3, 4]),
            ("(span.a = 1) = true", &[3]),
            ("true", &[0, 1, 2, 3, 4]),
            ("false", &[]),
            ("1 = 1", &[0, 1, 2, 3, 4]),
            ("1 + 1 = 3 || .a", &[0]),
        ],
    );
}

#[test]
fn nil_is_what_is_missing() {
    let spans = [
        span(&[("a", Sent::Text("x"))]),
        span(&[]),
        span(&[("a", Sent::Empty)]),
        span(&[("a", Sent::Bytes)]),
        span(&[("a", Sent::Map)]),
        span(&[("a", Sent::Array(vec![]))]),
        span(&[("a", Sent::Array(vec![Sent::Int(1), Sent::Text("x")]))]),
        span(&[("b", Sent::Int(1))]),
    ];
    check(
        &spans,
        &[
            ("span.a = nil", &[1, 7]),
            ("nil = .a", &[1, 7]),
            ("span.a != nil", &[0, 2, 3, 4, 5, 6]),
            ("!(span.a = nil)", &[0, 2, 3, 4, 5, 6]),
            (r#"span.a = "x""#, &[0]),
            (r#"span.a != "y""#, &[0]),
            ("duration != nil", &[0, 1, 2, 3, 4, 5, 6, 7]),
            ("name != nil && .b != nil", &[7]),
            (".a = .b", &[]),
            (".a = .a", &[0]),
            ("(.b + 1) != nil", &[7]),
            ("(.b + 1) = nil", &[]),
        ],
    );
}

#[test]
fn one_element_of_an_array_is_enough_but_for_not() {
    let texts = |texts: &[&'static str]| Sent::Array(texts.iter().map(|t| Sent::Text(t)).collect());
    let spans = [
        span(&[("a", texts(&["a", "b"]))]),
        span(&[("a", texts(&["c"]))]),
        span(&[("a", Sent::Array(vec![Sent::Int(1), Sent::Int(9)]))]),
        span(&[("a", Sent::Array(vec![Sent::Double(1.5)]))]),
        span(&[("a", Sent::Array(vec![Sent::Int(1), Sent::Double(1.0)]))]),
        span(&[("a", Sent::Array(vec![texts(&["a"])]))]),
        span(&[("a", Sent::Int(9)), ("b", texts(&["a"]))]),
    ];
    check(
        &spans,
        &[
            (r#".a = "a""#, &[0]),
            (r#".a != "a""#, &[1]),
            (r#".a =~ "a|c""#, &[0, 1]),
            (r#".a !~ "a""#, &[1]),
            (r#".a < "b""#, &[0]),
            (".a = 9", &[2, 6]),
            (".a != 9", &[3]),
            (".a > 1", &[2, 3, 6]),
            ("1 < .a", &[2, 3, 6]),
            (".a < 2.0", &[2, 3]),
            (".a + 1 > 0", &[6]),
            (".a = .a", &[6]),
            (".b = .a", &[]),
            ("!.a", &[]),
        ],
    );
}

#[test]
fn of_keys_sent_twice_one_value_counts() {
    let spans = [
        span(&[("a", Sent::Text("first")), ("a", Sent::Text("second"))]),
        span(&[("a", Sent::Int(1)), ("a", Sent::Text("text"))]),
        span(&[("a", Sent::Int(1)), ("a", Sent::Int(2))]),
    ];
    check(
        &spans,
        &[
            (r#".a = "first""#, &[0]),
            (r#".a = "second""#, &[]),
            (r#".a = "text""#, &[1]),
            (".a = 1", &[2]),
            (".a != 1", &[]),
            (".a + 0 = 2", &[]),
        ],
    );
}

#[test]
fn unscoped_is_the_spans_or_else_the_resources() {
    let resource = |value: Sent| vec![("a", value), ("service.name", Sent::Text("cart"))];
    let mut spans = [
        span(&[("a", Sent::Text("own"))]),
        span(&[]),
        span(&[("a", Sent::Int(1))]),
        span(&[]),
        span(&[("service.name", Sent::Text("own"))]),
    ];
    spans[0].resource = resource(Sent::Text("shared"));
    spans[1].resource = resource(Sent::Text("shared"));
    spans[2].resource = resource(Sent::Text("shared"));
    check(
        &spans,
        &[
            (r#".a = "own""#, &[0]),
            (r#".a = "shared""#, &[1]),
            (r#".a != "own""#, &[1]),
            (r#"resource.a = "shared""#, &[0, 1, 2]),
            (".a = nil", &[3, 4]),
            ("resource.a = nil", &[3, 4]),
            ("span.a = nil", &[1, 3, 4]),
            (r#"resource.service.name = "cart""#, &[0, 1, 2]),
            (r#"resource.service.name = """#, &[3, 4]),
            (r#"resource.service.name != "cart""#, &[3, 4]),
            (r#".service.name = """#, &[3]),
            (r#".service.name =~ "c.*|own""#, &[0, 1, 2, 4]),
            (r#"!(resource.service.name =~ "c.*")"#, &[3, 4]),
        ],
    );
}

#[test]
fn intrinsics_of_spans() {
    let head = |name: &'static str, kind, status_code, nanos: i64| SpanHead {
        name: name.as_bytes(),
        kind,
        status_code,
        start_unix_nanos: 1_000,
        end_unix_nanos: 1_000 + nanos,
        ..SpanHead::default()
    };
    let mut spans = [named(""), named(""), named(""), named("")];
    spans[0].head = head("GET", 2, 0, 1_500_000);
    spans[1].head = SpanHead { status_message: b"no", ..head("POST", 3, 2, 20) };
    spans[2].head = head("GET", 0, 1, -5);
    spans[3].head = head("x", 17, 9, 0);
    check(
        &spans,
        &[
            (r#"name = "GET""#, &[0, 2]),
            (r#"span:name != "GET""#, &[1, 3]),
            (r#"name =~ "G.*|x""#, &[0, 2, 3]),
            (r#"name > "GET""#, &[1, 3]),
            ("kind = server", &[0]),
            ("kind != server", &[1, 2, 3]),
            ("kind = unspecified", &[2]),
            ("status = error", &[1]),
            ("status != unset", &[1, 2, 3]),
            ("duration > 1ms", &[0]),
            ("duration >= 20", &[0, 1]),
            ("duration < 0.5", &[2, 3]),
            ("duration = -5", &[2]),
            ("1ms < duration", &[0]),
            ("duration * 2 = 40", &[1]),
            (r#"statusMessage = "no""#, &[1]),
            (r#"statusMessage = """#, &[0, 2, 3]),
            (r#"statusMessage !~ "n.""#, &[0, 2, 3]),
            ("status = error && kind = client", &[1]),
            ("kind != nil", &[0, 1, 2, 3]),
        ],
    );
}

#[test]
fn ids_compare_without_case_and_leading_zeros() {
    let id = |trace: u128, span_id: u64| SentSpan {
        head: SpanHead { trace_id: trace.to_be_bytes(), span_id, ..SpanHead::default() },
        ..SentSpan::default()
    };
    let mut spans = [id(0xab, 0x1f), id(0xabc, u64::MAX), id(u128::MAX, 0)];
    spans[0].attributes = vec![("id", Sent::Text("001F"))];
    check(
        &spans,
        &[
            (r#"trace:id = "ab""#, &[0]),
            (r#"trace:id = "00000000000000000000000000000000AB""#, &[0]),
            (r#"trace:id != "ab""#, &[1, 2]),
            (r#"trace:id > "ab""#, &[1, 2]),
            (r#"trace:id =~ "0{29}ab.""#, &[1]),
            (r#"trace:id = "xyz""#, &[]),
            (r#"trace:id != "xyz""#, &[0, 1, 2]),
            (r#"span:id = "1F""#, &[0]),
            (r#"span:id =~ "f+""#, &[1]),
            (r#"span:id = """#, &[2]),
            (r#"span:id < "20""#, &[0, 2]),
            ("span:id = .id", &[0]),
            ("span:id = trace:id", &[]),
        ],
    );
}

#[test]
fn instrumentation_has_a_name_a_version_and_attributes() {
    let mut spans = [span(&[]), span(&[]), span(&[])];
    spans[0].scope = ("http", "1.2", vec![("a", Sent::Int(1))]);
    spans[1].scope = ("grpc", "", vec![]);
    check(
        &spans,
        &[
            (r#"instrumentation:name = "http""#, &[0]),
            (r#"instrumentation:name = """#, &[2]),
            (r#"instrumentation:version != "1.2""#, &[1, 2]),
            ("instrumentation.a = 1", &[0]),
            ("instrumentation.a = nil", &[1, 2]),
            (r#"instrumentation:name =~ ".*p.*""#, &[0, 1]),
        ],
    );
}

#[test]
fn equalities_of_one_attribute_are_looked_up_together() {
    let id = |span_id| SpanHead { span_id, ..SpanHead::default() };
    let mut spans = [
        span(&[("a", Sent::Int(1))]),
        span(&[("a", Sent::Double(2.0))]),
        span(&[("a", Sent::Text("x"))]),
        span(&[("a", Sent::Array(vec![Sent::Int(7), Sent::Int(3)]))]),
        span(&[("b", Sent::Text("y"))]),
    ];
    spans[4].head = id(0xab);
    spans[1].head = id(0xcd);
    check(
        &spans,
        &[
            (".a = 1 || .a = 2", &[0, 1]),
            (".a = 3 || .a = 2 || .a = 2.0", &[1, 3]),
            (".a = 1 || .a = `x` || .b = `y` || .a = `z` || .a = 3", &[0, 2, 3, 4]),
            ("!(.a = 1 || .a = `x` || .a = 2 || .a = `z`)", &[3, 4]),
            ("span:id = `AB` || span:id = `00cd`", &[1, 4]),
            ("span:id = `AB` || span:id = `none` || span:id = `1`", &[4]),
            ("(.a = 1 || .a = 2) && (span:id = `cd` || span:id = `ef`)", &[1]),
            (".a = 1s || .a = 1ns", &[0]),
        ],
    );
}
