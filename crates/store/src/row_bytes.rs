//! How many bytes of text and binary values a row has, as a slice of a block may have to hold them.
//!
//! In: a chunk. Out: a bound that costs a look at each column, and, for chunks where that is much,
//! the bytes of each row. A value that a dictionary holds once counts in every row that has it: in
//! lists and in the overflow it stands there in every row.

use arrow_array::Array;
use suyuan_model::{AttributeTable, Chunk, Strings, Values};

/// At least the bytes of values of all rows.
pub(crate) fn bound(chunk: &Chunk) -> u64 {
    let tables = [&chunk.attributes, &chunk.events.attributes, &chunk.links.attributes];
    let attributes: u64 = tables
        .into_iter()
        .flat_map(|table| &table.columns)
        .map(|column| match &column.values {
            Values::String(strings) => bound_of(strings),
            Values::Binary(values) => values.value_data().len() as u64,
            _ => 0,
        })
        .sum();
    let texts =
        [&chunk.name, &chunk.status_message.values, &chunk.trace_state.values, &chunk.events.name];
    attributes + texts.into_iter().map(bound_of).sum::<u64>()
}

fn bound_of(strings: &Strings) -> u64 {
    match strings {
        Strings::Plain(values) => values.value_data().len() as u64,
        Strings::Dictionary { codes, values } => {
            let longest = (0..values.len()).map(|code| values.value(code).len()).max();
            codes.len() as u64 * longest.unwrap_or(0) as u64
        }
    }
}

/// The bytes of values of each row, those of its events and links among them.
pub(crate) fn of_each_row(chunk: &Chunk) -> Vec<u64> {
    let mut bytes = vec![0; chunk.n_rows()];
    let mut add = |row: u32, n_bytes: usize| {
        if let Some(sum) = bytes.get_mut(row as usize) {
            *sum += n_bytes as u64;
        }
    };
    for row in 0..chunk.n_rows() {
        add(row as u32, chunk.name.value(row).len());
    }
    for texts in [&chunk.status_message, &chunk.trace_state] {
        for (position, row) in texts.rows.iter().enumerate() {
            add(*row, texts.values.value(position).len());
        }
    }
    each_value(&chunk.attributes, &mut add);
    let (events, links) = (&chunk.events, &chunk.links);
    for (event, row) in events.span_row.values().iter().enumerate() {
        add(*row, events.name.value(event).len());
    }
    each_value(&events.attributes, |event, n| add(events.span_row.value(event as usize), n));
    each_value(&links.attributes, |link, n| add(links.span_row.value(link as usize), n));
    bytes
}

/// Row and length of each text and binary value.
fn each_value(table: &AttributeTable, mut visit: impl FnMut(u32, usize)) {
    for column in &table.columns {
        for (position, row) in column.rows.iter().enumerate() {
            match &column.values {
                Values::String(strings) => visit(*row, strings.value(position).len()),
                Values::Binary(values) => visit(*row, values.value(position).len()),
                _ => {}
            }
        }
    }
}
