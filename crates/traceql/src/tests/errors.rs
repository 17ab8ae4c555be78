//! What errors of the grammar say and where they point.

use expect_test::expect;

use super::check_errors as check;

#[test]
fn words_that_are_nearly_right() {
    check(
        &[
            "{ statuss = error }",
            "{ span:statsu = error }",
            r#"{ resorce.service.name = "x" }"#,
            r#"{ service.name = "x" }"#,
            r#"{ trace.id = "x" }"#,
            r#"{ span:route = "x" }"#,
            "{ http = 1 }",
            "{ .a = True }",
            "{ .a = null }",
            "{ } | cuont() > 1",
            "{ count() > 1 }",
        ],
        expect![[r#"
            { statuss = error }
              ^^^^^^^
            parse error at line 1, col 3: found unknown name `statuss`, expected an attribute, an intrinsic or a literal; did you mean `status`?

            { span:statsu = error }
              ^^^^^^^^^^^
            parse error at line 1, col 3: found unknown intrinsic `span:statsu`, expected `span:duration`, `span:name`, `span:kind`, `span:status`, `span:statusMessage`, `span:id`, `span:parentID`, `span:childCount`; did you mean `span:status`?

            { resorce.service.name = "x" }
              ^^^^^^^
            parse error at line 1, col 3: found unknown scope `resorce`, expected `span`, `resource`, `event`, `link`, `instrumentation`, `parent` or nothing before the dot; did you mean `resource.service.name`?

            { service.name = "x" }
              ^^^^^^^
            parse error at line 1, col 3: found unknown scope `service`, expected `span`, `resource`, `event`, `link`, `instrumentation`, `parent` or nothing before the dot; for any scope: `.service.name`

            { trace.id = "x" }
              ^^^^^
            parse error at line 1, col 3: found unknown scope `trace`, expected `span`, `resource`, `event`, `link`, `instrumentation`, `parent` or nothing before the dot; traces have intrinsics only: `trace:id`, `trace:duration`, `trace:rootName`, `trace:rootService`

            { span:route = "x" }
              ^^^^^^^^^^
            parse error at line 1, col 3: found unknown intrinsic `span:route`, expected `span:duration`, `span:name`, `span:kind`, `span:status`, `span:statusMessage`, `span:id`, `span:parentID`, `span:childCount`; for an attribute write a dot: `span.route`

            { http = 1 }
              ^^^^
            parse error at line 1, col 3: found unknown name `http`, expected an attribute, an intrinsic or a literal; attributes begin with a dot or their scope: `.http`, `span.http`, `resource.http`

            { .a = True }
                   ^^^^
            parse error at line 1, col 8: found unknown name `True`, expected an attribute, an intrinsic or a literal; did you mean `true`, or the text "True"?

            { .a = null }
                   ^^^^
            parse error at line 1, col 8: found unknown name `null`, expected an attribute, an intrinsic or a literal; a value that is not there is `nil`

            { } | cuont() > 1
                  ^^^^^
            parse error at line 1, col 7: found `cuont`, expected `{`, `(` or a stage such as `count() > 1` or `by(name)`; did you mean `count`?

            { count() > 1 }
              ^^^^^
            parse error at line 1, col 3: found unknown name `count`, expected an attribute, an intrinsic or a literal; aggregates are of all spans found, behind the braces: `{ … } | count(…) > 1`

        "#]],
    );
}

#[test]
fn operators_of_other_languages() {
    check(
        &[
            "{ .a == 1 }",
            "{ .a <> 1 }",
            "{ .a = 1 AND .b = 2 }",
            "{ not .a }",
            r#"{ .a in ("x", "y") }"#,
            "{ .a is nil }",
            "{ .a & .b }",
            "{ .a | .b }",
            "{ .a >> .b }",
            "{ .a = 1, .b = 2 }",
        ],
        expect![[r#"
            { .a == 1 }
                 ^^
            parse error at line 1, col 6: found `==`, expected an operator or `}`; write `=`

            { .a <> 1 }
                 ^^
            parse error at line 1, col 6: found `<>`, expected an operator or `}`; write `!=`

            { .a = 1 AND .b = 2 }
                     ^^^
            parse error at line 1, col 10: found `AND`, expected an operator or `}`; write `&&`

            { not .a }
              ^^^
            parse error at line 1, col 3: found unknown name `not`, expected an attribute, an intrinsic or a literal; write `!`

            { .a in ("x", "y") }
                 ^^
            parse error at line 1, col 6: found `in`, expected an operator or `}`; write `.a = 1 || .a = 2`, or `.a =~ "one|two"`

            { .a is nil }
                 ^^
            parse error at line 1, col 6: found `is`, expected an operator or `}`; write `= nil` or `!= nil`

            { .a & .b }
                 ^
            parse error at line 1, col 6: found `&`, expected an operator or `}`; write `&&`

            { .a | .b }
                 ^
            parse error at line 1, col 6: found `|`, expected an operator or `}`; write `||`, or close the braces before the next stage

            { .a >> .b }
                 ^^
            parse error at line 1, col 6: found `>>`, expected an operator or `}`; structure is asked for between braces: `{ … } >> { … }`

            { .a = 1, .b = 2 }
                    ^
            parse error at line 1, col 9: found `,`, expected an operator or `}`

        "#]],
    );
}

#[test]
fn quotes() {
    check(
        &[
            "{ .a = 'x' }",
            "{ .a = “x” }",
            r#"{ .a = "x }"#,
            "{ .a = `x }",
            r#"{ .a =~ "\d+" }"#,
            r#"{ ."a = 1 }"#,
            r#"{ ."a\n" = 1 }"#,
            "{ .3foo = 1 }",
        ],
        expect![[r#"
            { .a = 'x' }
                   ^
            parse error at line 1, col 8: found `'`, expected an attribute, a literal or an operator; text stands in double quotes or backticks: "text"

            { .a = “x” }
                   ^
            parse error at line 1, col 8: found `“`, expected an attribute, a literal or an operator; text stands in straight double quotes or backticks: "text"

            { .a = "x }
                   ^
            parse error at line 1, col 8: found text without end, expected `"` at its end

            { .a = `x }
                   ^
            parse error at line 1, col 8: found text without end, expected a backtick at its end

            { .a =~ "\d+" }
                     ^^
            parse error at line 1, col 10: found unknown escape `\d`, expected one of Go's, such as `\n` or `\u00e4`; write a backslash of text or of a regular expression twice, or use backticks: `\d+`

            { ."a = 1 }
               ^
            parse error at line 1, col 4: found a quoted name without end, expected `"` behind it

            { ."a\n" = 1 }
                 ^
            parse error at line 1, col 6: found a backslash in a quoted name, expected `\\` or `\"`

            { .3foo = 1 }
              ^^^^^
            parse error at line 1, col 3: found `.3foo`, expected a number or a duration; a name that begins with a digit stands in quotes: `."3foo"`

        "#]],
    );
}

#[test]
fn numbers() {
    check(
        &[
            "{ .a = 99999999999999999999 }",
            "{ .a = 0x10 }",
            "{ duration > 5x }",
            "{ duration > 5 s }",
            "{ duration > 1.5d }",
            "{ duration > 300y }",
        ],
        expect![[r#"
            { .a = 99999999999999999999 }
                   ^^^^^^^^^^^^^^^^^^^^
            parse error at line 1, col 8: found a number that is too large, expected at most 9223372036854775807

            { .a = 0x10 }
                   ^^^^
            parse error at line 1, col 8: found `0x10`, expected a number or a duration; numbers are decimal; units of time are ns, us, ms, s, m, h, and without fractions d, w, y

            { duration > 5x }
                         ^^
            parse error at line 1, col 14: found `5x`, expected a number or a duration; numbers are decimal; units of time are ns, us, ms, s, m, h, and without fractions d, w, y

            { duration > 5 s }
                           ^
            parse error at line 1, col 16: found `s`, expected an operator or `}`; no blank before the unit: `5s`

            { duration > 1.5d }
                         ^^^^
            parse error at line 1, col 14: found `1.5d`, expected a number or a duration; numbers are decimal; units of time are ns, us, ms, s, m, h, and without fractions d, w, y

            { duration > 300y }
                         ^^^^
            parse error at line 1, col 14: found a number that is too large, expected at most a duration of 292 years

        "#]],
    );
}

#[test]
fn what_is_missing() {
    check(
        &[
            "",
            "{",
            "{ .a = 1",
            "{ .a = }",
            "{ .a = 1 && }",
            r#"{ .a "x" }"#,
            "{ (.a = 1 }",
            "({ .a = 1 }",
            "{ . }",
            "{} ||",
            "{ .a .b }",
            "/* what",
        ],
        expect![[r#"

            ^
            parse error at line 1, col 1: found the end of the query, expected a query such as `{ status = error }`

            {
             ^
            parse error at line 1, col 2: found the end of the query, expected an attribute or a literal

            { .a = 1
                    ^
            parse error at line 1, col 9: found the end of the query, expected an operator or `}`

            { .a = }
                   ^
            parse error at line 1, col 8: found `}`, expected an attribute or a literal

            { .a = 1 && }
                        ^
            parse error at line 1, col 13: found `}`, expected an attribute or a literal

            { .a "x" }
                 ^^^
            parse error at line 1, col 6: found the text "x", expected an operator or `}`; is `=` missing?

            { (.a = 1 }
                      ^
            parse error at line 1, col 11: found `}`, expected an operator or `)`

            ({ .a = 1 }
                       ^
            parse error at line 1, col 12: found the end of the query, expected `|`, an operator or `)`

            { . }
              ^
            parse error at line 1, col 3: found no name, expected the name of an attribute right behind `.`

            {} ||
                 ^
            parse error at line 1, col 6: found the end of the query, expected `{` or `(`

            { .a .b }
                 ^^
            parse error at line 1, col 6: found `.b`, expected an operator or `}`; join conditions by `&&` or `||`

            /* what
            ^^
            parse error at line 1, col 1: found a comment without end, expected `*/` behind it

        "#]],
    );
}

#[test]
fn what_is_too_much() {
    check(
        &[
            "{ .a = 1 }}",
            "{ .a = 1 })",
            "{{ .a = 1 }}",
            "{ .a = 1 } {.b = 2}",
            r#"{ } \| rate()"#,
            "{ .a = $foo }",
            "status = error",
        ],
        expect![[r#"
            { .a = 1 }}
                      ^
            parse error at line 1, col 11: found `}`, expected `|`, an operator between spansets such as `&&` or `>>`, `with` or the end

            { .a = 1 })
                      ^
            parse error at line 1, col 11: found `)`, expected `|`, an operator between spansets such as `&&` or `>>`, `with` or the end

            {{ .a = 1 }}
             ^
            parse error at line 1, col 2: found `{`, expected an attribute or a literal; braces do not stand in braces

            { .a = 1 } {.b = 2}
                       ^
            parse error at line 1, col 12: found `{`, expected `|`, an operator between spansets such as `&&` or `>>`, `with` or the end

            { } \| rate()
                ^
            parse error at line 1, col 5: found `\`, expected an attribute, a literal or an operator; remove the backslash

            { .a = $foo }
                   ^
            parse error at line 1, col 8: found `$`, expected an attribute, a literal or an operator; a variable of a dashboard was not replaced

            status = error
            ^^^^^^
            parse error at line 1, col 1: found `status`, expected `{`, `(` or a stage such as `count() > 1` or `by(name)`; conditions on spans stand in braces: `{ status = error }`

        "#]],
    );
}

#[test]
fn stages() {
    check(
        &[
            "{ } | count()",
            "{ } | count() > ",
            "{ } | 3 > 2",
            "count(.a) > 1",
            "{ } | avg() > 1",
            "count() > 3 && { }",
            "by(.a) && { .b }",
            "coalesce()",
            "{ } | select(a)",
            "{ } | max(status) = ok",
            "{ } = 10",
            "{ } + { }",
        ],
        expect![[r#"
            { } | count()
                         ^
            parse error at line 1, col 14: found the end of the query, expected a comparison behind the aggregate, such as `> 1`

            { } | count() > 
                            ^
            parse error at line 1, col 17: found the end of the query, expected a number, a duration or an aggregate such as `count()`

            { } | 3 > 2
                  ^
            parse error at line 1, col 7: found the number `3` on the left, expected an aggregate; write the number on the right: `count() > 2`

            count(.a) > 1
                  ^^
            parse error at line 1, col 7: found `.a`, expected `)`; `count()` counts spans: filter them before it

            { } | avg() > 1
                      ^
            parse error at line 1, col 11: found `)`, expected an attribute or a literal

            count() > 3 && { }
                        ^^
            parse error at line 1, col 13: found `&&`, expected `|`, `with` or the end; a pipeline that is an operand stands in brackets: `({ … } | count() > 1) && …`

            by(.a) && { .b }
                   ^^
            parse error at line 1, col 8: found `&&`, expected `|`, `with` or the end; a pipeline that is an operand stands in brackets: `({ … } | by(name)) && …`

            coalesce()
            ^^^^^^^^
            parse error at line 1, col 1: found `coalesce`, expected `{`, `(` or a stage such as `count() > 1` or `by(name)`; `coalesce()` follows another stage: `… | coalesce()`

            { } | select(a)
                         ^
            parse error at line 1, col 14: found unknown name `a`, expected an attribute, an intrinsic or a literal; attributes begin with a dot or their scope: `.a`, `span.a`, `resource.a`

            { } | max(status) = ok
                                ^^
            parse error at line 1, col 21: found `ok`, expected a number, a duration or an aggregate such as `count()`; conditions on spans stand in braces: `{ status = error }`

            { } = 10
                ^
            parse error at line 1, col 5: found `=`, expected `|` or an operator between spansets: `&&`, `||`, `>`, `>>`, `<`, `<<`, `~`; conditions on spans stand within the braces

            { } + { }
                ^
            parse error at line 1, col 5: found `+`, expected `|` or an operator between spansets: `&&`, `||`, `>`, `>>`, `<`, `<<`, `~`; series can be added: `({} | rate()) + ({} | rate())`

        "#]],
    );
}

#[test]
fn metrics() {
    check(
        &[
            "rate()",
            "{ } | topk(10)",
            "{ } | rate() + 5",
            "({} | rate()) % 10",
            "({} | rate()) * 10s",
            "({} | rate()) > (10s * 2)",
            "{ } | rate() | topk(-1)",
            "{ } | rate() | { }",
            "{ } | quantile_over_time(duration)",
            "{ } | rate() by ()",
            "{ } | rate() with(sample)",
        ],
        expect![[r#"
            rate()
            ^^^^
            parse error at line 1, col 1: found `rate`, expected `{`, `(` or a stage such as `count() > 1` or `by(name)`; say of which spans: `{ } | rate(…)`

            { } | topk(10)
                  ^^^^
            parse error at line 1, col 7: found `topk`, expected another stage; series come first: `{ } | rate() by (name) | topk(10)`

            { } | rate() + 5
                         ^
            parse error at line 1, col 14: found `+`, expected `|`, a comparison with a number, `with` or the end; put both sides in brackets: `({} | rate()) / ({} | rate())`

            ({} | rate()) % 10
                          ^
            parse error at line 1, col 15: found `%`, expected `+`, `-`, `*`, `/` or a comparison such as `>` behind series

            ({} | rate()) * 10s
                            ^^^
            parse error at line 1, col 17: found a duration, expected a number or a metrics query such as `({} | rate())`; series of durations count seconds: `10`

            ({} | rate()) > (10s * 2)
                             ^^^
            parse error at line 1, col 18: found a duration in arithmetic, expected a number that series can have

            { } | rate() | topk(-1)
                                ^
            parse error at line 1, col 21: found `-`, expected how many series to keep, such as `10`

            { } | rate() | { }
                           ^
            parse error at line 1, col 16: found `{`, expected `topk(…)`, `bottomk(…)` or a comparison behind a metrics query

            { } | quantile_over_time(duration)
                                             ^
            parse error at line 1, col 34: found `)`, expected `,` and a quantile such as `.99`

            { } | rate() by ()
                             ^
            parse error at line 1, col 18: found `)`, expected an attribute such as `span.foo`

            { } | rate() with(sample)
                                    ^
            parse error at line 1, col 25: found `)`, expected `=` behind the name of the hint

        "#]],
    );
}

#[test]
fn places_in_texts_of_many_lines() {
    check(
        &["{ .a = 1\n  && .ä = 'x' }", "{ .a = 1 }\n\n| foo()"],
        expect![[r#"
          && .ä = 'x' }
                  ^
        parse error at line 2, col 11: found `'`, expected an attribute, a literal or an operator; text stands in double quotes or backticks: "text"

        | foo()
          ^^^
        parse error at line 3, col 3: found `foo`, expected `{`, `(` or a stage such as `count() > 1` or `by(name)`; conditions on spans stand in braces: `{ status = error }`

    "#]],
    );
}

#[test]
fn a_long_line_is_drawn_around_the_place() {
    let long =
        format!("{{ .a = \"{}\" && .b == 1 && .c = \"{}\" }}", "x".repeat(500), "y".repeat(500));
    check(
        &[&long],
        expect![[r#"
        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" && .b == 1 && .c = "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy
                                                                    ^^
        parse error at line 1, col 517: found `==`, expected an operator or `}`; write `=`

    "#]],
    );
}
