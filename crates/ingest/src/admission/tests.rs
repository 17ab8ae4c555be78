//! The budget gives back what it gave, in turn; the rate is a token bucket.

use super::*;

const WAIT: Duration = Duration::from_millis(10);
const PATIENT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_is_dropped_is_given_back() {
    let held = Gauge::default();
    let budget = Budget::new(10 * UNIT_BYTES, WAIT, held.clone());
    let first = budget.reserve();
    first.grow(UNIT_BYTES / 2).await.unwrap();
    first.grow(6 * UNIT_BYTES).await.unwrap();
    assert_eq!(held.get(), 7 * UNIT_BYTES as i64);
    let second = budget.reserve();
    assert_eq!(second.grow(4 * UNIT_BYTES).await, Err(BudgetTaken { budget_bytes: 10_240 }));
    second.grow(3 * UNIT_BYTES).await.unwrap();
    drop(first);
    second.grow(7 * UNIT_BYTES).await.unwrap();
    drop(second);
    assert_eq!(held.get(), 0);
}

#[tokio::test]
async fn no_request_takes_more_than_there_is() {
    let held = Gauge::default();
    let budget = Budget::new(10 * UNIT_BYTES, WAIT, held.clone());
    let large = budget.reserve();
    large.grow(100 * UNIT_BYTES).await.unwrap();
    large.grow(usize::MAX).await.unwrap();
    assert_eq!(held.get(), 10 * UNIT_BYTES as i64);
    assert!(budget.reserve().grow(1).await.is_err());
}

/// A small request does not overtake a large one that waits.
#[tokio::test]
async fn first_come_first_served() {
    let budget = Budget::new(10 * UNIT_BYTES, PATIENT, Gauge::default());
    let holder = budget.reserve();
    holder.grow(8 * UNIT_BYTES).await.unwrap();
    let (order, mut served) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    for bytes in [10 * UNIT_BYTES, UNIT_BYTES] {
        let (budget, order) = (budget.clone(), order.clone());
        tasks.spawn(async move {
            let reservation = budget.reserve();
            reservation.grow(bytes).await.unwrap();
            order.send(bytes).unwrap();
        });
        tokio::task::yield_now().await;
    }
    drop(holder);
    assert_eq!(served.recv().await, Some(10 * UNIT_BYTES));
    assert_eq!(served.recv().await, Some(UNIT_BYTES));
    tasks.join_all().await;
}

fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).unwrap()
}

fn rates(bytes_per_second: u64, burst_bytes: u64) -> Rates {
    Rates::new(Some(Rate { bytes_per_second, burst_bytes }))
}

fn wait_of(result: Result<(), OverRate>) -> Option<Duration> {
    result.err().map(|over| over.wait)
}

#[test]
fn bucket_empties_and_fills() {
    let rates = rates(100, 1_000);
    let (shop, start) = (tenant("shop"), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(wait_of(rates.take(&shop, 1_000, at(0))), None);
    assert_eq!(wait_of(rates.take(&shop, 500, at(0))), Some(Duration::from_secs(5)));
    assert_eq!(wait_of(rates.take(&shop, 500, at(4))), Some(Duration::from_secs(1)));
    assert_eq!(wait_of(rates.take(&shop, 500, at(5))), None);
    // However long the pause, no more than the burst is there.
    assert_eq!(wait_of(rates.take(&shop, 1_000, at(10_000))), None);
    assert_eq!(wait_of(rates.take(&shop, 100, at(10_000))), Some(Duration::from_secs(1)));
}

#[test]
fn body_larger_than_the_burst_passes_and_is_paid_for() {
    let rates = rates(100, 1_000);
    let (shop, start) = (tenant("shop"), Instant::now());
    assert_eq!(wait_of(rates.take(&shop, 3_000, start)), None);
    // 2,000 bytes of debt, and one that is asked for.
    assert_eq!(wait_of(rates.take(&shop, 0, start)), Some(Duration::from_millis(20_010)));
    assert_eq!(wait_of(rates.take(&shop, 1, start + Duration::from_secs(21))), None);
}

#[test]
fn tenants_do_not_share() {
    let rates = rates(100, 1_000);
    let start = Instant::now();
    assert_eq!(wait_of(rates.take(&tenant("shop"), 1_000, start)), None);
    assert_eq!(wait_of(rates.take(&tenant("mall"), 1_000, start)), None);
    assert!(rates.take(&tenant("shop"), 1, start).is_err());
}

#[test]
fn buckets_are_bounded() {
    let rates = rates(100, 1_000);
    let start = Instant::now();
    for n in 0..BUCKETS_MAX {
        rates.take(&tenant(&n.to_string()), 1_000, start).unwrap();
    }
    assert_eq!(wait_of(rates.take(&tenant("new"), 1, start)), Some(Duration::from_secs(1)));
    assert_eq!(wait_of(rates.take(&tenant("1"), 1, start + Duration::from_secs(1))), None);
    // Full again, so forgotten.
    assert_eq!(wait_of(rates.take(&tenant("new"), 1, start + Duration::from_secs(20))), None);
    assert!(rates.buckets.lock().unwrap().len() < 10);
}

#[test]
fn no_limit_asks_nothing() {
    let rates = Rates::new(None);
    rates.take(&tenant("shop"), usize::MAX, Instant::now()).unwrap();
    assert!(rates.buckets.lock().unwrap().is_empty());
}
