//! Pictures of traces, whole and broken.
//!
//! A trace is written as lines of `id parent service name start..end`, times in milliseconds, `-`
//! for no parent, then optionally `! message` for an error. It becomes the JSON of an answer, and
//! the answer becomes the picture.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::answer::{Trace, parse};
use super::draw::waterfall;
use super::style::Style;
use super::*;

const START_MS: i64 = 1_795_362_713_123;
const NARROW: Style = Style { columns: 40, colour: false, unicode: true };
const PLAIN: Style = Style { columns: 100, colour: false, unicode: true };

fn check(spans: &str, expected: Expect) {
    expected.assert_eq(&draw(&trace(spans), PLAIN));
}

fn draw(trace: &Trace, style: Style) -> String {
    let mut out = Vec::new();
    waterfall(&mut out, TraceId::parse("af7651916cd43dd8448eb211c80319c").unwrap(), trace, style)
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    // Trailing blanks cannot be seen in an expectation.
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn trace(spans: &str) -> Trace {
    parse(answer(spans.lines().map(span).collect()).to_string().as_bytes()).unwrap()
}

fn answer(resource_spans: Vec<Value>) -> Value {
    json!({ "trace": { "resourceSpans": resource_spans }, "metrics": {} })
}

fn span(line: &str) -> Value {
    let (line, error) = line.split_once(" ! ").unwrap_or((line, ""));
    let words: Vec<_> = line.split_whitespace().collect();
    let [id, parent, service, name @ .., times] = &words[..] else { panic!("no span: {line}") };
    let (start, end) = times.split_once("..").unwrap();
    let mut span = json!({
        "spanId": base64_id(id),
        "name": name.join(" "),
        "startTimeUnixNano": unix_nanos(start),
        "endTimeUnixNano": unix_nanos(end),
    });
    if *parent != "-" {
        span["parentSpanId"] = base64_id(parent).into();
    }
    if !error.is_empty() {
        span["status"] = json!({ "code": "STATUS_CODE_ERROR", "message": error });
    }
    resource_spans(service, vec![span])
}

fn resource_spans(service: &str, spans: Vec<Value>) -> Value {
    let name = json!({ "key": "service.name", "value": { "stringValue": service } });
    json!({ "resource": { "attributes": [name] }, "scopeSpans": [{ "spans": spans }] })
}

fn base64_id(id: &str) -> String {
    BASE64.encode(suyuan_ids::SpanId::parse(id).unwrap().as_bytes())
}

fn unix_nanos(milliseconds: &str) -> String {
    let milliseconds: f64 = milliseconds.parse().unwrap();
    (START_MS * 1_000_000 + (milliseconds * 1e6) as i64).to_string()
}

const SHOP: &str = "\
1 - gateway GET /home 0..182
2 1 mall GET /home 6..160
3 2 mall render 10..150
4 3 redis GET user:42 11..12.2
5 3 payment POST /pay 40..81 ! card declined
6 5 bank authorize 44..79 ! insufficient funds
7 3 home-page GET /banner 90..149
8 7 mysql SELECT banners 95..140
9 1 audit publish 170..182";

#[test]
fn a_trace_is_a_tree_with_bars() {
    check(
        SHOP,
        expect![[r#"
        gateway GET /home
        182 ms · 9 spans · 8 services · 2 errors · 2026-11-22 15:51:53.123 UTC
        trace 0af7651916cd43dd8448eb211c80319c

        ● gateway 1  ● mall 2  ● redis 1  ● payment 1 ✗1  ● bank 1 ✗1  ● home-page 1  ● mysql 1  ● audit 1

                                          0             45.5 ms        91 ms         136 ms   182 ms
        gateway GET /home                 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  182 ms
        ├─ mall GET /home                   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━         154 ms
        │  └─ render                         ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━            140 ms
        │     ├─ redis GET user:42           ╺                                                        1.2 ms
        │     ├─ ✗ payment POST /pay                  ╺━━━━━━━━━━━━━                                   41 ms
        │     │  │  card declined
        │     │  └─ ✗ bank authorize                    ━━━━━━━━━━━                                    35 ms
        │     │        insufficient funds
        │     └─ home-page GET /banner                                ╺━━━━━━━━━━━━━━━━━━╸             59 ms
        │        └─ mysql SELECT banners                                ╺━━━━━━━━━━━━━╸                45 ms
        └─ audit publish                                                                        ━━━━   12 ms
    "#]],
    );
}

#[test]
fn a_narrow_terminal_gets_names_and_lengths() {
    expect![[r#"
        gateway GET /home
        182 ms · 9 spans · 8 services · 2 errors
        2026-11-22 15:51:53.123 UTC
        trace 0af7651916cd43dd8448eb211c80319c

        ● gateway 1  ● mall 2  ● redis 1
        ● payment 1 ✗1  ● bank 1 ✗1
        ● home-page 1  ● mysql 1  ● audit 1

                                0 182 ms
        gateway GET /home       ━━━━━━━━  182 ms
        ├─ mall GET /home       ╺━━━━━━   154 ms
        │  └─ render            ╺━━━━━╸   140 ms
        │     ├─ redis GET us…  ╺         1.2 ms
        │     ├─ ✗ payment PO…    ━╸       41 ms
        │     │  │  card declined
        │     │  └─ ✗ bank au…    ━╸       35 ms
        │     │        insufficient funds
        │     └─ home-page GE…      ━━╸    59 ms
        │        └─ mysql SEL…      ━━     45 ms
        └─ audit publish               ╺   12 ms
    "#]]
    .assert_eq(&draw(&trace(SHOP), NARROW));
}

#[test]
fn a_terminal_without_utf8_gets_ascii() {
    let style = Style { columns: 80, colour: false, unicode: false };
    let name = "work".repeat(30);
    let text = draw(&trace(&format!("1 - a {name} 0..0.012\n2 1 b more 0.003..0.009 ! no")), style);
    assert!(text.is_ascii(), "{text}");
    expect![[r#"
        a workworkworkworkworkworkworkworkworkworkworkworkworkworkworkworkworkworkworkw~
        12 us - 2 spans - 2 services - 1 error - 2026-11-22 15:51:53.123 UTC
        trace 0af7651916cd43dd8448eb211c80319c

        * a 1  * b 1 x1

                                                      0            6 us     12 us
        a workworkworkworkworkworkworkworkworkworkw~  ===========================  12 us
        `- x b more                                          ==============         6 us
              no
    "#]]
    .assert_eq(&text);
}

#[test]
fn colours_follow_services_and_errors_are_red() {
    let style = Style { columns: 60, colour: true, unicode: true };
    let text = draw(&trace("1 - a work 0..10\n2 1 b more 5..10 ! no"), style);
    expect![[r#"
        ^[1ma work^[0m
        ^[1m10 ms^[0m^[2m · ^[0m2 spans^[2m · ^[0m2 services^[2m · ^[0m^[31m1 error^[0m
        ^[2m2026-11-22 15:51:53.123 UTC^[0m
        ^[2mtrace 0af7651916cd43dd8448eb211c80319c^[0m

        ^[38;5;33m● a 1^[0m^[2m  ^[0m^[38;5;71m● b 1 ✗1^[0m

                      ^[2m0                  5 ms           10 ms^[0m
        ^[38;5;33ma ^[0mwork        ^[38;5;33m━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━^[0m  10 ms
        ^[2m└─ ^[0m^[31m✗ ^[0m^[38;5;71mb ^[0m^[31mmore^[0m                      ^[31m╺━━━━━━━━━━━━━━━━━━━^[0m  ^[31m 5 ms^[0m
        ^[2m      ^[0m^[31mno^[0m
    "#]].assert_eq(&text.replace('\u{1b}', "^"));
}

#[test]
fn wide_characters_take_two_columns() {
    check(
        "1 - 网关 首页 请求 0..100\n2 1 支付服务 扣款 20..90 ! 余额不足\n3 1 mall GET 30..40",
        expect![[r#"
            网关 首页 请求
            100 ms · 3 spans · 3 services · 1 error · 2026-11-22 15:51:53.123 UTC
            trace 0af7651916cd43dd8448eb211c80319c

            ● 网关 1  ● 支付服务 1 ✗1  ● mall 1

                                0                 25 ms             50 ms             75 ms       100 ms
            网关 首页 请求      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  100 ms
            ├─ ✗ 支付服务 扣款                ╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━          70 ms
            │     余额不足
            └─ mall GET                              ╺━━━━━━━                                              10 ms
        "#]],
    );
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let long = format!("{SHOP}\na 9 {name} {name} 3..4 ! {name}", name = "长name".repeat(40));
    for columns in [0, 1, 5].into_iter().chain((20..200).step_by(9)) {
        for unicode in [true, false] {
            let text = draw(&trace(&long), Style { columns, colour: false, unicode });
            let widest = text.lines().map(crate::terminal::width).max().unwrap();
            // What is too narrow for anything is still drawn, just not to fit.
            assert!(widest <= columns.max(20), "{columns}:\n{text}");
        }
    }
}

#[test]
fn orphans_and_several_roots_are_shown_and_named() {
    check(
        "1 - gateway GET / 0..50\n2 1 mall GET / 5..45\n3 99 redis GET 10..12\n4 - cron sweep 20..30\n5 3 redis io 10..11",
        expect![[r#"
            gateway GET /
            50 ms · 5 spans · 4 services · 0 errors · 2026-11-22 15:51:53.123 UTC
            trace 0af7651916cd43dd8448eb211c80319c

            ● gateway 1  ● mall 1  ● redis 2  ● cron 1

                           0                  12.5 ms             25 ms              37.5 ms        50 ms
            gateway GET /  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  50 ms
            └─ mall GET /          ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━          40 ms
            redis GET                     ╺━━╸                                                              2 ms
            │  its parent 0000000000000099 is not here
            └─ io                         ╺━                                                                1 ms
            cron sweep                                    ━━━━━━━━━━━━━━━━                                 10 ms
        "#]],
    );
}

#[test]
fn circles_are_cut_above_their_earliest_span() {
    check(
        "1 3 a one 5..50\n2 1 b two 3..45\n3 2 c three 10..40\n4 3 d below 12..20\n5 5 e itself 0..9",
        expect![[r#"
            e itself
            50 ms · 5 spans · 5 services · 0 errors · 2026-11-22 15:51:53.123 UTC
            trace 0af7651916cd43dd8448eb211c80319c

            ● a 1  ● b 1  ● c 1  ● d 1  ● e 1

                           0                  12.5 ms             25 ms              37.5 ms        50 ms
            e itself       ━━━━━━━━━━━━━━                                                                   9 ms
               names itself as its parent
            b two              ╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━          42 ms
            │  its parents form a circle, cut here
            └─ c three                    ╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸                 30 ms
               ├─ a one            ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  45 ms
               │     starts 5 ms before its parent
               └─ d below                    ╺━━━━━━━━━━━━                                                  8 ms
        "#]],
    );
}

#[test]
fn an_id_that_occurs_twice_is_drawn_twice() {
    check(
        "1 - a call 0..10\n2 1 b serve 1..9\n2 1 b again 2..8\n3 2 c below 3..4",
        expect![[r#"
        a call
        10 ms · 4 spans · 3 services · 0 errors · 2026-11-22 15:51:53.123 UTC
        trace 0af7651916cd43dd8448eb211c80319c

        ● a 1  ● b 2  ● c 1

                       0                  2.5 ms              5 ms               7.5 ms         10 ms
        a call         ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  10 ms
        ├─ b serve             ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━           8 ms
        │  └─ c below                         ╺━━━━━━━                                                  1 ms
        └─ b again                    ╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸                  6 ms
              another span has the same id 0000000000000002
    "#]],
    );
}

#[test]
fn wrong_clocks_are_drawn_and_named() {
    check(
        "1 - gateway GET / 0..100\n2 1 early GET / -30..40\n3 1 backwards GET / 50..20\n4 1 hours GET / 28800000..28800050\n5 1 epoch GET / -1795362713000..-1795362712900\n6 1 endless GET / 60..7000000000000",
        expect![[r#"
            gateway GET /
            130 ms · 6 spans · 6 services · 0 errors · 2026-11-22 15:51:53.093 UTC
            trace 0af7651916cd43dd8448eb211c80319c

            ● gateway 1  ● early 1  ● backwards 1  ● hours 1  ● epoch 1  ● endless 1

                                0               32.5 ms          65 ms            97.5 ms    130 ms
            gateway GET /                      ╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━       100 ms
            ├─ epoch GET /      «                                                                         100 ms
            │     starts 56 y 339 d before the others
            ├─ early GET /      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━                                       70 ms
            │     starts 30 ms before its parent
            ├─ backwards GET /                                           ╸                                -30 ms
            │     ends before it starts
            ├─ endless GET /                                                  ╺━━━━━━━━━━━━━━━━━━━━  221 y 353 d
            └─ hours GET /                                                                        »        50 ms
                  starts 8 h after the others
        "#]],
    );
}

#[test]
fn an_instant_is_drawn() {
    check(
        "1 - a tick 0..0",
        expect![[r#"
        a tick
        0 ns · 1 span · 1 service · 0 errors · 2026-11-22 15:51:53.123 UTC
        trace 0af7651916cd43dd8448eb211c80319c

        ● a 1

                      0
        a tick        ╸                                                                                 0 ns
    "#]],
    );
}

#[test]
fn deep_chains_say_their_depth() {
    let chain: Vec<_> = (1..=14)
        .map(|id| match id {
            1 => "1 - deep call 0..100".to_owned(),
            _ => format!("{id:x} {:x} deep call{id} {id}..{}", id - 1, 100 - id),
        })
        .collect();
    let style = Style { columns: 60, ..PLAIN };
    expect![[r#"
        deep call
        100 ms · 14 spans · 1 service · 0 errors
        2026-11-22 15:51:53.123 UTC
        trace 0af7651916cd43dd8448eb211c80319c

        ● deep 14

                                        0             100 ms
        deep call                       ━━━━━━━━━━━━━━━━━━━━  100 ms
        └─ call2                        ╺━━━━━━━━━━━━━━━━━━╸   96 ms
           └─ call3                     ╺━━━━━━━━━━━━━━━━━━╸   94 ms
              └─ call4                   ━━━━━━━━━━━━━━━━━━    92 ms
                 └─ call5                ━━━━━━━━━━━━━━━━━━    90 ms
                    └─ call6             ━━━━━━━━━━━━━━━━━━    88 ms
                       └─ call7          ╺━━━━━━━━━━━━━━━━╸    86 ms
                      ⋮ 7 call8          ╺━━━━━━━━━━━━━━━━╸    84 ms
                      ⋮ 8 call9           ━━━━━━━━━━━━━━━━     82 ms
                      ⋮ 9 call10          ━━━━━━━━━━━━━━━━     80 ms
                     ⋮ 10 call11          ━━━━━━━━━━━━━━━━     78 ms
                     ⋮ 11 call12          ╺━━━━━━━━━━━━━━╸     76 ms
                     ⋮ 12 call13          ╺━━━━━━━━━━━━━━╸     74 ms
                     ⋮ 13 call14           ━━━━━━━━━━━━━━      72 ms
    "#]]
    .assert_eq(&draw(&trace(&chain.join("\n")), style));
}

#[test]
fn twenty_thousand_spans_deep_or_wide_are_drawn() {
    for parent_of in [|id: usize| id - 1, |_| 1] {
        let spans: Vec<_> = (1..=20_000)
            .map(|id| match id {
                1 => "1 - big root 0..100".to_owned(),
                _ => format!("{id:x} {:x} big work 1..2", parent_of(id)),
            })
            .collect();
        let text = draw(&trace(&spans.join("\n")), PLAIN);
        assert_eq!(text.matches(" work").count(), 19_999);
    }
}

#[test]
fn exceptions_events_and_links_are_shown() {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let exception = |kind: &str, message: &str| {
        let attributes = [text("exception.type", kind), text("exception.message", message)];
        json!({ "name": "exception", "attributes": attributes })
    };
    let span = json!({
        "spanId": base64_id("1"),
        "name": "consume",
        "startTimeUnixNano": unix_nanos("0"),
        "endTimeUnixNano": unix_nanos("5"),
        "events": [
            { "name": "fetched" },
            { "name": "decoded" },
            exception("OutOfStock", "none\nleft\u{1b}[31m"),
            exception("Timeout", ""),
            exception("Timeout", ""),
            exception("Timeout", ""),
        ],
        "links": [{ "traceId": "AA==" }],
        "status": { "code": "STATUS_CODE_ERROR" },
    });
    let body = answer(vec![resource_spans("order", vec![span])]).to_string();
    expect![[r#"
        order consume
        5 ms · 1 span · 1 service · 1 error · 2026-11-22 15:51:53.123 UTC
        trace 0af7651916cd43dd8448eb211c80319c

        ● order 1 ✗1

                                           0             1.25 ms        2.5 ms         3.75 ms    5 ms
        ✗ order consume  2 events  1 link  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  5 ms
           OutOfStock: none left·[31m
           Timeout
           Timeout
           and 1 more exception
    "#]].assert_eq(&draw(&parse(body.as_bytes()).unwrap(), PLAIN));
}

#[test]
fn an_exception_that_repeats_the_status_message_adds_its_type() {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let exception = |kind: &str, message: &str| {
        let attributes = [text("exception.type", kind), text("exception.message", message)];
        json!({ "name": "exception", "attributes": attributes })
    };
    let span = json!({
        "spanId": base64_id("1"),
        "name": "charge",
        "startTimeUnixNano": unix_nanos("0"),
        "endTimeUnixNano": unix_nanos("5"),
        "events": [
            exception("", "no funds"),
            exception("CardDeclined", "no funds"),
            exception("IOError", "also no funds"),
        ],
        "status": { "code": "STATUS_CODE_ERROR", "message": "no funds" },
    });
    let body = answer(vec![resource_spans("payment", vec![span])]).to_string();
    expect![[r#"
        payment charge
        5 ms · 1 span · 1 service · 1 error · 2026-11-22 15:51:53.123 UTC
        trace 0af7651916cd43dd8448eb211c80319c

        ● payment 1 ✗1

                          0                  1.25 ms            2.5 ms             3.75 ms        5 ms
        ✗ payment charge  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  5 ms
           no funds
           CardDeclined
           IOError: also no funds
    "#]].assert_eq(&draw(&parse(body.as_bytes()).unwrap(), PLAIN));
}

#[test]
fn an_end_before_the_start_is_read_from_where_the_server_keeps_it() {
    let raw_end = json!({ "key": "suyuan.raw_end_time_unix_nano", "value": { "intValue": unix_nanos("-7") } });
    let span = json!({
        "spanId": base64_id("1"),
        "name": "tick",
        "startTimeUnixNano": unix_nanos("0"),
        "endTimeUnixNano": unix_nanos("0"),
        "attributes": [raw_end],
    });
    let body = answer(vec![resource_spans("clock", vec![span])]).to_string();
    expect![[r#"
        clock tick
        0 ns · 1 span · 1 service · 0 errors · 2026-11-22 15:51:53.123 UTC
        trace 0af7651916cd43dd8448eb211c80319c

        ● clock 1

                      0
        clock tick    ╸                                                                                -7 ms
           ends before it starts
    "#]].assert_eq(&draw(&parse(body.as_bytes()).unwrap(), PLAIN));
}

#[test]
fn a_partial_answer_says_so() {
    let mut body = answer(vec![span("1 - a work 0..5")]);
    body["status"] = "PARTIAL".into();
    body["message"] = "trace exceeds max size".into();
    expect![[r#"
        a work
        5 ms · 1 span · 1 service · 0 errors · 2026-11-22 15:51:53.123 UTC
        trace 0af7651916cd43dd8448eb211c80319c
        incomplete: trace exceeds max size

        ● a 1

                      0                   1.25 ms             2.5 ms              3.75 ms         5 ms
        a work        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  5 ms
    "#]].assert_eq(&draw(&parse(body.to_string().as_bytes()).unwrap(), PLAIN));
}

#[test]
fn an_absent_trace_has_no_spans() {
    for body in [r#"{"trace":{}}"#, r#"{"trace":{"resourceSpans":[]},"metrics":{}}"#, "{}"] {
        assert!(parse(body.as_bytes()).unwrap().spans.is_empty(), "{body}");
    }
}

#[test]
fn what_is_no_trace_is_refused() {
    for body in [
        "",
        "<html>",
        r#"{"trace":{"resourceSpans":7}}"#,
        r#"{"trace":{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"!"}]}]}]}}"#,
        r#"{"trace":{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"-1"}]}]}]}}"#,
    ] {
        let _: answer::AnswerError = parse(body.as_bytes()).unwrap_err();
    }
}

#[test]
fn ids_are_taken_as_people_have_them() {
    let whole = TraceId::parse("0af7651916cd43dd8448eb211c80319c");
    for text in [
        "0af7651916cd43dd8448eb211c80319c",
        "af7651916cd43dd8448eb211c80319c",
        " 0AF7651916CD43DD8448EB211C80319C\n",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        assert_eq!(parse_id(text), whole, "{text}");
    }
    for text in ["", "xyz", "0", "00-0-0-0", "123456789012345678901234567890123"] {
        let _: IdError = parse_id(text).unwrap_err();
    }
}

/// A span with small ids, so that parents are missing, meet themselves and occur twice.
fn any_span() -> impl Strategy<Value = answer::Span> {
    let id = |byte: u8| suyuan_ids::SpanId::from_bytes([0, 0, 0, 0, 0, 0, 0, byte]);
    let time = prop_oneof![0..1_000_000_000i64, any::<i64>()];
    let ids = (1..12u8, proptest::option::of(1..14u8));
    (ids, time.clone(), time, ".{0,12}", any::<bool>()).prop_map(
        move |((own, parent), start_unix_nanos, end_unix_nanos, name, failed)| answer::Span {
            id: id(own),
            parent: parent.map(id),
            service: usize::from(own % 3),
            status_message: if failed { name.clone() } else { String::new() },
            name,
            start_unix_nanos,
            end_unix_nanos,
            failed,
            exceptions: Vec::new(),
            n_exceptions: 0,
            n_events: 0,
            n_links: 0,
        },
    )
}

proptest! {
    #[test]
    fn every_span_is_drawn_once_below_its_parent_whatever_they_say(
        spans in proptest::collection::vec(any_span(), 1..40),
        columns in 20..160usize,
    ) {
        let forest = tree::forest(&spans);
        let mut seen = vec![false; spans.len()];
        for row in &forest.rows {
            prop_assert!(!std::mem::replace(&mut seen[row.span], true), "drawn twice");
            prop_assert!(row.parent.is_none_or(|parent| seen[parent]), "before its parent");
        }
        prop_assert!(seen.iter().all(|seen| *seen), "not drawn");

        let services = ["网关", "mall", "a-service-of-a-long-name"].map(str::to_owned).to_vec();
        let text = draw(&Trace { services, spans, incomplete: None }, Style { columns, ..PLAIN });
        for line in text.lines() {
            prop_assert!(crate::terminal::width(line) <= columns, "{}", line);
        }
    }
}
