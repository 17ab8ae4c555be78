//! Order, bounds, panics and the end of the threads.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

fn workers(threads: usize, queue_max: usize) -> Workers {
    Workers::start(WorkersOptions { threads, queue_max, niceness: 0 }).expect("threads")
}

/// A task that says that it has begun and ends when it is let go.
fn blocker(workers: &Workers) -> (Receiver<()>, Sender<()>) {
    let (begun, has_begun) = channel();
    let (let_go, is_let_go) = channel::<()>();
    let task = move || {
        begun.send(()).expect("somebody listens");
        // An error is a test that failed elsewhere.
        let _ = is_let_go.recv();
    };
    workers.submit(task).expect("room");
    (has_begun, let_go)
}

#[test]
fn tasks_run_in_the_order_in_which_they_came() {
    let workers = workers(1, 100);
    let (sender, receiver) = channel();
    for number in 0..100 {
        let sender = sender.clone();
        let task = move || sender.send(number).expect("somebody listens");
        while workers.submit(task.clone()).is_err() {
            std::thread::yield_now();
        }
    }
    drop(sender);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_task_too_many_is_refused_at_once() {
    let workers = workers(1, 1);
    let (has_begun, let_go) = blocker(&workers);
    has_begun.recv().expect("it runs");
    let (sender, receiver) = channel();
    workers.submit(move || sender.send(7).expect("somebody listens")).expect("one may wait");
    assert_eq!(workers.submit(|| {}), Err(QueueFull { waiting: 1 }));
    assert_eq!((workers.n_waiting(), workers.n_running()), (1, 1));
    let_go.send(()).expect("it waits");
    assert_eq!(receiver.recv(), Ok(7));
}

#[test]
fn without_a_queue_a_free_thread_still_takes_a_task() {
    let workers = workers(1, 0);
    let (has_begun, let_go) = blocker(&workers);
    assert!(workers.submit(|| {}).is_err());
    has_begun.recv().expect("it runs");
    assert!(workers.submit(|| {}).is_err());
    drop(let_go);
}

#[test]
fn a_panic_ends_one_task_and_no_thread() {
    let workers = workers(1, 2);
    let (sender, receiver) = channel::<u32>();
    let task = move || {
        let _kept = sender;
        std::panic::resume_unwind(Box::new("a test's panic"));
    };
    workers.submit(task).expect("room");
    assert!(receiver.recv().is_err(), "its channel is closed");
    let (sender, receiver) = channel();
    workers.submit(move || sender.send(1).expect("somebody listens")).expect("room");
    assert_eq!(receiver.recv(), Ok(1));
}

#[test]
fn the_end_drops_what_waits_and_waits_for_what_runs() {
    let workers = workers(1, 1);
    let (has_begun, let_go) = blocker(&workers);
    has_begun.recv().expect("it runs");
    let (sender, receiver) = channel::<()>();
    workers.submit(move || drop(sender)).expect("room");
    let queue = workers.queue.clone();
    let end = std::thread::spawn(move || drop(workers));
    assert!(receiver.recv().is_err(), "it was dropped");
    assert_eq!(queue.state().n_running, 1);
    let_go.send(()).expect("it still runs");
    end.join().expect("no panic");
    assert_eq!(queue.state().n_running, 0);
}
