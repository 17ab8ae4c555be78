//! Ids in and out, the rate of false positives, the documented hash, and what is refused.

use proptest::prelude::*;

use super::*;

fn seed(tenant: &str) -> TenantSeed {
    TenantSeed::new(&Tenant::parse(tenant).expect("a tenant's name"))
}

/// Ids without any randomness, the worst that a sender may choose.
fn counted(number: u64) -> TraceId {
    TraceId::from_bytes(u128::from(number).to_be_bytes())
}

fn filter_of(seed: TenantSeed, ids: impl Iterator<Item = u64>, n_ids: u64) -> IdFilter {
    let mut builder = IdFilterBuilder::new(n_ids);
    for id in ids {
        builder.insert(seed.hash(&counted(id)));
    }
    builder.finish()
}

#[test]
fn what_is_in_is_found_and_of_the_rest_one_in_seventy_at_most() {
    let mall = seed("mall");
    let filter = filter_of(mall, 0..67_458, 67_458);
    let found = |seed: TenantSeed, ids: std::ops::Range<u64>| {
        ids.filter(|id| filter.may_contain(seed.hash(&counted(*id)))).count()
    };
    assert_eq!(found(mall, 0..67_458), 67_458);
    let absent = found(mall, 67_458..267_458);
    let foreign = found(seed("other"), 0..67_458);
    assert!(absent < 200_000 / 70, "{absent} of 200,000 absent ids");
    assert!(foreign < 67_458 / 70, "{foreign} of 67,458 ids of another tenant");
    assert_eq!(filter.bytes(), (67_458 * 10usize).div_ceil(8).next_multiple_of(32));
    println!("false positives: {absent} of 200,000; of another tenant: {foreign} of 67,458");
}

#[test]
fn more_ids_than_expected_are_found_too() {
    let filter = filter_of(seed("mall"), 0..10_000, 10);
    assert!((0..10_000).all(|id| filter.may_contain(seed("mall").hash(&counted(id)))));
}

#[test]
fn a_block_without_traces_has_a_filter_that_denies_everything() {
    let filter = filter_of(seed("mall"), 0..0, 0);
    let filter = IdFilter::decode(filter.encode().into()).expect("what we encode we decode");
    assert_eq!((filter.n_ids(), filter.bytes()), (0, 32));
    assert!((0..1000).all(|id| !filter.may_contain(seed("mall").hash(&counted(id)))));
}

/// The numbers of `docs/formats/block.md`: whoever writes a reader tests it against them.
#[test]
fn the_hash_is_the_one_that_is_documented() {
    let id = TraceId::parse("0102030405060708090a0b0c0d0e0f10").expect("an id");
    let hash = seed("single-tenant").hash(&id);
    assert_eq!(format!("{:016x}", hash.0), "77593a5f6bb6dcf0");
    assert_eq!(block_start(32 * 1000, hash.0), 466 * 32);
    assert_eq!(masks(hash.0).map(u32::trailing_zeros), [30, 2, 13, 14, 21, 28, 20, 16]);
}

#[test]
fn every_refusal_is_named() {
    let encoded = filter_of(seed("mall"), 0..100, 100).encode();
    let check = |change: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut bytes = encoded.clone();
        change(&mut bytes);
        let error = IdFilter::decode(bytes.into()).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    };
    let resealed = |bytes: &mut Vec<u8>| {
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    };
    check(&|b| b.truncate(31), "id filter: 31 bytes are not a header and whole blocks");
    check(&|b| b[0] = b'X', "id filter: the magic is damaged");
    check(&|b| b[17] ^= 1, "id filter: the header is damaged");
    check(&|b| b[40] ^= 1, "id filter: a block is damaged");
    check(&|b| b.truncate(159), "id filter: 159 bytes are not a header and whole blocks");
    check(
        &|b| {
            b[8] = 2;
            resealed(b);
        },
        "id filter: version 2 was written by a later program than this",
    );
    check(
        &|b| {
            b[12] = 4;
            resealed(b);
        },
        "id filter: must-understand bits 0x4 are unknown to this program",
    );
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(ids in prop::collection::vec(any::<[u8; 16]>(), 0..300)) {
        let mall = seed("mall");
        let mut builder = IdFilterBuilder::new(ids.len() as u64);
        for id in &ids {
            builder.insert(mall.hash(&TraceId::from_bytes(*id)));
        }
        let filter = builder.finish();
        let decoded = IdFilter::decode(filter.encode().into()).expect("what we encode we decode");
        prop_assert_eq!(decoded.encode(), filter.encode());
        prop_assert_eq!(decoded.n_ids(), ids.len() as u64);
        let is_found = |id: &[u8; 16]| decoded.may_contain(mall.hash(&TraceId::from_bytes(*id)));
        prop_assert!(ids.iter().all(is_found));
    }

    #[test]
    fn bytes_from_outside_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(filter) = IdFilter::decode(bytes.into()) {
            filter.may_contain(seed("mall").hash(&counted(1)));
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed(place in 0usize..(32 + 128) * 8) {
        let mut bytes = filter_of(seed("mall"), 0..100, 100).encode();
        bytes[place / 8] ^= 1 << (place % 8);
        prop_assert!(IdFilter::decode(bytes.into()).is_err());
    }
}
