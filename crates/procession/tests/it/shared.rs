//! What processes share.

use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use procession::{
    Barrier, Condition, Connection, ErrorKind, Event, Lock, Pool, Process, Queue, RwLock, Semaphore, SharedSlice,
    TaskError, Waitable, pipe, wait, wait_timeout,
};

const SHORT: Duration = Duration::from_millis(20);

fn add((slice, times): (SharedSlice<u64>, u64)) {
    for _ in 0..times {
        slice.lock().unwrap()[0] += 1;
    }
}

#[test]
fn processes_and_tasks_add_to_the_same_numbers() {
    let slice = SharedSlice::<u64>::new(4).unwrap();
    let processes = [0; 2].map(|_| Process::spawn(add, (slice.clone(), 5_000)).unwrap());
    add((slice.clone(), 5_000));
    for process in processes {
        process.join().unwrap();
    }
    Pool::new(2).unwrap().map(add, (0..100).map(|_| (slice.clone(), 10))).unwrap();
    assert_eq!(slice.to_vec(), [16_000, 0, 0, 0]);
    assert!(SharedSlice::<f32>::new(0).unwrap().is_empty());
}

#[test]
fn a_lock_whose_owner_was_killed_says_so_and_is_had() {
    fn hold((lock, held): (Lock<u32>, Event)) {
        let mut guard = lock.lock().unwrap();
        *guard = 9;
        held.set();
        std::thread::sleep(Duration::from_secs(3600));
    }
    let (lock, held) = (Lock::new(1).unwrap(), Event::new().unwrap());
    let process = Process::spawn(hold, (lock.clone(), held.clone())).unwrap();
    held.wait();
    assert!(lock.try_lock().is_none());
    assert!(lock.lock_timeout(SHORT).is_none());
    process.kill();
    let guard = lock.lock().unwrap_err().into_inner();
    assert_eq!(*guard, 1);
    drop(guard);
    assert_eq!(*lock.lock().unwrap(), 1);
}

#[test]
fn a_lock_keeps_a_value_of_changing_size() {
    fn grow(lock: Lock<Vec<String>>) {
        lock.lock().unwrap().push("x".repeat(1000));
    }
    let lock = Lock::new(Vec::new()).unwrap();
    Pool::new(2).unwrap().map(grow, (0..50).map(|_| lock.clone())).unwrap();
    assert_eq!(lock.lock().unwrap().len(), 50);
    let nothing = Lock::new(()).unwrap();
    drop(nothing.lock().unwrap());
    assert!(nothing.try_lock().is_some());
}

#[test]
fn readers_are_together_and_a_writer_is_alone() {
    fn read((lock, together): (RwLock<u32>, Barrier)) -> u32 {
        let guard = lock.read().unwrap();
        // Nobody gets on before all three are in.
        together.wait().unwrap();
        *guard
    }
    fn write((lock, times): (RwLock<u32>, u32)) {
        for _ in 0..times {
            *lock.write().unwrap() += 1;
        }
    }
    let (lock, together) = (RwLock::new(1).unwrap(), Barrier::new(3).unwrap());
    let readers = [0; 2].map(|_| Process::spawn(read, (lock.clone(), together.clone())).unwrap());
    assert_eq!(read((lock.clone(), together)), 1);
    assert!(readers.iter().all(|reader| reader.join() == Ok(1)));
    let writers = [0; 2].map(|_| Process::spawn(write, (lock.clone(), 500)).unwrap());
    while writers.iter().any(|writer| writer.try_join().is_none()) {
        assert!((1..=1001).contains(&*lock.read().unwrap()));
    }
    let guard = lock.read().unwrap();
    assert_eq!(*guard, 1001);
    assert!(lock.write_timeout(SHORT).is_none());
    assert_eq!(*lock.read_timeout(SHORT).unwrap().unwrap(), 1001);
    drop(guard);
    let guard = lock.write_timeout(SHORT).unwrap().unwrap();
    assert!(lock.read_timeout(SHORT).is_none());
    drop(guard);
    drop(RwLock::new(()).unwrap().read().unwrap());
}

#[test]
fn a_reader_that_was_killed_is_not_counted_and_a_writer_leaves_the_value_before() {
    fn hold((lock, held, to_write): (RwLock<u32>, Event, bool)) {
        let _reading = (!to_write).then(|| lock.read().unwrap());
        let mut writing = to_write.then(|| lock.write().unwrap());
        writing.as_deref_mut().into_iter().for_each(|value| *value = 9);
        held.set();
        std::thread::sleep(Duration::from_secs(3600));
    }
    for to_write in [false, true] {
        let (lock, held) = (RwLock::new(1).unwrap(), Event::new().unwrap());
        let process = Process::spawn(hold, (lock.clone(), held.clone(), to_write)).unwrap();
        held.wait();
        assert!(lock.write_timeout(SHORT).is_none());
        process.kill();
        let answer = lock.write();
        assert_eq!(answer.is_err(), to_write);
        let guard = answer.unwrap_or_else(procession::Poisoned::into_inner);
        assert_eq!(*guard, 1);
        drop(guard);
        assert_eq!(*lock.read().unwrap(), 1);
    }
}

#[test]
fn a_queue_carries_messages_both_ways() {
    fn work((jobs, results): (Queue<u32>, Queue<Vec<u8>>)) {
        while let Some(size) = jobs.get_timeout(Duration::from_secs(10)).unwrap().filter(|size| *size > 0) {
            results.put(vec![7; size as usize]).unwrap();
        }
    }
    let (jobs, results) = (Queue::new().unwrap(), Queue::bounded(2).unwrap());
    let process = Process::spawn(work, (jobs.clone(), results.clone())).unwrap();
    for size in [1, 100_000, 3, 1_000_000, 0] {
        jobs.put(size).unwrap();
    }
    let sizes: Vec<usize> = (0..4).map(|_| results.get().unwrap().len()).collect();
    assert_eq!(sizes, [1, 100_000, 3, 1_000_000]);
    process.join().unwrap();
    assert_eq!(results.try_get().unwrap(), None);
    assert_eq!(results.get_timeout(SHORT).unwrap(), None);
    results.put(vec![1]).unwrap();
    results.put(vec![2]).unwrap();
    assert_eq!(results.put_timeout(vec![3], SHORT).unwrap(), Err(vec![3]));
}

#[test]
fn a_pipe_ends_when_the_other_side_does() {
    fn echo(connection: Connection<Vec<u8>>) -> u32 {
        let mut count = 0;
        while let Ok(message) = connection.recv() {
            connection.send(&message).unwrap();
            count += 1;
        }
        count
    }
    let (ours, theirs) = pipe().unwrap();
    let process = Process::spawn(echo, theirs).unwrap();
    for size in [0, 10, 3_000_000] {
        let message = vec![size as u8; size];
        ours.send(&message).unwrap();
        assert!(ours.recv().unwrap() == message);
    }
    assert_eq!(ours.recv_timeout(SHORT).unwrap(), None);
    drop(ours);
    assert_eq!(process.join(), Ok(3));
}

#[test]
fn a_pipe_whose_child_crashed_is_closed() {
    let (ours, theirs) = pipe::<u8, u8>().unwrap();
    let process = Process::spawn(|_: Connection<u8>| std::process::abort(), theirs).unwrap();
    assert_eq!(ours.recv().unwrap_err().kind(), ErrorKind::Closed);
    let _: Result<(), TaskError> = process.join();
}

#[test]
fn a_pipe_whose_sender_was_killed_within_a_message_ends() {
    fn send(connection: Connection<Vec<f64>>) {
        let message = vec![1.5; 1 << 20];
        while connection.send(&message).is_ok() {}
    }
    let (ours, theirs) = pipe().unwrap();
    let process = Process::spawn(send, theirs).unwrap();
    let first: Vec<f64> = ours.recv().unwrap();
    assert!(first.len() == 1 << 20 && first.iter().all(|number| *number == 1.5));
    process.kill();
    let last = std::iter::repeat_with(|| ours.recv()).find_map(Result::err).unwrap();
    assert!(matches!(last.kind(), ErrorKind::Closed | ErrorKind::Protocol), "{last}");
    assert!(ours.send(&vec![1.0; 1 << 20]).is_err());
}

#[test]
fn a_pipe_keeps_a_hundred_messages_that_nobody_receives_yet() {
    let (ours, theirs) = pipe::<String, u8>().unwrap();
    (0..100).for_each(|number| ours.send(&format!("number {number}")).unwrap());
    (0..100).for_each(|number| assert_eq!(theirs.recv().unwrap(), format!("number {number}")));
}

#[test]
fn permits_limit_how_many_are_in() {
    fn enter((permits, seen): (Semaphore, Lock<(u32, u32)>)) {
        let _permit = permits.acquire();
        {
            let mut guard = seen.lock().unwrap();
            guard.0 += 1;
            guard.1 = guard.1.max(guard.0);
        }
        std::thread::yield_now();
        seen.lock().unwrap().0 -= 1;
    }
    let (permits, seen) = (Semaphore::new(2).unwrap(), Lock::new((0, 0)).unwrap());
    Pool::new(4).unwrap().map(enter, (0..40).map(|_| (permits.clone(), seen.clone()))).unwrap();
    let (now, most) = *seen.lock().unwrap();
    assert!(now == 0 && (1..=2).contains(&most), "{now} {most}");
    let both = (permits.try_acquire().unwrap(), permits.try_acquire().unwrap());
    assert!(permits.try_acquire().is_none());
    assert!(permits.acquire_timeout(SHORT).is_none());
    drop(both);
    assert_eq!(permits.permits(), 2);
}

#[test]
fn a_barrier_lets_all_go_on_together_or_breaks() {
    fn meet(barrier: Barrier) -> bool {
        barrier.wait().unwrap()
    }
    let barrier = Barrier::new(3).unwrap();
    let others = [0; 2].map(|_| Process::spawn(meet, barrier.clone()).unwrap());
    let mut last = u32::from(barrier.wait().unwrap());
    for other in others {
        last += u32::from(other.join().unwrap());
    }
    assert_eq!(last, 1);
    assert_eq!(barrier.wait_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(barrier.is_broken());
    assert_eq!(barrier.wait().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_condition_wakes_those_who_wait() {
    fn take((basket, filled): (Lock<u32>, Condition)) {
        let mut guard = filled.wait_while(basket.lock().unwrap(), |apples| *apples == 0);
        *guard -= 1;
    }
    let (basket, filled) = (Lock::new(0).unwrap(), Condition::new().unwrap());
    let takers = [0; 3].map(|_| Process::spawn(take, (basket.clone(), filled.clone())).unwrap());
    for _ in 0..3 {
        let mut guard = basket.lock().unwrap();
        *guard += 1;
        filled.notify_one(&guard);
    }
    filled.notify_all(&basket.lock().unwrap());
    for taker in takers {
        taker.join().unwrap();
    }
    assert_eq!(*basket.lock().unwrap(), 0);
    let (_guard, came) = filled.wait_timeout(basket.lock().unwrap(), SHORT);
    assert!(!came);
}

#[test]
fn an_event_is_waited_for_at_most_so_long() {
    let event = Event::new().unwrap();
    assert!(!event.wait_timeout(SHORT));
    event.set();
    assert!(event.wait_timeout(SHORT));
    event.clear();
    assert!(!event.is_set());
}

#[test]
fn what_is_shared_does_not_leak_descriptors_in_a_pool() {
    fn count(_: Event) -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }
    let pool = Pool::new(1).unwrap();
    let mut seen = Vec::new();
    for _ in 0..30 {
        let slice = SharedSlice::<u8>::new(10).unwrap();
        pool.submit(|slice: SharedSlice<u8>| slice.len(), slice).wait().unwrap();
        seen.push(pool.submit(count, Event::new().unwrap()).wait().unwrap());
    }
    assert!(seen[29] <= seen[0] + 2, "{seen:?}");
}

#[test]
fn what_is_shared_comes_back_in_results() {
    fn make(seed: u64) -> (SharedSlice<u64>, Queue<u64>, Lock<u64>) {
        let queue = Queue::new().unwrap();
        queue.put(seed + 1).unwrap();
        (SharedSlice::from_slice(&[seed; 3]).unwrap(), queue, Lock::new(seed + 2).unwrap())
    }
    let check = |seed: u64, (slice, queue, lock): (SharedSlice<u64>, Queue<u64>, Lock<u64>)| {
        assert_eq!(slice.to_vec(), [seed; 3]);
        assert_eq!(queue.get().unwrap(), seed + 1);
        assert_eq!(*lock.lock().unwrap(), seed + 2);
    };
    let process = Process::spawn(make, 7).unwrap();
    check(7, process.join().unwrap());
    assert!(process.join().unwrap().1.is_empty());
    let pool = Pool::new(2).unwrap();
    check(8, pool.submit(make, 8).wait().unwrap());
    for (seed, made) in pool.map(make, 0..50).unwrap().into_iter().enumerate() {
        check(seed as u64, made);
    }
    for (seed, made) in pool.imap_unordered(make, 0..300) {
        check(seed as u64, made.unwrap());
    }
}

#[test]
fn more_descriptors_come_back_than_fit_a_socket() {
    fn make(count: u64) -> Vec<Connection<u8>> {
        let ends = (0..count).map(|_| pipe::<u8, u8>().unwrap());
        ends.map(|(near, far)| {
            near.send(&5).unwrap();
            far
        })
        .collect()
    }
    let pool = Pool::new(2).unwrap();
    let all = pool.map(make, [300, 0, 1, 2]).unwrap();
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [300, 0, 1, 2]);
    assert!(all.iter().flatten().all(|end| end.recv().unwrap() == 5));
    drop(all);
    // Results that nobody reads do not stop the workers.
    for _ in 0..20 {
        let tasks: Vec<_> = (0..40).map(|_| pool.submit(make, 1)).collect();
        drop(tasks);
    }
    assert_eq!(pool.submit(make, 2).wait().unwrap().len(), 2);
}

#[test]
fn what_is_shared_travels_in_messages() {
    fn serve(calls: Queue<(u32, Connection<String>)>) {
        for _ in 0..40 {
            let (number, caller) = calls.get().unwrap();
            caller.send(&format!("{number} heard")).unwrap();
        }
    }
    let calls = Queue::new().unwrap();
    let servers = [0; 2].map(|_| Process::spawn(serve, calls.clone()).unwrap());
    let answers: Vec<Connection<String>> = (0..80)
        .map(|number| {
            let (ours, theirs) = pipe().unwrap();
            calls.put((number, theirs)).unwrap();
            ours
        })
        .collect();
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.recv().unwrap(), format!("{number} heard"));
        assert_eq!(answer.recv().unwrap_err().kind(), ErrorKind::Closed);
    }
    servers.iter().for_each(|server| server.join().unwrap());

    type Call = Option<(Queue<u8>, Vec<Event>)>;
    let (ours, theirs) = pipe::<Call, u8>().unwrap();
    let hear = |connection: Connection<u8, Call>| {
        while let Some((queue, events)) = connection.recv().unwrap() {
            events.iter().for_each(Event::set);
            queue.put(events.len() as u8).unwrap();
        }
    };
    let process = Process::spawn(hear, theirs).unwrap();
    for count in [0, 1, 200] {
        let (queue, events) = (Queue::new().unwrap(), vec![Event::new().unwrap(); count]);
        ours.send(&Some((queue.clone(), events.clone()))).unwrap();
        assert_eq!(usize::from(queue.get().unwrap()), count);
        assert!(events.iter().all(Event::is_set));
    }
    ours.send(&None).unwrap();
    process.join().unwrap();
}

#[test]
fn a_message_whose_taker_died_is_passed_over() {
    fn take_and_die(queue: Queue<(u32, Event)>) {
        queue.get().unwrap();
        std::process::abort();
    }
    let queue = Queue::new().unwrap();
    for number in 0..3 {
        queue.put((number, Event::new().unwrap())).unwrap();
    }
    assert!(Process::spawn(take_and_die, queue.clone()).unwrap().join().is_err());
    assert_eq!((queue.get().unwrap().0, queue.get().unwrap().0), (1, 2));
}

#[test]
fn what_is_shared_is_not_kept_behind_a_lock() {
    assert_eq!(Lock::new(Event::new().unwrap()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_first_of_many_is_waited_for() {
    fn late((event, queue): (Event, Queue<u8>)) -> u8 {
        event.wait();
        queue.put(1).unwrap();
        2
    }
    let (event, queue, others) = (Event::new().unwrap(), Queue::new().unwrap(), Queue::<u8>::new().unwrap());
    let (ours, theirs) = pipe::<u8, u8>().unwrap();
    let pool = Pool::new(2).unwrap();
    let task = pool.submit(late, (event.clone(), others.clone()));
    let process = Process::spawn(late, (event.clone(), queue.clone())).unwrap();
    let all: [&dyn Waitable; 5] = [&queue, &process, &ours, &task, &others];
    assert!(wait_timeout(&all, SHORT).unwrap().is_empty());
    theirs.send(&1).unwrap();
    assert_eq!(wait(&all).unwrap(), [2]);
    assert_eq!(ours.recv().unwrap(), 1);
    std::thread::scope(|scope| {
        // Wakes those who wait, whether they wait already or not.
        scope.spawn(|| event.set());
        for place in [0, 1, 3, 4] {
            assert_eq!(wait(&[all[place]]).unwrap(), [0]);
        }
    });
    assert_eq!(wait(&all).unwrap(), [0, 1, 3, 4]);
    drop(theirs);
    assert_eq!(wait(&all).unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!((task.wait().unwrap(), process.join().unwrap()), (2, 2));
    assert!(wait(&[]).is_err());
    let crash = Process::spawn(|_: u8| std::process::abort(), 0).unwrap();
    assert_eq!(wait(&[&crash]).unwrap(), [0]);
    let _: Result<(), TaskError> = crash.join();
}

#[test]
fn what_cannot_be_kept_behind_a_lock_says_why() {
    let error = Lock::new(vec![Event::new().unwrap()]).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("travels in arguments, results and messages"), "{error}");
}

#[test]
fn a_message_whose_rebuilding_panics_is_an_error_and_the_next_one_comes() {
    #[derive(Debug, PartialEq, serde::Serialize)]
    struct Fussy(u32);
    impl<'de> serde::Deserialize<'de> for Fussy {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Fussy, D::Error> {
            let number = u32::deserialize(deserializer)?;
            assert_ne!(number, 5, "not rebuilt");
            Ok(Fussy(number))
        }
    }
    let queue = Queue::new().unwrap();
    let (out, into) = pipe::<Fussy, Fussy>().unwrap();
    for number in [5, 6] {
        queue.put(Fussy(number)).unwrap();
        out.send(&Fussy(number)).unwrap();
    }
    assert!(queue.get().unwrap_err().to_string().contains("not rebuilt"));
    assert!(into.recv().unwrap_err().to_string().contains("not rebuilt"));
    assert_eq!(queue.get().unwrap(), Fussy(6));
    assert_eq!(into.recv().unwrap(), Fussy(6));
}

#[test]
fn a_queue_has_a_descriptor_that_is_readable_while_there_are_messages() {
    fn answer((queue, answers): (Queue<u32>, Queue<u32>)) {
        // Asked for here, put by another process that has had the queue before.
        await_readable(&queue);
        answers.put(queue.try_get().unwrap().unwrap() + 1).unwrap();
        assert!(!is_readable(&queue));
    }
    let (queue, answers) = (Queue::new().unwrap(), Queue::new().unwrap());
    assert!(!is_readable(&answers));
    let process = Process::spawn(answer, (queue.clone(), answers.clone())).unwrap();
    queue.put(7).unwrap();
    await_readable(&answers);
    assert_eq!(answers.get().unwrap(), 8);
    assert!(!is_readable(&answers.clone()));
    process.join().unwrap();
    answers.put(1).unwrap();
    assert!(is_readable(&answers));
}

fn await_readable(queue: &Queue<u32>) {
    let mut watched = [PollFd::new(queue.readable_fd().unwrap(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut watched, PollTimeout::from(20_000u16)).unwrap(), 1);
}

fn is_readable(queue: &Queue<u32>) -> bool {
    poll(&mut [PollFd::new(queue.readable_fd().unwrap(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
}
