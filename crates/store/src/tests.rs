//! Chunks in, traces out, from memory and from scratch files.

use std::path::Path;

pub(crate) mod driver;
pub(crate) mod fixtures;
mod long_values;
mod many_keys;
mod random;

use arrow_array::Array;
use suyuan_model::{
    AttributeOwner, Chunk, Columns, EventHead, Field, LinkHead, SpanHead, TableBuilder,
    UnixNanosRange, ValueRef,
};
use suyuan_objects::ReadMeter;
use suyuan_objects::faulty::MemoryObjects;

use super::*;
use crate::chunk_file::SpilledChunk;
use crate::chunk_keys::ChunkKeys;
use crate::window::{ChunkPlace, Window};

fn options(folder: &Path) -> Options {
    Options::new(folder.join("live"), Arc::new(MemoryObjects::new()), Uuid([1; 16]))
}

fn id(trace: u8) -> TraceId {
    TraceId::from_bytes([trace; 16])
}

fn tenant() -> Tenant {
    Tenant::single()
}

/// One span a letter: the letter is its trace, its place its name and its attributes.
fn chunk(traces: &str) -> Arc<Chunk> {
    let mut table = TableBuilder::default();
    table.push_string(AttributeOwner::Resource, b"service.name", b"mall");
    let resource = table.finish_resource(b"raw", b"https://schema", 2, b"\x1a\x00");
    table.push_bool(AttributeOwner::Scope, b"debug", true);
    let scope = table.finish_scope(b"raw", b"", b"lib", b"1.2", 0);
    for (place, trace) in traces.bytes().enumerate() {
        let name = format!("span {place}");
        table.push_int(AttributeOwner::Span, b"place", place as i64);
        table.push_double(AttributeOwner::Span, b"half", place as f64 / 2.0);
        table.push_empty(AttributeOwner::Span, b"nothing");
        if place % 2 == 0 {
            table.push_bytes(AttributeOwner::Span, b"raw", &[0xff, place as u8]);
            table.push_array(AttributeOwner::Span, b"list", b"\x0a\x02\x18\x01");
            table.push_string(AttributeOwner::Event, b"k", name.as_bytes());
            table.finish_event(EventHead { time_unix_nanos: 9, name: b"e", dropped_attributes: 1 });
            table.finish_link(LinkHead { span_id: b"12345678", flags: 3, ..LinkHead::default() });
        }
        table.finish_span(&SpanHead {
            trace_id: [trace; 16],
            span_id: place as u64 + 1,
            parent_span_id: (place % 3 == 0).then_some(7),
            start_unix_nanos: 5,
            end_unix_nanos: -5,
            name: name.as_bytes(),
            kind: 2,
            status_code: 1,
            status_message: b"fine",
            trace_state: if place == 1 { b"a=b" } else { b"" },
            flags: place as u32,
            resource,
            scope,
            ..SpanHead::default()
        });
    }
    Arc::new(table.freeze())
}

fn publication(number: u32, traces: &str, visible_rows: u32, is_final: bool) -> Publication {
    Publication {
        tenant: tenant(),
        chunk_number: number,
        chunk: chunk(traces),
        visible_rows,
        received_unix_nanos: UnixNanosRange::of(0),
        is_final,
    }
}

/// `chunk:row` for each row found.
fn rows(window: &Window, trace: char) -> Vec<(usize, Vec<u32>)> {
    let found = window.find(id(trace as u8));
    found.into_iter().map(|(place, rows)| (n_rows(&place), rows)).collect()
}

fn n_rows(place: &ChunkPlace) -> usize {
    match place {
        ChunkPlace::Resident(chunk) => chunk.n_rows(),
        ChunkPlace::Spilled(spilled) => spilled.read().expect("readable").n_rows(),
    }
}

#[test]
fn a_trace_is_found_across_chunks_with_its_rows_in_order() {
    let mut window = Window::default();
    window.publish(publication(0, "abcab", 5, true));
    window.publish(publication(1, "bbd", 3, true));
    window.publish(publication(2, "xa", 2, false));
    assert_eq!(rows(&window, 'a'), [(5, vec![0, 3]), (2, vec![1])]);
    assert_eq!(rows(&window, 'b'), [(5, vec![1, 4]), (3, vec![0, 1])]);
    assert_eq!(rows(&window, 'z'), []);
    assert_eq!((window.trace_rows(id(b'a')), window.trace_rows(id(b'z'))), (3, 0));
}

#[test]
fn only_visible_rows_are_found_while_a_chunk_grows() {
    let mut window = Window::default();
    let added = window.publish(publication(0, "aba", 1, false));
    assert_eq!((added.rows, added.traces, added.chunks), (1, 1, 1));
    assert_eq!(rows(&window, 'a'), [(3, vec![0])]);
    assert_eq!(rows(&window, 'b'), []);
    // Rows that were not visible may have been taken back and be others now.
    let added = window.publish(publication(0, "acac", 4, true));
    assert_eq!((added.rows, added.traces, added.chunks), (3, 1, 0));
    assert_eq!(rows(&window, 'a'), [(4, vec![0, 2])]);
    assert_eq!(rows(&window, 'c'), [(4, vec![1, 3])]);
}

#[test]
fn a_spilled_chunk_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { resident_bytes_max: 0, ..options(folder.path()) };
    let spill = Spill::start(&options, Metrics::default()).expect("starts");
    let window = Arc::new(RwLock::new(Window::default()));
    let publication = publication(0, "abab", 4, true);
    let original = publication.chunk.clone();
    window.write().expect("not poisoned").publish(publication);
    spill.add(window.clone(), 0, original.clone());
    drop(spill); // Waits for the thread, which writes all it was given.

    let found = window.read().expect("not poisoned").find(id(b'b'));
    let [(ChunkPlace::Spilled(spilled), rows)] = &found[..] else { panic!("one spilled chunk") };
    assert_eq!(rows, &[1, 3]);
    let chunk = spilled.read().expect("readable");
    assert_eq!(format!("{chunk:?}"), format!("{original:?}"));
    let attributes: Vec<_> = chunk.attributes.row(2).collect();
    assert_eq!(attributes[0], ("place", ValueRef::Int(2)));
    assert_eq!(attributes[3], ("raw", ValueRef::Bytes(&[0xff, 2])));
    assert_eq!(
        chunk_file::encoded_bytes(&original),
        std::fs::metadata(spilled.path()).expect("a file").len()
    );
}

#[test]
fn a_damaged_scratch_file_is_an_error_not_a_wrong_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.chunk");
    chunk_file::write(&path, &chunk("ab")).expect("writable");
    let bytes = std::fs::read(&path).expect("readable");
    for len in 0..bytes.len() {
        std::fs::write(&path, &bytes[..len]).expect("writable");
        assert!(chunk_file::read(&path).is_err(), "cut to {len} of {} bytes", bytes.len());
    }
}

#[test]
fn a_column_of_a_damaged_scratch_file_is_an_error_or_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.chunk");
    let original = chunk("ab");
    let directory = chunk_file::write(&path, &original).expect("writable");
    let spilled = Arc::new(SpilledChunk::new(path.clone(), directory, ChunkKeys::of(&original)));
    let mut columns = Columns::default().with(Field::SpanId).with(Field::Name);
    columns.add_span_key(&Arc::from("place"));
    let meter = ReadMeter::default();
    let read = || {
        let file = spilled.open()?;
        let _ = (file.resources(&meter)?, file.scopes(&meter)?);
        file.read(&columns, &meter)
    };
    let whole = read().expect("readable");
    assert_eq!((whole.span_id.len(), whole.trace_id.len()), (2, 0));
    assert_eq!(whole.attributes.columns.len(), 1);
    assert!(meter.bytes() > 0 && meter.requests() == 5);
    let bytes = std::fs::read(&path).expect("readable");
    let mut n_errors = 0;
    for len in 0..bytes.len() {
        std::fs::write(&path, &bytes[..len]).expect("writable");
        match read() {
            Ok(chunk) => assert_eq!(format!("{chunk:?}"), format!("{whole:?}")),
            Err(_) => n_errors += 1,
        }
    }
    assert!(n_errors > bytes.len() / 2, "{n_errors}");
}

#[test]
fn what_an_earlier_run_left_in_the_live_directory_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let live_directory = folder.path().join("live");
    std::fs::create_dir(&live_directory).expect("a folder");
    std::fs::write(live_directory.join("0000000007.chunk"), b"old").expect("writable");
    let store = Store::open(options(folder.path()));
    assert!(store.is_ok());
    assert_eq!(std::fs::read_dir(&live_directory).expect("a folder").count(), 0);
}

#[test]
fn tenants_do_not_see_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(options(folder.path())).expect("opens");
    store.publish(publication(0, "ab", 2, true));
    let other = Tenant::parse("other").expect("valid");
    store.publish(Publication { tenant: other.clone(), ..publication(0, "a", 1, false) });
    let found = |tenant: &Tenant, trace| {
        store.find_trace(tenant, id(trace)).expect("readable").rows.n_spans()
    };
    assert_eq!((found(&tenant(), b'a'), found(&other, b'a')), (1, 1));
    assert_eq!((found(&tenant(), b'b'), found(&other, b'b')), (1, 0));
    assert_eq!(store.n_rows(), 3);
}
