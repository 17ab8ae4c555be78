//! What a slice says that it cannot hold is not there; what is there may be there.

use std::collections::{BTreeSet, HashMap};

use suyuan_block::reader::{Between, BlockReader, Probe, TextOf};
use suyuan_model::{Chunk, ValueRef};
use suyuan_objects::ReadMeter;
use suyuan_testkit::random::Random;

use super::MANY;
use super::columns::write;
use super::support::{Shape, chunks_of};

/// How often a value that is not there was ruled out.
#[derive(Default)]
struct Counts {
    n_absent: u32,
    n_ruled_out: u32,
    n_dictionaries: u32,
}

fn check(shape: Shape, n_rows_told: u64, seed: u64, counts: &mut Counts) {
    let mut random = Random::new(seed);
    let reader = write(chunks_of(&mut random, shape), n_rows_told, &mut random);
    for (tenant, meta) in reader.meta().tenants.iter().enumerate() {
        for range in &meta.ranges {
            let place = (tenant as u32, range.slice);
            let chunk = reader.slice(place.0, place.1).expect("a slice");
            check_present(&reader, place, &chunk);
            check_absent(&reader, place, &chunk, &mut random, counts);
            check_dictionaries(&reader, place, &chunk, counts);
        }
    }
}

/// The first value of each key and type of a row.
fn first_values(chunk: &Chunk, row: u32) -> Vec<(&str, ValueRef<'_>)> {
    let mut first: Vec<(&str, ValueRef<'_>)> = Vec::new();
    for (key, value) in chunk.attributes.row(row) {
        let is_known = |(other, seen): &(&str, ValueRef<'_>)| {
            *other == key && seen.value_type() == value.value_type()
        };
        if !first.iter().any(is_known) {
            first.push((key, value));
        }
    }
    first
}

fn check_present(reader: &BlockReader, (tenant, slice): (u32, u32), chunk: &Chunk) {
    let meter = ReadMeter::default();
    let may = |probe: &Probe<'_>| reader.may_contain(tenant, slice, probe, &meter).expect("whole");
    let first_row = reader.slice_rows(tenant, slice).expect("rows").start;
    let holds = |between: &Between<'_>, row: u32| {
        let left = reader.page_candidates(tenant, slice, between, &meter).expect("whole");
        left.iter().any(|rows| rows.contains(&(first_row + row)))
    };
    for row in 0..chunk.n_rows() as u32 {
        let at = row as usize;
        assert!(may(&Probe::Name(chunk.name.value(at))));
        let id = chunk.trace_id(row);
        assert!(may(&Probe::TraceId(id)));
        assert!(holds(&Between::TraceId { min: id, max: id }, row));
        let start = chunk.start_unix_nanos.value(at);
        let nanos = chunk.end_unix_nanos.value(at).wrapping_sub(start);
        assert!(holds(&Between::DurationNanos { min: nanos, max: nanos }, row));
        assert!(holds(&Between::StartUnixNanos { min: start, max: start }, row));
        for (key, value) in first_values(chunk, row) {
            match value {
                ValueRef::String(text) => assert!(may(&Probe::SpanText { key, text })),
                ValueRef::Bool(value) => assert!(may(&Probe::SpanBool { key, value })),
                ValueRef::Int(value) => {
                    assert!(may(&Probe::SpanInt { key, value }));
                    assert!(holds(&Between::SpanInt { key, min: value, max: value }, row));
                }
                ValueRef::Double(value) if !value.is_nan() => {
                    assert!(may(&Probe::SpanDouble { key, value }));
                    assert!(holds(&Between::SpanDouble { key, min: value, max: value }, row));
                }
                _ => {}
            }
        }
    }
}

fn check_absent(
    reader: &BlockReader,
    (tenant, slice): (u32, u32),
    chunk: &Chunk,
    random: &mut Random,
    counts: &mut Counts,
) {
    let meter = ReadMeter::default();
    let keys = chunk.attributes.columns.iter().map(|column| &*column.key);
    for key in keys.chain(["no such key"]) {
        let value = random.bits() as i64 ^ i64::MIN;
        let probes = [
            Probe::SpanText { key, text: "no such text" },
            Probe::SpanInt { key, value },
            Probe::SpanDouble { key, value: f64::NAN },
        ];
        for probe in probes {
            let may = reader.may_contain(tenant, slice, &probe, &meter).expect("whole");
            counts.n_absent += 1;
            counts.n_ruled_out += u32::from(!may);
            assert!(!may || key != "no such key", "{probe:?}");
        }
    }
}

fn check_dictionaries(
    reader: &BlockReader,
    (tenant, slice): (u32, u32),
    chunk: &Chunk,
    counts: &mut Counts,
) {
    let mut expected: HashMap<TextOf<'_>, BTreeSet<&str>> = HashMap::new();
    for row in 0..chunk.n_rows() as u32 {
        expected.entry(TextOf::Name).or_default().insert(chunk.name.value(row as usize));
        for (key, value) in first_values(chunk, row) {
            let ValueRef::String(text) = value else { continue };
            expected.entry(TextOf::SpanKey(key)).or_default().insert(text);
        }
    }
    expected.insert(TextOf::SpanKey("no such key"), BTreeSet::new());
    let n_rows = reader.meta().slices[slice as usize].n_rows;
    for (of, expected) in expected {
        let mut found = BTreeSet::new();
        let meter = ReadMeter::default();
        let is_known = reader
            .dictionary_texts(tenant, slice, of, &meter, &mut |text| {
                assert!(found.insert(text.to_owned()), "{text} was visited twice");
            })
            .expect("whole");
        if !is_known {
            assert!(found.is_empty());
            continue;
        }
        assert_eq!(n_rows as usize, chunk.n_rows(), "another tenant has rows there");
        assert!(found.iter().map(String::as_str).eq(expected), "{of:?}");
        counts.n_dictionaries += 1;
    }
}

#[test]
fn what_is_ruled_out_is_not_there() {
    let mut counts = Counts::default();
    (0..8).for_each(|seed| check(Shape::FewKeys, MANY, seed, &mut counts));
    (8..12).for_each(|seed| check(Shape::ManyKeys, MANY, seed, &mut counts));
    check(Shape::KeysWithoutEnd, MANY, 14, &mut counts);
    (12..14).for_each(|seed| check(Shape::DistinctTexts, MANY, seed, &mut counts));
    let Counts { n_absent, n_ruled_out, n_dictionaries } = counts;
    assert!(n_ruled_out * 2 > n_absent, "{n_ruled_out} of {n_absent} were ruled out");
    assert!(n_dictionaries > 40, "{n_dictionaries} dictionaries told all");
}

#[test]
fn lists_rule_nothing_out_but_keys() {
    let mut counts = Counts::default();
    (0..8).for_each(|seed| check(Shape::FewKeys, 100, seed, &mut counts));
    assert!(counts.n_ruled_out > 0 && counts.n_ruled_out < counts.n_absent);
}
