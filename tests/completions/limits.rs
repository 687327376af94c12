//! How many requests are on their way, on how many connections.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use espalier::search::{Cancel, Evaluator};

use super::stub::{Stub, good};
use super::{ask, evaluator, recipe, request};

#[test]
fn requests_in_flight_keep_to_their_bound_over_all_threads() {
    const BOUND: usize = 3;
    // Now in flight, and the most so far. Each of the first requests is held until as many as may be are there at once.
    let counts = Arc::new((Mutex::new((0, 0)), Condvar::new()));
    let server = {
        let counts = Arc::clone(&counts);
        Stub::start(move |request| {
            let (state, changed) = &*counts;
            let mut state = state.lock().unwrap();
            state.0 += 1;
            state.1 = state.1.max(state.0);
            changed.notify_all();
            let patience = Duration::from_secs(20);
            let full = changed.wait_timeout_while(state, patience, |state| state.1 < BOUND);
            let reply = good(request);
            full.unwrap().0.0 -= 1;
            reply
        })
    };
    let mut recipe = recipe(server.url());
    recipe.http.max_in_flight = BOUND;
    recipe.samples_per_request = 1;
    let evaluator = evaluator(&recipe);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let evaluator = &evaluator;
            scope.spawn(move || {
                let requests: Vec<_> =
                    (0..4).map(|i| request(&format!("{thread} {i}\n"), 2)).collect();
                assert!(evaluator.evaluate(&requests, &Cancel::new()).iter().all(Result::is_ok));
            });
        }
    });
    assert_eq!(counts.0.lock().unwrap().1, BOUND);
    assert_eq!(server.received().len(), 6 * 4 * 2);
    let connections = server.received().iter().map(|request| request.connection).max();
    assert!(connections < Some(4 * BOUND), "{connections:?}");
}

#[test]
fn connections_are_used_again() {
    let server = Stub::start(good);
    let evaluator = evaluator(&recipe(server.url()));
    for _ in 0..5 {
        ask(&evaluator, &request("a\n", 2)).unwrap();
    }
    assert!(server.received().iter().all(|request| request.connection == 0));
}

#[test]
fn also_after_an_answer_that_was_an_error() {
    use super::stub::Reply;
    let server = Stub::start(|request| match request.number {
        0 | 1 => Reply::Http(500, &[], "busy".into()),
        _ => good(request),
    });
    ask(&evaluator(&recipe(server.url())), &request("a\n", 2)).unwrap();
    assert!(server.received().iter().all(|request| request.connection == 0));
}

#[test]
fn requests_keep_their_distance_in_time() {
    let server = Stub::start(good);
    let mut recipe = recipe(server.url());
    recipe.http.requests_per_minute = 600;
    recipe.samples_per_request = 1;
    let evaluator = evaluator(&recipe);
    let start = Instant::now();
    ask(&evaluator, &request("a\n", 6)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(500));
}
