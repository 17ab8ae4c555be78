//! Which queries search executes, and which stage stops the others.

use expect_test::{Expect, expect};

use crate::{parse, print};

/// The filter and what is shown beside it, or why it is not executed and where.
fn check(queries: &[&str], expected: Expect) {
    let mut shown = String::new();
    for query in queries {
        let tree = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        match tree.span_filter() {
            Ok(filter) => {
                shown += &print::field_expr(filter.filter);
                for attribute in filter.selected {
                    shown += &format!(", {}", print::attribute(attribute));
                }
                shown += &format!(" with {} hints\n", filter.hints.len());
            }
            Err(error) => {
                let place = error.place.start as usize..error.place.end as usize;
                shown += &format!("`{}`: {error}\n", &query[place]);
            }
        }
    }
    expected.assert_eq(&shown);
}

#[test]
fn a_filter_alone_is_executed() {
    check(
        &[
            "{}",
            "({ .a = 1 && .b })",
            "{ .a } | select(.b, span:name) | select(.c)",
            "({ .a } | select(.b)) with(most_recent=true)",
        ],
        expect![[r#"
            true with 0 hints
            (.a = 1) && .b with 0 hints
            .a, .b, name, .c with 0 hints
            .a, .b with 1 hints
        "#]],
    );
}

#[test]
fn of_a_metrics_query_its_spans_are() {
    check(
        &[
            "{ .a } | rate()",
            "{ .a } | quantile_over_time(duration, .9) by (span.b, resource.c) | topk(3) > 1",
            "{ .a } | compare({ .b })",
        ],
        expect![[r#"
            .a with 0 hints
            .a, duration, span.b, resource.c with 0 hints
            .a with 0 hints
        "#]],
    );
}

#[test]
fn other_stages_are_named() {
    check(
        &[
            "{ .a } && { .b }",
            "{ .a } !>> { .b }",
            "{ .a } | { .b }",
            "{ .a } | count() > 1",
            "{ .a } | by(.b)",
            "{ .a } | coalesce()",
            "({ .a } | count() > 1) || { .b }",
            "by(.a)",
            "select(.a) | { .b }",
            "count() > 1 | { .b }",
            "({ .a } | count()) > 1",
            "{ .a } > { .b } | rate()",
            "({ .a } | rate()) * 2",
            "{ .a = 1 && parent.b = 1 }",
            "{ parent = nil }",
            "{ } | select(parent.a)",
            "{ } | rate() by (parent.a)",
        ],
        expect![[r#"
            `{ .a } && { .b }`: `&&` between spansets: parsed and understood, but this version does not execute it yet
            `{ .a } !>> { .b }`: structural operator `!>>`: parsed and understood, but this version does not execute it yet
            `{ .b }`: a second filter of spansets (`{ … } | { … }`): parsed and understood, but this version does not execute it yet
            `count() > 1`: a filter by an aggregate such as `count() > 1`: parsed and understood, but this version does not execute it yet
            `by(.b)`: grouping by `by(…)`: parsed and understood, but this version does not execute it yet
            `coalesce()`: `coalesce()`: parsed and understood, but this version does not execute it yet
            `({ .a } | count() > 1) || { .b }`: `||` between spansets: parsed and understood, but this version does not execute it yet
            `by(.a)`: grouping by `by(…)`: parsed and understood, but this version does not execute it yet
            `select(.a)`: `select(…)` before a filter: parsed and understood, but this version does not execute it yet
            `count() > 1`: a filter by an aggregate such as `count() > 1`: parsed and understood, but this version does not execute it yet
            `({ .a } | count()) > 1`: a filter by an aggregate such as `count() > 1`: parsed and understood, but this version does not execute it yet
            `{ .a } > { .b }`: structural operator `>`: parsed and understood, but this version does not execute it yet
            `({ .a } | rate()) * 2`: arithmetic between series in a search: parsed and understood, but this version does not execute it yet
            `parent.b`: `parent`, the attributes of the parent span: parsed and understood, but this version does not execute it yet
            `parent`: `parent`, the attributes of the parent span: parsed and understood, but this version does not execute it yet
            `parent.a`: `parent`, the attributes of the parent span: parsed and understood, but this version does not execute it yet
            `parent.a`: `parent`, the attributes of the parent span: parsed and understood, but this version does not execute it yet
        "#]],
    );
}
