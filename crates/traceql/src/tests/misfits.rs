//! What errors of types say and where they point.

use expect_test::expect;

use super::check_errors as check;

#[test]
fn text_is_told_from_keywords() {
    check(
        &[
            r#"{ status = "error" }"#,
            r#"{ span:kind = "SPAN_KIND_SERVER" }"#,
            "{ status = 2 }",
            "{ kind = error }",
            "{ name = checkout }",
            "{ name = error }",
            r#"{ duration > "5s" }"#,
        ],
        expect![[r#"
            { status = "error" }
              ^^^^^^^^^^^^^^^^
            invalid query at line 1, col 3: cannot compare `status`, which is a status, and `"error"`, which is text; it is a keyword, without quotes: `status = error`

            { span:kind = "SPAN_KIND_SERVER" }
              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            invalid query at line 1, col 3: cannot compare `span:kind`, which is a kind, and `"SPAN_KIND_SERVER"`, which is text; it is a keyword, without quotes: `span:kind = server`

            { status = 2 }
              ^^^^^^^^^^
            invalid query at line 1, col 3: cannot compare `status`, which is a status, and `2`, which is a number; a status is one of unset, ok, error

            { kind = error }
              ^^^^^^^^^^^^
            invalid query at line 1, col 3: cannot compare `kind`, which is a kind, and `error`, which is a status; a kind is one of unspecified, internal, server, client, producer, consumer

            { name = checkout }
                     ^^^^^^^^
            parse error at line 1, col 10: found unknown name `checkout`, expected an attribute, an intrinsic or a literal; text stands in quotes: "checkout"

            { name = error }
              ^^^^^^^^^^^^
            invalid query at line 1, col 3: cannot compare `name`, which is text, and `error`, which is a status; text stands in quotes: `"error"`

            { duration > "5s" }
              ^^^^^^^^^^^^^^^
            invalid query at line 1, col 3: cannot compare `duration`, which is a duration, and `"5s"`, which is text; durations have no quotes: `duration > 5s`

        "#]],
    );
}

#[test]
fn types_that_do_not_fit() {
    check(
        &[
            "{ name }",
            "{ 1 }",
            r#"{ !name = "a" }"#,
            r#"{ -name = "a" }"#,
            r#"{ 1 + "a" = 1 }"#,
            r#"{ .a + "a" = 1 }"#,
            "{ status > error }",
            "{ .a > nil }",
            "{ .a && 1 }",
            r#"{ duration =~ "a" }"#,
            "{ .a =~ .b }",
            r#"{ .a =~ "[" }"#,
            r#"{ .a =~ "a(b" }"#,
            "{ name = nil }",
            "{ duration = nil }",
            "{ nil = resource.service.name }",
            "{ } | by(1)",
            "{ } | max(name) > 1",
            "{ } | min(1) > 1",
        ],
        expect![[r#"
            { name }
              ^^^^
            invalid query at line 1, col 3: a filter has to be true or false, and `name` is text; compare it, as in `{ duration > 1s }`

            { 1 }
              ^
            invalid query at line 1, col 3: a filter has to be true or false, and `1` is a number; compare it, as in `{ duration > 1s }`

            { !name = "a" }
              ^^^^^
            invalid query at line 1, col 3: `!` is for true or false, and `name` is text; negate the comparison: `!(… = …)` or `… != …`

            { -name = "a" }
              ^^^^^
            invalid query at line 1, col 3: `-` is for numbers, and `name` is text

            { 1 + "a" = 1 }
              ^^^^^^^
            invalid query at line 1, col 3: cannot calculate with `1`, which is a number, and `"a"`, which is text

            { .a + "a" = 1 }
              ^^^^^^^^
            invalid query at line 1, col 3: `+` is not for text, as `"a"` is

            { status > error }
              ^^^^^^^^^^^^^^
            invalid query at line 1, col 3: `>` is not for a status, as `status` is; only `=` and `!=` compare it

            { .a > nil }
              ^^^^^^^^
            invalid query at line 1, col 3: `>` is not for nil, as `nil` is; `!= nil` asks whether there is a value

            { .a && 1 }
              ^^^^^^^
            invalid query at line 1, col 3: `&&` is not for a number, as `1` is; compare it first

            { duration =~ "a" }
              ^^^^^^^^^^^^^^^
            invalid query at line 1, col 3: cannot compare `duration`, which is a duration, and `"a"`, which is text

            { .a =~ .b }
                    ^^
            invalid query at line 1, col 9: the right side of `=~` has to be text

            { .a =~ "[" }
                    ^^^
            invalid query at line 1, col 9: not a regular expression: missing closing `]`

            { .a =~ "a(b" }
                    ^^^^^
            invalid query at line 1, col 9: not a regular expression: unclosed group

            { name = nil }
              ^^^^
            invalid query at line 1, col 3: `name` is never nil; empty text is `name = ""`

            { duration = nil }
              ^^^^^^^^
            invalid query at line 1, col 3: `duration` is never nil

            { nil = resource.service.name }
                    ^^^^^^^^^^^^^^^^^^^^^
            invalid query at line 1, col 9: `resource.service.name` is never nil; empty text is `resource.service.name = ""`

            { } | by(1)
                     ^
            invalid query at line 1, col 10: `by(1)` groups by a value that is the same for all; group by an attribute: `by(span.foo)`

            { } | max(name) > 1
                      ^^^^
            invalid query at line 1, col 11: `max()` is of numbers, and `name` is text

            { } | min(1) > 1
                      ^
            invalid query at line 1, col 11: `min(1)` is the same for all spans; name an attribute: `min(duration)`

        "#]],
    );
}

#[test]
fn metrics_that_do_not_fit() {
    check(
        &[
            "{ } | rate() | topk(0)",
            "{ } | compare({ .a }) | topk(1)",
            "({ } | compare({ .a })) + ({ } | rate())",
            "{ } | compare({ .a }, 0)",
            "{ } | compare({ .a }, 1, 2, 2)",
            "{ } | compare({ name })",
            "{ } | rate() by (.a, .b, .c, .d, .e, .f)",
            "{ } | avg_over_time(.x) by (.a, .b, .c, .d, .e)",
            "{ } | quantile_over_time(duration, 99)",
        ],
        expect![[r#"
            { } | rate() | topk(0)
            ^^^^^^^^^^^^^^^^^^^^^^
            invalid query at line 1, col 1: `topk(0)` keeps no series

            { } | compare({ .a }) | topk(1)
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            invalid query at line 1, col 1: nothing can follow `compare()`

            ({ } | compare({ .a })) + ({ } | rate())
            ^^^^^^^^^^^^^^^^^^^^^^^
            invalid query at line 1, col 1: `compare()` cannot be an operand

            { } | compare({ .a }, 0)
                  ^^^^^^^^^^^^^^^^^^
            invalid query at line 1, col 7: `compare()` shows between 1 and 1000 values

            { } | compare({ .a }, 1, 2, 2)
                  ^^^^^^^^^^^^^^^^^^^^^^^^
            invalid query at line 1, col 7: the selection of `compare()` ends before it starts

            { } | compare({ name })
                            ^^^^
            invalid query at line 1, col 17: a filter has to be true or false, and `name` is text; compare it, as in `{ duration > 1s }`

            { } | rate() by (.a, .b, .c, .d, .e, .f)
                                                 ^^
            invalid query at line 1, col 38: `rate` is grouped by 6 attributes, and 5 are possible

            { } | avg_over_time(.x) by (.a, .b, .c, .d, .e)
                                                        ^^
            invalid query at line 1, col 45: `avg_over_time` is grouped by 5 attributes, and 4 are possible

            { } | quantile_over_time(duration, 99)
                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            invalid query at line 1, col 7: a quantile lies between 0 and 1; 99 % is `.99`

        "#]],
    );
}
