//! Regular expressions of filters: never a panic, never more memory than allowed, and whatever is
//! done instead of running one over a column says what it says.
//!
//! The input is a pattern and texts, with zero bytes between them.

#![no_main]

use std::sync::Arc;

use arrow_array::StringArray;
use regex::RegexBuilder;
use suyuan_model::{AttributeOwner, Batch, Chunk, SpanHead, Strings, TableBuilder, Values};
use suyuan_query::filter::{Filter, RowSet, SourceState};
use suyuan_traceql::ast::{Attribute, AttributeScope, FieldExpr, FieldKind, FieldOp, Place, Value};

/// Longer columns find nothing new.
const TEXTS_MAX: usize = 64;

libfuzzer_sys::fuzz_target!(|input: &str| {
    let mut parts = input.split('\0');
    let Some(pattern) = parts.next() else { return };
    let texts: Vec<&str> = parts.take(TEXTS_MAX).collect();
    let Ok(positive) = Filter::compile(&matches(pattern, FieldOp::Regex)) else { return };
    let negative = Filter::compile(&matches(pattern, FieldOp::NotRegex)).expect("it compiled once");
    let Ok(rewritten) = suyuan_traceql::regex::rewrite(pattern) else {
        panic!("a filter was compiled of what is not valid");
    };
    // Far more than filters may take: what they refuse as too large is no concern here.
    let anchored = format!("^(?s:{rewritten})$");
    let Ok(regex) = RegexBuilder::new(&anchored).size_limit(64 << 20).build() else { return };
    let chunk = chunk(&texts);
    for chunk in [without_dictionary(&chunk), chunk] {
        let batch = Batch::of_chunk(Arc::new(chunk), texts.len() as u32);
        let (found, others) = (rows(&positive, &batch), rows(&negative, &batch));
        for (row, text) in (0..).zip(&texts) {
            let expected = regex.is_match(text);
            assert_eq!(found.contains(row), expected, "{text:?}");
            assert_eq!(others.contains(row), !expected, "{text:?}");
        }
    }
});

fn matches(pattern: &str, op: FieldOp) -> FieldExpr {
    let expr = |kind| Box::new(FieldExpr { kind, place: Place::default() });
    let key = Attribute::Named { scope: AttributeScope::Span, name: "text".into() };
    let left = expr(FieldKind::Attribute(key));
    let right = expr(FieldKind::Literal(Value::String(pattern.into())));
    *expr(FieldKind::Binary { op, left, right })
}

fn chunk(texts: &[&str]) -> Chunk {
    let mut table = TableBuilder::default();
    for text in texts {
        table.push_string(AttributeOwner::Span, b"text", text.as_bytes());
        table.finish_span(&SpanHead::default());
    }
    table.freeze()
}

fn without_dictionary(chunk: &Chunk) -> Chunk {
    let mut chunk = chunk.clone();
    for column in &mut chunk.attributes.columns {
        if let Values::String(strings) = &mut column.values {
            let texts = (0..strings.len()).map(|position| strings.value(position));
            *strings = Strings::Plain(StringArray::from_iter_values(texts));
        }
    }
    chunk
}

fn rows(filter: &Filter, batch: &Batch) -> RowSet {
    let mut source = SourceState::default();
    let mut rows = RowSet::all(batch.n_rows);
    for condition in filter.conditions() {
        rows = condition.evaluate(&rows, batch, &mut source, None).yes;
    }
    rows
}
