//! Scripts: traces drawn as text, queries over them, and what they must answer.
//!
//! ```text
//! trace 1 @10:00:00
//!   gateway/GET /cart  server 120ms
//!     cart/load  client 30ms error
//! ---
//! { status = error }
//! => load
//!
//! { duration > 1ms }
//! with spss 1, from 10:00:00, to 10:00:01
//! => GET /cart of 2
//! ===
//! ```
//!
//! Scenes end with `===`. A query takes as many lines as it likes. `with` says what is asked
//! besides: `limit`, `spss`, `from`, `to` (moments, included), `longer` and `shorter` (durations of
//! the trace, included). Each `=>` is a trace, in the order of the answer: its number if the scene
//! has several, the names of its spans (`name#id` where two of them share a name), `of` how many
//! matched if not all are shown. `=> none`, `=> error: a part of the message`. Lines that begin
//! with `#` say why.

use std::fmt::Write as _;

use suyuan_traceql::ast::{FieldExpr, FieldKind, Place, Value};

use super::drawing::{self, Scene, moment};
use super::search::{RefFound, RefQuestion};
use super::span::RefSpan;

/// A scene and its queries.
#[derive(Clone, Debug)]
pub struct Act {
    pub scene: Scene,
    pub cases: Vec<Case>,
}

#[derive(Clone, Debug)]
pub struct Case {
    /// Where the query stands in its file, from 1.
    pub line: usize,
    pub query: String,
    /// Everything but the filter.
    pub question: RefQuestion,
    pub expected: Vec<String>,
}

/// Spans that a case asks for if it does not say how many.
const SPANS_PER_SET: usize = 100;

/// Reads a file of scripts; an error names the line.
pub fn parse(text: &str) -> Result<Vec<Act>, String> {
    let mut acts = Vec::new();
    let mut drawing = String::new();
    let mut case: Option<Case> = None;
    let mut act: Option<Act> = None;
    for (line, number) in text.lines().zip(1..) {
        let at = |problem: String| format!("line {number}: {problem}");
        match (line.trim_end(), &mut act) {
            ("===", _) => {
                finish(act.take(), case.take(), &mut acts)?;
                drawing.clear();
            }
            ("---", None) => {
                let scene = drawing::parse(&drawing).map_err(at)?;
                act = Some(Act { scene, cases: Vec::new() });
            }
            (line, None) => drawing = drawing + line + "\n",
            (line, Some(_)) if line.trim().is_empty() || line.starts_with('#') => {}
            (line, Some(act)) => case_line(act, &mut case, line, number).map_err(at)?,
        }
    }
    finish(act, case, &mut acts)?;
    Ok(acts)
}

fn finish(act: Option<Act>, case: Option<Case>, acts: &mut Vec<Act>) -> Result<(), String> {
    let Some(mut act) = act else { return Ok(()) };
    act.cases.extend(case);
    if let Some(case) = act.cases.iter().find(|case| case.expected.is_empty()) {
        return Err(format!("line {}: nothing is expected", case.line));
    }
    acts.push(act);
    Ok(())
}

fn case_line(
    act: &mut Act,
    case: &mut Option<Case>,
    line: &str,
    number: usize,
) -> Result<(), String> {
    if let Some(expected) = line.strip_prefix("=>") {
        let case = case.as_mut().ok_or("an answer without a query")?;
        case.expected.push(expected.trim().to_owned());
        return Ok(());
    }
    if let Some(open) = case.as_mut().filter(|case| case.expected.is_empty()) {
        if let Some(options) = line.strip_prefix("with ") {
            return with(&mut open.question, options);
        }
        open.query = format!("{}\n{line}", open.query);
        return Ok(());
    }
    let next =
        Case { line: number, query: line.to_owned(), question: question(), expected: Vec::new() };
    act.cases.extend(case.replace(next));
    Ok(())
}

fn question() -> RefQuestion {
    let kind = FieldKind::Literal(Value::Bool(true));
    RefQuestion {
        filter: FieldExpr { kind, place: Place::default() },
        range_unix_nanos: None,
        duration_nanos_min: None,
        duration_nanos_max: None,
        limit: 1_000,
        spans_per_set: SPANS_PER_SET,
    }
}

fn with(question: &mut RefQuestion, options: &str) -> Result<(), String> {
    for option in options.split(',') {
        let (name, text) = option.trim().split_once(' ').ok_or("`with name value, …`")?;
        let count = || text.parse::<usize>().map_err(|_| format!("`{text}` is no number"));
        let nanos = || {
            let nanos = drawing::nanos(text).and_then(|nanos| u64::try_from(nanos).ok());
            nanos.ok_or_else(|| format!("`{text}` is no duration"))
        };
        let range = question.range_unix_nanos.unwrap_or((i64::MIN, i64::MAX));
        match name {
            "limit" => question.limit = count()?,
            "spss" => question.spans_per_set = count()?,
            "from" => question.range_unix_nanos = Some((moment(text)?, range.1)),
            "to" => question.range_unix_nanos = Some((range.0, moment(text)?)),
            "longer" => question.duration_nanos_min = Some(nanos()?),
            "shorter" => question.duration_nanos_max = Some(nanos()?),
            _ => return Err(format!("`{name}` says nothing of a search")),
        }
    }
    Ok(())
}

/// An answer as scripts write it.
pub fn answer_lines(scene: &Scene, found: &[RefFound]) -> Vec<String> {
    if found.is_empty() {
        return vec!["none".to_owned()];
    }
    found.iter().map(|trace| answer_line(scene, trace)).collect()
}

fn answer_line(scene: &Scene, found: &RefFound) -> String {
    let mut line = String::new();
    if scene.traces.len() > 1 {
        let drawn = scene.traces.iter().find(|(_, id)| *id == found.trace_id);
        let _ = write!(line, "{}: ", drawn.map_or("?", |(name, _)| name));
    }
    let of_trace: Vec<&RefSpan> =
        scene.spans.iter().filter(|span| span.trace_id == found.trace_id).collect();
    let names: Vec<String> =
        found.spans.iter().map(|span| name_of(&of_trace, span.span_id, span)).collect();
    line += &names.join(", ");
    if found.n_matched != found.spans.len() as u64 {
        let _ = write!(line, " of {}", found.n_matched);
    }
    line
}

fn name_of(of_trace: &[&RefSpan], id: u64, found: &super::search::RefFoundSpan) -> String {
    let start = found.start_unix_nanos;
    let is_it = |span: &&&RefSpan| {
        let duration_nanos = span.duration_nanos();
        (span.span_id, span.start_unix_nanos, duration_nanos) == (id, start, found.duration_nanos)
    };
    let Some(span) = of_trace.iter().find(is_it) else { return format!("?#{id:x}") };
    let share = |other: &&&RefSpan| {
        other.name == span.name && (other.span_id, other.start_unix_nanos) != (id, start)
    };
    match of_trace.iter().find(share) {
        Some(_) => format!("{}#{id:x}", span.name),
        None => span.name.clone(),
    }
}

/// A question and its answer as a script that says the same.
pub fn write(spans: &[RefSpan], query: &str, question: &RefQuestion, found: &[RefFound]) -> String {
    let mut ids: Vec<u128> = spans.iter().map(|span| span.trace_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let number = |id| ids.partition_point(|other| *other < id) as u64 + 1;
    let traces = ids.iter().map(|id| (number(*id).to_string(), *id)).collect();
    let scene = Scene { spans: spans.to_vec(), traces };
    let mut text = drawing::draw(spans, number) + "---\n" + query + "\n";
    let mut options =
        vec![format!("limit {}", question.limit), format!("spss {}", question.spans_per_set)];
    if let Some((from, to)) = question.range_unix_nanos {
        options.push(format!("from {from}, to {to}"));
    }
    options.extend(question.duration_nanos_min.map(|nanos| format!("longer {nanos}ns")));
    options.extend(question.duration_nanos_max.map(|nanos| format!("shorter {nanos}ns")));
    let _ = writeln!(text, "with {}", options.join(", "));
    for line in answer_lines(&scene, found) {
        let _ = writeln!(text, "=> {line}");
    }
    text
}

#[cfg(test)]
mod tests;
