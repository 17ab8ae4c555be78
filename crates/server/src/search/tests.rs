//! Answers as people see them.

use clap::Parser;
use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: SearchArgs,
}

fn args(words: &[&str]) -> Result<SearchArgs, clap::Error> {
    let words = std::iter::once("search").chain(words.iter().copied());
    Command::try_parse_from(words).map(|command| command.args)
}

fn answer() -> serde_json::Value {
    let set = json!({
        "spans": [
            {
                "spanID": "0000000000000012", "name": "charge", "startTimeUnixNano": "1",
                "durationNanos": "100000000",
                "attributes": [
                    { "key": "http.status_code", "value": { "intValue": "500" } },
                    { "key": "ratio", "value": { "doubleValue": 0.5 } },
                    { "key": "status", "value": { "stringValue": "error" } },
                ],
            },
            { "spanID": "0000000000000013", "startTimeUnixNano": "1" },
        ],
        "matched": 1_200,
    });
    json!({
        "traces": [
            {
                "traceID": "4bf92f3577b34da6a3ce929d0e0e4736", "rootServiceName": "支付服务",
                "rootTraceName": "GET /cart\u{1b}[2J/a/very/long/path/that/nobody/reads",
                "startTimeUnixNano": "1795362713123456789", "durationMs": 250,
                "spanSet": set, "spanSets": [set],
            },
            {
                "traceID": "1a", "rootServiceName": "<root span not yet received>",
                "startTimeUnixNano": "1795362712000000000",
                "spanSet": { "spans": [{ "spanID": "0000000000000031" }], "matched": 1 },
            },
        ],
        "metrics": {},
    })
}

fn check_table(columns: usize, expected: Expect) {
    let traces = answer::parse(answer().to_string().as_bytes()).expect("an answer");
    expected.assert_eq(&table::draw(&traces, columns));
}

#[test]
fn a_line_for_each_trace() {
    check_table(
        400,
        expect![[r#"
            trace                             2026-11-22 UTC  duration  service                       root                                              spans  first span
            4bf92f3577b34da6a3ce929d0e0e4736  15:51:53.123      250 ms  支付服务                      GET /cart·[2J/a/very/long/path/that/nobody/reads  1,200  charge 100 ms http.status_code=500 ratio=0.5 status=error
            1a                                15:51:52.000       <1 ms  <root span not yet received>                                                        1  0000000000000031 0 ns
        "#]],
    );
}

#[test]
fn where_columns_are_few_texts_share_them() {
    check_table(
        120,
        expect![[r#"
        trace                             2026-11-22 UTC  duration  service           root              spans  first span
        4bf92f3577b34da6a3ce929d0e0e4736  15:51:53.123      250 ms  支付服务          GET /cart·[2J/a…  1,200  charge 100 ms ht…
        1a                                15:51:52.000       <1 ms  <root span not …                        1  0000000000000031…
    "#]],
    );
    check_table(
        80,
        expect![[r#"
        trace                             2026-11-22 UTC  duration  root           spans
        4bf92f3577b34da6a3ce929d0e0e4736  15:51:53.123      250 ms  GET /cart·[2…  1,200
        1a                                15:51:52.000       <1 ms                     1
    "#]],
    );
    check_table(
        40,
        expect![[r#"
        trace
        4bf92f3577b34da6a3ce929d0e0e4736
        1a
    "#]],
    );
    check_table(
        60,
        expect![[r#"
            trace                             2026-11-22 UTC  duration
            4bf92f3577b34da6a3ce929d0e0e4736  15:51:53.123      250 ms
            1a                                15:51:52.000       <1 ms
        "#]],
    );
}

#[test]
fn a_day_that_all_traces_share_is_said_once() {
    let mut traces = answer::parse(answer().to_string().as_bytes()).expect("an answer");
    let day = |traces: &[answer::Trace]| {
        let text = table::draw(traces, 400);
        let start: Vec<String> =
            text.lines().map(|line| line.chars().skip(34).take(23).collect()).collect();
        start.join("\n")
    };
    traces[0].start_time_unix_nano += 1_000_000_000;
    let one_day = day(&traces);
    traces[0].start_time_unix_nano += 86_400_000_000_000;
    expect![[r#"
        2026-11-22 UTC  duratio
        15:51:54.123      250 m
        15:51:52.000       <1 m
        start (UTC)            
        2026-11-23 15:51:54.123
        2026-11-22 15:51:52.000"#]]
    .assert_eq(&format!("{one_day}\n{}", day(&traces)));
}

#[test]
fn what_is_no_answer_is_refused() {
    assert!(answer::parse(b"<html>").is_err());
    assert!(answer::parse(br#"{"traces":[{"traceID":7}]}"#).is_err());
    assert!(answer::parse(br#"{"traces":[{"traceID":"1","startTimeUnixNano":"x"}]}"#).is_err());
    assert_eq!(answer::parse(br#"{"metrics":{}}"#).expect("nothing found").len(), 0);
}

#[test]
fn arguments_become_parameters() {
    let drawn = |words: &[&str]| {
        let parameters = parameters(&args(words).expect("arguments"));
        parameters.iter().map(|(name, value)| format!("{name}={value} ")).collect::<String>()
    };
    assert_eq!(drawn(&[]), "q={} limit=20 spss=3 ");
    assert_eq!(
        drawn(&["{ .a = 1 }", "--since", "1h", "--limit", "5", "--spss", "1"]),
        "q={ .a = 1 } limit=5 spss=1 since=1h "
    );
    assert_eq!(drawn(&["--start", "1", "--end", "2"]), "q={} limit=20 spss=3 start=1 end=2 ");
    for refused in [
        &["--start", "1"][..],
        &["--end", "1"],
        &["--since", "1h", "--start", "1", "--end", "2"],
        &["--limit", "0"],
        &["--width", "10"],
    ] {
        assert!(args(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn an_explanation_sums_up_and_lists_what_was_read() {
    let unit = |slice: u64, fate: &str, because: Option<&str>| {
        json!({
            "block": "01a", "slice": slice, "fate": fate, "because": because, "spans": 49_152,
        })
    };
    let mut read = unit(0, "read", None);
    read["spansRead"] = 16_384.into();
    read["spansFound"] = 12.into();
    read["bytesRead"] = 40_960.into();
    read["elapsedMs"] = 1.25.into();
    let live = json!({
        "live": 7, "chunk": 0, "fate": "read", "spans": 100, "spansRead": 100, "spansFound": 0,
        "bytesRead": 0, "elapsedMs": 0.01,
    });
    let body = json!({
        "asked": { "filter": "{ span.card = `visa` }" },
        "elapsedMs": 3.21,
        "found": {
            "traces": 1, "matchedSpans": 12, "exact": false, "missing": "block 02b: gone",
            "spansInspected": 16_484, "bytesRead": 40_960, "unitsTotal": 6, "unitsRead": 2,
            "unitsPruned": 2, "unitsOutside": 1, "unitsNotNeeded": 1,
        },
        "units": [
            live,
            read,
            unit(1, "pruned", Some("no span has `card`")),
            unit(2, "pruned", Some("no span has `card`")),
            unit(3, "not needed", None),
            unit(4, "failed", Some("cut short")),
        ],
    });
    let explained = explained::parse(body.to_string().as_bytes()).expect("an explanation");
    expect![[r#"
        { span.card = `visa` }
        1 trace in 3.2 ms: 12 spans match, 16,484 spans looked at, 40 KiB read
        something may be missing: block 02b: gone
        of 6 units (slices and live chunks): 2 read, 2 without what is asked for, 1 out of range, 1 older than a full answer

        not read:
          2 (98,304 spans): no span has `card`
          1 (49,152 spans): not needed
          1 (49,152 spans): block 01a slice 4 failed: cut short

                     read   spans  looked at  match   bytes    ms
           live 7 chunk 0     100        100      0     0 B  0.01
        block 01a slice 0  49,152     16,384     12  40 KiB  1.25
    "#]].assert_eq(&explained::text(&explained));
}
