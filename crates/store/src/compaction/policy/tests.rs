//! The policy by examples.

use std::convert::Infallible;

use super::*;

const MINUTE: u64 = 60_000_000_000;

/// Blocks of so many thousand rows, each of one minute, one after the other.
fn blocks(thousands: &[u64]) -> Vec<Candidate> {
    let block = |(number, thousands): (u64, &u64)| Candidate {
        id: Uuid([number as u8; 16]),
        n_rows: thousands * 1_000,
        n_traces: thousands * 100,
        received: UnixNanosRange { min: number * MINUTE, max: (number + 1) * MINUTE },
        dead_rows: 0,
        is_due: false,
    };
    (0..).zip(thousands).map(block).collect()
}

fn chosen(candidates: &[Candidate]) -> Option<Vec<usize>> {
    chosen_with(candidates, &[])
}

/// `shared`: pairs of blocks and the traces they share.
fn chosen_with(candidates: &[Candidate], shared: &[(usize, usize, u64)]) -> Option<Vec<usize>> {
    let shared_traces = |one: usize, other: usize| {
        let pair = (one.min(other), one.max(other));
        let found = shared.iter().find(|(a, b, _)| (*a, *b) == pair);
        Ok::<_, Infallible>(found.map_or(0, |(_, _, traces)| *traces))
    };
    choose(candidates, &CompactionPolicy::default(), shared_traces).expect("cannot fail")
}

#[test]
fn four_small_ones_become_one_and_three_wait() {
    assert_eq!(chosen(&blocks(&[100, 120, 90])), None);
    assert_eq!(chosen(&blocks(&[100, 120, 90, 100])), Some(vec![0, 1, 2, 3]));
    assert_eq!(chosen(&blocks(&[1, 2, 1, 40, 49])), Some(vec![0, 1, 2, 3, 4]));
}

#[test]
fn large_ones_are_left_alone_and_do_not_stand_between_small_ones() {
    assert_eq!(chosen(&blocks(&[2_000, 2_000, 1_000, 1_000])), None);
    assert_eq!(chosen(&blocks(&[300, 2_000, 300, 300, 2_000, 300])), Some(vec![0, 2, 3, 5]));
}

#[test]
fn a_small_one_is_not_rewritten_for_tiny_ones() {
    // Three quarters of what is written anew would gain nothing.
    assert_eq!(chosen(&blocks(&[900, 10, 10, 10])), None);
    assert_eq!(chosen(&blocks(&[900, 10, 10, 10, 10])), Some(vec![1, 2, 3, 4]));
}

#[test]
fn no_block_becomes_larger_than_the_limit_nor_spans_more_than_a_day() {
    let chosen_rows = |blocks: &[Candidate]| -> u64 {
        let places = chosen(blocks).expect("a compaction");
        places.iter().map(|place| blocks[*place].n_rows).sum()
    };
    assert_eq!(chosen_rows(&blocks(&[950; 9])), 3_800_000);
    let mut days = blocks(&[10; 8]);
    for (number, block) in (0..).zip(&mut days) {
        block.received = UnixNanosRange::of(number * 10 * 60 * MINUTE);
    }
    assert_eq!(chosen(&days), None);
}

#[test]
fn every_row_is_written_anew_a_few_times_at_most() {
    // A day of seals every two minutes, merged whenever it pays.
    let policy = CompactionPolicy::default();
    let mut candidates: Vec<Candidate> = Vec::new();
    let (mut rows_sealed, mut rows_rewritten) = (0, 0);
    for number in 0..720u64 {
        let sealed =
            Candidate { received: UnixNanosRange::of(number * 2 * MINUTE), ..blocks(&[60])[0] };
        rows_sealed += sealed.n_rows;
        candidates.push(sealed);
        while let Some(places) =
            choose(&candidates, &policy, |_, _| Ok::<_, Infallible>(0)).expect("cannot fail")
        {
            let merged: Vec<Candidate> = places.iter().map(|place| candidates[*place]).collect();
            let one = Candidate {
                n_rows: merged.iter().map(|block| block.n_rows).sum(),
                n_traces: merged.iter().map(|block| block.n_traces).sum(),
                received: merged
                    .iter()
                    .map(|block| block.received)
                    .reduce(UnixNanosRange::union)
                    .expect("some"),
                ..merged[0]
            };
            rows_rewritten += one.n_rows;
            let mut place = 0;
            candidates.retain(|_| (!places.contains(&place), place += 1).0);
            candidates.push(one);
        }
    }
    let rewrites = rows_rewritten as f64 / rows_sealed as f64;
    assert!(rewrites < 2.5, "{rewrites}");
    assert!(candidates.len() < 60, "{} blocks", candidates.len());
}

#[test]
fn blocks_that_share_many_traces_become_one() {
    let two = blocks(&[1_500, 2_000]);
    assert_eq!(chosen_with(&two, &[(0, 1, 15_000)]), None);
    assert_eq!(chosen_with(&two, &[(0, 1, 15_001)]), Some(vec![0, 1]));
    let mut far = two.clone();
    far[1].received = UnixNanosRange::of(63 * MINUTE);
    assert_eq!(chosen_with(&far, &[(0, 1, 150_000)]), None);
    let chain = blocks(&[1_200, 1_200, 1_200, 1_200]);
    assert_eq!(
        chosen_with(&chain, &[(0, 1, 50_000), (1, 2, 50_000), (2, 3, 50_000)]),
        Some(vec![0, 1, 2])
    );
}

#[test]
fn dead_rows_are_written_out_when_they_are_many_or_due() {
    let mut all = blocks(&[2_000, 2_000]);
    all[1].dead_rows = 900_000;
    assert_eq!(chosen(&all), None);
    all[1].dead_rows = 1_000_001;
    assert_eq!(chosen(&all), Some(vec![1]));
    all[1] = Candidate { dead_rows: 1, is_due: true, ..all[1] };
    assert_eq!(chosen(&all), Some(vec![1]));
}

#[test]
fn what_waits_is_what_could_be_fewer_and_not_what_is_small() {
    let waiting = |blocks: &[Candidate]| n_waiting(blocks, &CompactionPolicy::default());
    assert_eq!(waiting(&blocks(&[100; 3])), 0);
    assert_eq!(waiting(&blocks(&[100; 10])), 9);
    assert_eq!(waiting(&blocks(&[2_000; 10])), 0);
    // A hundred quiet days leave a hundred small blocks, and nothing to do.
    let mut days = blocks(&[10; 100]);
    for (number, block) in (0..).zip(&mut days) {
        block.received = UnixNanosRange::of(number * 24 * 60 * MINUTE);
    }
    assert_eq!(waiting(&days), 0);
}
