//! Queries that others wrote: which are read, how they are printed, and which are refused where.

use serde_json::Value as Json;
use suyuan_testkit::corpus::Corpora;

use crate::ast::Attribute;
use crate::{Error, parse, parse_attribute};

/// Queries that Tempo answers with 200 and we refuse, or the other way round (`docs/traceql.md`).
const OTHER_VERDICTS: [(&str, Verdict, &str); 2] = [
    (
        "{ parent.service.name != .service.name }",
        Verdict::Valid,
        "`parent` is part of the language",
    ),
    (
        "{ parent.service.name != .service.name } | max(parent.duration - duration) > 1s",
        Verdict::Valid,
        "`parent` is part of the language",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Valid,
    ParseError,
    ValidationError,
}

fn verdict(query: &str) -> Verdict {
    match parse(query) {
        Ok(_) => Verdict::Valid,
        Err(Error::Parse(_)) => Verdict::ParseError,
        Err(Error::Validation(_)) => Verdict::ValidationError,
    }
}

fn lines(corpora: &Corpora, name: &str) -> Vec<String> {
    let text = corpora.text(&format!("traceql/{name}"));
    text.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn rows(corpora: &Corpora, name: &str) -> Vec<Json> {
    lines(corpora, name)
        .iter()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn text_of(row: &Json, key: &str) -> Option<String> {
    row[key].as_str().map(str::to_owned)
}

/// Every query gets the verdict; none of them is left out.
fn all_are(queries: &[String], expected: Verdict, least: usize) {
    assert!(queries.len() >= least, "{} queries, not {least}", queries.len());
    let wrong: Vec<String> = queries
        .iter()
        .filter(|query| verdict(query) != expected)
        .map(|query| {
            format!(
                "{query}\n    {:?}: {:?}",
                verdict(query),
                parse(query).map_err(|error| error.to_string())
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{} are not {expected:?}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is printed reads as the same, and is printed the same.
fn all_are_fixed_points(queries: &[String]) {
    for query in queries {
        let tree = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let printed = tree.to_string();
        let again = parse(&printed).unwrap_or_else(|error| panic!("{query}: {printed}: {error}"));
        assert_eq!(again, tree, "{query}: {printed}");
        assert_eq!(again.to_string(), printed, "{query}");
    }
}

#[test]
fn what_tempo_answers_is_valid_and_printed_canonically() {
    let Some(corpora) = Corpora::find() else { return };
    let valid = lines(&corpora, "ALL_valid.txt");
    all_are(&valid, Verdict::Valid, 400);
    all_are_fixed_points(&valid);
}

#[test]
fn what_tempo_cannot_execute_is_valid() {
    let Some(corpora) = Corpora::find() else { return };
    let unsupported = lines(&corpora, "ALL_unsupported_by_tempo.txt");
    all_are(&unsupported, Verdict::Valid, 9);
    all_are_fixed_points(&unsupported);
}

#[test]
fn what_does_not_follow_the_grammar_is_refused() {
    let Some(corpora) = Corpora::find() else { return };
    all_are(&lines(&corpora, "ALL_parse_invalid.txt"), Verdict::ParseError, 100);
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(corpora) = Corpora::find() else { return };
    all_are(&lines(&corpora, "ALL_validate_invalid.txt"), Verdict::ValidationError, 100);
}

#[test]
fn an_error_points_into_the_text() {
    let Some(corpora) = Corpora::find() else { return };
    for name in ["ALL_parse_invalid.txt", "ALL_validate_invalid.txt"] {
        for query in lines(&corpora, name) {
            let Err(error) = parse(&query) else { panic!("{query}") };
            let position = error.position();
            let (start, end) = (position.place.start as usize, position.place.end as usize);
            assert!(
                start <= end && start <= query.len() && end <= query.len() + 1,
                "{query}: {error:?}"
            );
            assert_eq!(error.to_string().lines().count(), 1, "{query}: {error}");
            assert!(error.draw(&query).ends_with('^'), "{query}: {}", error.draw(&query));
        }
    }
}

#[test]
fn metrics_queries_are_fixed_points() {
    let Some(corpora) = Corpora::find() else { return };
    let queries = lines(&corpora, "metrics_queries.txt");
    all_are(&queries, Verdict::Valid, 200);
    all_are_fixed_points(&queries);
}

#[test]
fn canonical_texts_are_tempos() {
    let Some(corpora) = Corpora::find() else { return };
    let mut n_canonical = 0;
    let mut wrong = Vec::new();
    for row in rows(&corpora, "parse_ok.jsonl") {
        let query = text_of(&row, "q").expect("each row has a query");
        // Some of these follow the grammar alone.
        let tree = crate::parser::query(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let printed = tree.to_string();
        assert_eq!(crate::parser::query(&printed).expect("it was printed"), tree, "{query}");
        let Some(canonical) = text_of(&row, "canonical") else { continue };
        n_canonical += 1;
        if printed != canonical {
            wrong.push(format!("{query}\n  is       {printed}\n  expected {canonical}"));
        }
    }
    assert_eq!(n_canonical, 144);
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn stringer_round_trips() {
    let Some(corpora) = Corpora::find() else { return };
    let rows = rows(&corpora, "stringer_roundtrip.jsonl");
    let queries: Vec<String> = rows.iter().filter_map(|row| text_of(row, "q")).collect();
    assert_eq!(queries.len(), 15);
    all_are_fixed_points(&queries);
}

#[test]
fn queries_of_the_documentation_get_tempos_verdict() {
    let Some(corpora) = Corpora::find() else { return };
    let mut wrong = Vec::new();
    let rows = rows(&corpora, "docs_queries.jsonl");
    for row in &rows {
        let query = text_of(row, "q").expect("each row has a query");
        let other = OTHER_VERDICTS.iter().find(|(of, ..)| *of == query);
        let is_valid = match other {
            Some((_, verdict, _)) => *verdict == Verdict::Valid,
            None => row["tempo"] == 200,
        };
        if (verdict(&query) == Verdict::Valid) != is_valid {
            wrong.push(format!("{query}: {:?}", parse(&query).map_err(|error| error.to_string())));
        }
    }
    assert!(rows.len() >= 170, "{}", rows.len());
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_the_editor_highlights_is_read() {
    let Some(corpora) = Corpora::find() else { return };
    let rows = rows(&corpora, "lezer/cases.jsonl");
    let whole = rows.iter().filter(|row| row["has_error_node"] == false);
    let queries: Vec<String> = whole.filter_map(|row| text_of(row, "q")).collect();
    all_are(&queries, Verdict::Valid, 100);
    all_are_fixed_points(&queries);
}

#[test]
fn names_of_attributes_are_read() {
    let Some(corpora) = Corpora::find() else { return };
    let rows = rows(&corpora, "identifiers_ok.jsonl");
    assert_eq!(rows.len(), 77);
    for row in &rows {
        let identifier = text_of(row, "identifier").expect("each row has one");
        let expected = text_of(row, "attribute").expect("each row says which");
        let attribute =
            parse_attribute(&identifier).unwrap_or_else(|error| panic!("{identifier}: {error}"));
        let called = match &attribute {
            Attribute::Intrinsic(intrinsic) => {
                // The table has its own name for the name of the root.
                let called = format!("{intrinsic:?}").replace("TraceRootName", "TraceRootSpan");
                format!("intrinsic:{}", called.replace("Id", "ID"))
            }
            Attribute::Named { scope, name } => format!("{}.{name}", scope.spelling()),
            Attribute::Parent { scope, name } => format!("parent.{}.{name}", scope.spelling()),
        };
        assert_eq!(called, expected, "{identifier}");
        assert_eq!(
            parse_attribute(&attribute.to_string()).as_ref(),
            Ok(&attribute),
            "{identifier}"
        );
    }
}

#[test]
fn what_is_no_name_is_refused() {
    let Some(corpora) = Corpora::find() else { return };
    let rows = rows(&corpora, "identifiers_err.jsonl");
    assert_eq!(rows.len(), 28);
    for row in &rows {
        let identifier = text_of(row, "identifier").expect("each row has one");
        assert!(parse_attribute(&identifier).is_err(), "{identifier}: {:?}", row["why"]);
    }
}
