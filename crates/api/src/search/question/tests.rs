//! Parameters and what is made of them.

use expect_test::{Expect, expect};
use suyuan_traceql::print;

use super::*;

proptest::proptest! {
    /// Whatever is sent is answered, and what is refused is said on few lines.
    #[test]
    fn any_query_string_is_taken_or_refused(
        names in proptest::collection::vec(
            "q|tags|start|end|since|limit|spss|minDuration|maxDuration|[a-z]", 0..5,
        ),
        value in "[0-9.:TZ+smhdµ%\\\\\"{}=&|a-z -]{0,40}",
        other in ".{0,20}",
    ) {
        let mut query_string = String::new();
        for (n, name) in names.iter().enumerate() {
            let value = if n % 2 == 0 { &value } else { &other };
            let escaped: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            query_string += &format!("{name}={escaped}&");
        }
        if let Err(refused) = check_search(&query_string) {
            assert!(refused.lines().count() <= 3, "{refused}");
        }
    }
}

const NOW: i64 = 1_000_000 * 1_000_000_000;

fn asked(query: &str) -> Result<SearchRequest, ApiError> {
    let uri = format!("/api/search?{query}").parse().expect("a path");
    let parameters = Parameters::new(axum::extract::Query::try_from_uri(&uri))?;
    question(&parameters, Explain::No, NOW)
}

/// The request on one line, what is as always left out; or the error.
fn check(query: &str, expected: Expect) {
    let drawn = match asked(query) {
        Ok(request) => drawn(&request),
        Err(error) => format!("{error}"),
    };
    expected.assert_eq(&drawn);
}

fn drawn(request: &SearchRequest) -> String {
    let mut drawn = format!("{{ {} }}", print::field_expr(&request.filter));
    let mut say = |text: String| {
        drawn.push(' ');
        drawn.push_str(&text);
    };
    if !request.selected.is_empty() {
        let selected: Vec<_> = request.selected.iter().map(print::attribute).collect();
        say(format!("select {}", selected.join(",")));
    }
    if let Some(range) = request.range {
        say(format!("from {} to {}", range.min_unix_nanos, range.max_unix_nanos));
    }
    if request.limit != 20 {
        say(format!("limit {}", request.limit));
    }
    if request.spans_per_set != 3 {
        say(format!("spans {}", request.spans_per_set));
    }
    if let Some(nanos) = request.duration_nanos_min {
        say(format!("at least {nanos}"));
    }
    if let Some(nanos) = request.duration_nanos_max {
        say(format!("at most {nanos}"));
    }
    drawn
}

#[test]
fn nothing_given_asks_for_the_newest_traces() {
    check("", expect!["{ true }"]);
    check(
        "q=&tags=&start=0&end=0&limit=0&spss=0&minDuration=&maxDuration=0&since=0",
        expect!["{ true }"],
    );
    check("unknown=1&q=%20", expect!["{ true }"]);
}

#[test]
fn a_query_in_traceql() {
    check(
        "q=%7B%20.a%20%3D%201%20%7D&limit=262144&spss=100",
        expect!["{ .a = 1 } limit 262144 spans 100"],
    );
    check(
        "q=%7Bname%3D%22x%22%7D%7Cselect(span.a%2Cstatus)",
        expect!["{ name = `x` } select span.a,status"],
    );
    check("q={}&q={false}", expect!["{ true }"]);
}

#[test]
fn ranges_of_time() {
    check("start=100&end=200", expect!["{ true } from 100000000000 to 200000000000"]);
    check(
        "start=1684778327.5&end=1684778328699392724",
        expect!["{ true } from 1684778327500000000 to 1684778328699392724"],
    );
    check("start=1970-01-01T00:00:01Z&end=2", expect!["{ true } from 1000000000 to 2000000000"]);
    check("since=1h", expect!["{ true } from 996400000000000 to 1000000000000000"]);
    check("since=1h&start=1&end=2", expect!["{ true } from 996400000000000 to 1000000000000000"]);
    check(
        "start=100",
        expect!["only one of start and end is given: give both, or neither to search any time"],
    );
    check("end=100&start=0", expect!["{ true } from 0 to 100000000000"]);
    check("end=0&start=", expect!["{ true }"]);
    check("start=200&end=100", expect!["end must be after start"]);
    check("start=100&end=100", expect!["end must be after start"]);
    check(
        "start=now&end=100",
        expect![
            "parameter `start` is not a time: give seconds or nanoseconds since 1970 as a number, or a date such as 2026-11-22T22:30:00Z"
        ],
    );
    check(
        "since=soon",
        expect![
            "parameter `since` is `soon`, which is not a duration: write one such as 250ms, 1.5s or 1h30m"
        ],
    );
}

#[test]
fn durations_of_traces_go_with_tags() {
    check(
        "minDuration=1.5s&maxDuration=1m",
        expect!["{ true } at least 1500000000 at most 60000000000"],
    );
    check(
        "tags=name%3Dcart&minDuration=100ms",
        expect!["{ name =~ `.*cart.*` } at least 100000000"],
    );
    check("q={}&minDuration=100ms", expect!["{ true }"]);
    check(
        "minDuration=2s&maxDuration=1s",
        expect!["maxDuration must not be less than minDuration"],
    );
    check(
        "minDuration=fast",
        expect![
            "parameter `minDuration` is `fast`, which is not a duration: write one such as 250ms, 1.5s or 1h30m"
        ],
    );
}

#[test]
fn limits_are_limited() {
    check("limit=262145", expect!["parameter `limit` is 262145, at most 262144 is allowed"]);
    check("limit=-1", expect!["parameter `limit` is `-1`, which is not a whole number"]);
    check("limit=many", expect!["parameter `limit` is `many`, which is not a whole number"]);
    check("spss=101", expect!["parameter `spss` is 101, at most 100 is allowed"]);
    check(
        "limit=99999999999999999999",
        expect!["parameter `limit` is `99999999999999999999`, which is not a whole number"],
    );
}

#[test]
fn what_cannot_be_asked_is_said_with_its_place() {
    check("q={}&tags=a%3Db", expect!["give either `q` or `tags`, not both"]);
    check(
        "q=%7B%20.a%20%3D%20%7D",
        expect![[r#"
        parse error at line 1, col 8: found `}`, expected an attribute or a literal
        { .a = }
               ^"#]],
    );
    check(
        "q=%7B%20status%20%3D%20%22error%22%20%7D",
        expect![[r#"
            invalid query at line 1, col 3: cannot compare `status`, which is a status, and `"error"`, which is text; it is a keyword, without quotes: `status = error`
            { status = "error" }
              ^^^^^^^^^^^^^^^^"#]],
    );
    check(
        "q=%7B%7D%3E%3E%7B%7D",
        expect![[r#"
            structural operator `>>`: parsed and understood, but this version does not execute it yet; it searches by one filter of spans, { ... }
            {}>>{}
            ^^^^^^"#]],
    );
    check(
        "q=%7B%7D%7Ccount()%3E1",
        expect![[r#"
            a filter by an aggregate such as `count() > 1`: parsed and understood, but this version does not execute it yet; it searches by one filter of spans, { ... }
            {}|count()>1
               ^^^^^^^^^"#]],
    );
    check("tags=a", expect!["invalid tags: `a` has no value: write a=value"]);
    let long = traceql(&"x".repeat(TEXT_BYTES_MAX + 1));
    assert!(matches!(long, Err(ApiError::QueryTooLong { n_bytes: 131_073 })));
}

#[test]
fn one_filter_is_one_filter() {
    for (text, is_one) in [
        ("{ .a = 1 }", true),
        ("{ .a = 1 } | select(.b)", false),
        ("{ .a = 1 } >> { .b = 1 }", false),
        ("{ .a = }", false),
    ] {
        assert_eq!(one_filter(text).is_ok(), is_one, "{text}");
    }
}
