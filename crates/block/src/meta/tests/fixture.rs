//! Format version 1, frozen: the files in `testdata/v1` are read forever, and today's writer still
//! makes the same bytes. `meta.overflow-64` is of a block of 64 overflow columns.

use std::fs;
use std::path::Path;

use suyuan_ids::TraceId;

use super::*;
use crate::directory::tests::of_every_form;
use crate::filter::{IdFilter, IdFilterBuilder, TenantSeed};

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/v1"));
    fs::read(folder.join(name)).expect("the fixture is there")
}

fn meta() -> BlockMeta {
    BlockMeta { keys: of_every_form(), ..small() }
}

fn meta_of_64() -> BlockMeta {
    BlockMeta { overflow_columns: OverflowColumns::SixtyFour, ..meta() }
}

fn filter() -> IdFilter {
    let mut builder = IdFilterBuilder::new(100);
    for id in ids() {
        builder.insert(id);
    }
    builder.finish()
}

fn ids() -> impl Iterator<Item = crate::filter::IdHash> {
    let seed = TenantSeed::new(&Tenant::single());
    (0..100u128).map(move |number| seed.hash(&TraceId::from_bytes(number.to_be_bytes())))
}

#[test]
fn version_1_is_read() {
    assert_eq!(BlockMeta::decode(&file("meta")), Ok(meta()));
    assert_eq!(meta().overflow_columns, OverflowColumns::Sixteen, "the file does not say it");
    assert_eq!(BlockMeta::decode(&file("meta.overflow-64")), Ok(meta_of_64()));
    let filter = IdFilter::decode(file("ids.filter").into()).expect("it is whole");
    assert_eq!(filter.n_ids(), 100);
    assert!(ids().all(|id| filter.may_contain(id)));
}

/// The frame around a meta's body may change with zstd, the body may not.
#[test]
fn version_1_is_written() {
    assert!(encoding::encode_body(&meta()) == file("meta.body"), "a meta differs from the fixture");
    // Field 19 behind the others, nothing else.
    let body_of_64 = [file("meta.body"), vec![0x98, 0x01, 64]].concat();
    assert!(encoding::encode_body(&meta_of_64()) == body_of_64, "the number of overflow columns");
    assert!(filter().encode() == file("ids.filter"), "an id filter differs from the fixture");
}

#[test]
fn the_fuzzers_finds_are_settled() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/block_meta");
    let mut n_read = 0;
    for found in fs::read_dir(corpus).expect("the kept corpus is there") {
        let bytes = fs::read(found.expect("an entry").path()).expect("a file");
        n_read += usize::from(BlockMeta::decode(&bytes).is_ok());
        n_read += usize::from(BlockMeta::decode_body(&bytes).is_ok());
        n_read += usize::from(IdFilter::decode(bytes.into()).is_ok());
    }
    assert!(n_read >= 3, "a meta, a body and a filter are among them");
}
