//! One type for each key of an answer.
//!
//! In: spans found. Out: the same, a key that is text on one span and a number or a truth value on
//! another as text on all of them: clients make a column of it (`tempo.md` 2.7). Whole numbers and
//! floats may mix.

use std::collections::HashMap;
use std::sync::Arc;

use super::{AnswerValue, FoundTrace};

pub(super) fn make_uniform(traces: &mut [FoundTrace]) {
    let mut classes: HashMap<Arc<str>, u8> = HashMap::new();
    for (key, value) in attributes(traces) {
        match classes.get_mut(key) {
            Some(class) => *class |= class_of(value),
            None => drop(classes.insert(key.clone(), class_of(value))),
        }
    }
    classes.retain(|_, class| !class.is_power_of_two());
    if classes.is_empty() {
        return;
    }
    let spans = traces.iter_mut().flat_map(|trace| &mut trace.spans);
    for (key, value) in spans.flat_map(|span| &mut span.attributes) {
        if classes.contains_key(key) {
            *value = AnswerValue::String(text_of(value));
        }
    }
}

fn attributes(traces: &[FoundTrace]) -> impl Iterator<Item = &(Arc<str>, AnswerValue)> {
    traces.iter().flat_map(|trace| &trace.spans).flat_map(|span| &span.attributes)
}

/// One bit for each kind of column.
fn class_of(value: &AnswerValue) -> u8 {
    match value {
        AnswerValue::String(_) => 1,
        AnswerValue::Bool(_) => 2,
        AnswerValue::Int(_) | AnswerValue::Double(_) => 4,
    }
}

fn text_of(value: &AnswerValue) -> Arc<str> {
    match value {
        AnswerValue::String(text) => text.clone(),
        AnswerValue::Bool(value) => value.to_string().into(),
        AnswerValue::Int(value) => value.to_string().into(),
        AnswerValue::Double(value) => value.to_string().into(),
    }
}
