//! Who is answered, who waits, who is sent away; events decide, never time.

use std::sync::mpsc;

use super::*;

fn questions(options: QueryOptions) -> (Arc<Questions>, Metrics) {
    let metrics = Metrics::default();
    (Arc::new(Questions::start(options, metrics.clone()).expect("threads")), metrics)
}

fn one_at_a_time() -> QueryOptions {
    QueryOptions { concurrency: 1, queue_max: 1, ..QueryOptions::default() }
}

fn answered<T>(answer: T) -> Result<Answered<T>, ApiError> {
    Ok(Answered { answer, accounting: Accounting::default() })
}

/// A question that runs until it is told to end, and says when it has begun.
struct Held {
    begun: oneshot::Receiver<()>,
    end: mpsc::Sender<()>,
    asked: tokio::task::JoinHandle<Result<Answered<bool>, ApiError>>,
}

/// Its answer is whether it was cancelled when it was told to end.
fn hold(questions: &Arc<Questions>) -> Held {
    let (begin, begun) = oneshot::channel();
    let (end, ended) = mpsc::channel();
    let questions = questions.clone();
    let asked = tokio::spawn(async move {
        let work = move |budget: &Budget| {
            begin.send(()).expect("the test waits for it");
            ended.recv().expect("the test ends it");
            answered(budget.cancelled.load(Relaxed))
        };
        questions.ask(QueryKind::Search, work).await
    });
    Held { begun, end, asked }
}

#[tokio::test]
async fn an_answer_comes_back_with_an_equal_share_of_the_memory() {
    let options = QueryOptions {
        concurrency: 4,
        memory_bytes_max: 4_000,
        threads: 0,
        ..QueryOptions::default()
    };
    let (questions, _) = questions(options);
    let work = |budget: &Budget| answered((budget.memory_bytes, budget.threads.max()));
    let found = questions.ask(QueryKind::Search, work).await.expect("an answer");
    assert_eq!(found.answer, (1_000, 1));
}

#[tokio::test]
async fn one_too_many_is_refused_and_those_who_wait_are_answered() {
    let (questions, metrics) = questions(one_at_a_time());
    let running = hold(&questions);
    running.begun.await.expect("it begins");
    let waiting = hold(&questions);
    // The second one waits when the gauge says so; nothing else can run on this thread meanwhile.
    while metrics.queries_waiting.get() == 0 {
        tokio::task::yield_now().await;
    }
    let refused = questions.ask(QueryKind::Search, |_| answered(())).await;
    assert!(matches!(refused, Err(ApiError::Busy { n_waiting: 1 })));
    assert_eq!((metrics.queries_waiting.get(), metrics.queries_running.get()), (1, 1));

    running.end.send(()).expect("it runs");
    assert!(!running.asked.await.expect("no panic").expect("an answer").answer);
    waiting.begun.await.expect("it begins");
    waiting.end.send(()).expect("it runs");
    assert!(waiting.asked.await.expect("no panic").is_ok());
    assert_eq!(metrics.queries_waiting.get(), 0);
}

#[tokio::test]
async fn answers_on_their_way_hold_one_share() {
    let options =
        QueryOptions { concurrency: 2, memory_bytes_max: 20 << 10, ..QueryOptions::default() };
    let (questions, _) = questions(options);
    let first = questions.hold(6 << 10).expect("room");
    assert!(questions.hold((4 << 10) + 1).is_err(), "a share is 10 KiB");
    let second = questions.hold(4 << 10).expect("room");
    assert!(questions.hold(0).is_ok(), "what holds nothing is not refused");
    drop((first, second));
    let alone = questions.hold(usize::MAX).expect("alone even the largest");
    assert!(questions.hold(1).is_err());
    drop(alone);
}

#[tokio::test]
async fn who_leaves_cancels_the_work() {
    let (questions, _) = questions(one_at_a_time());
    let (begin, begun) = oneshot::channel();
    let (told, tell) = oneshot::channel();
    let asking = questions.clone();
    let asked = tokio::spawn(async move {
        let work = move |budget: &Budget| {
            begin.send(()).expect("the test waits for it");
            while !budget.cancelled.load(Relaxed) {
                std::thread::yield_now();
            }
            let _ = told.send(budget.check(Instant::now()).is_err());
            answered(())
        };
        asking.ask(QueryKind::Search, work).await
    });
    begun.await.expect("it begins");
    asked.abort();
    assert!(tell.await.expect("the work ends"), "its next check is an error");
}

#[tokio::test]
async fn a_question_that_waited_in_vain_is_not_begun() {
    let (questions, _) = questions(one_at_a_time());
    let running = hold(&questions);
    running.begun.await.expect("it begins");
    let waiting = hold(&questions);
    while questions.workers.n_waiting() == 0 {
        tokio::task::yield_now().await;
    }
    waiting.asked.abort();
    assert!(waiting.asked.await.expect_err("it was aborted").is_cancelled());
    running.end.send(()).expect("it runs");
    assert!(waiting.begun.await.is_err(), "its work is dropped without being begun");
}

#[tokio::test]
async fn a_panic_ends_one_question() {
    let (questions, _) = questions(one_at_a_time());
    let work = |_: &Budget| -> Result<Answered<()>, ApiError> { panic!("as ordered") };
    let panicked = questions.ask(QueryKind::Search, work).await;
    assert!(matches!(panicked, Err(ApiError::Query(QueryError::Panicked(_)))));
    assert!(questions.ask(QueryKind::Search, |_| answered(())).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn time_is_up_for_those_who_only_wait_too() {
    let (questions, _) =
        questions(QueryOptions { timeout: Duration::from_secs(5), ..one_at_a_time() });
    let (end, ended) = mpsc::channel::<()>();
    let work = move |_: &Budget| {
        let _ = ended.recv();
        answered(())
    };
    let late = questions.ask(QueryKind::Search, work).await;
    assert!(matches!(late, Err(ApiError::Query(QueryError::TimedOut { seconds: 5.0 }))));
    drop(end);
}

#[test]
fn every_ending_is_counted() {
    let metrics = Metrics::default();
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let results: [Result<Answered<()>, ApiError>; 5] = [
        answered(()),
        Err(ApiError::Busy { n_waiting: 1 }),
        Err(QueryError::TimedOut { seconds: 1.0 }.into()),
        Err(QueryError::TooMuchMemory { bytes: 1 }.into()),
        Err(ApiError::Internal),
    ];
    for result in &results {
        Watch::new(QueryKind::TagValues, Instant::now(), &metrics).note(result);
    }
    drop(Watch::new(QueryKind::TagValues, Instant::now(), &metrics));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    for outcome in ["answered", "refused", "timed_out", "too_large", "failed", "cancelled"] {
        let line =
            format!("suyuan_api_queries_total{{kind=\"tag_values\",outcome=\"{outcome}\"}} 1");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}
