//! Threads that compute.

use std::cell::OnceCell;

use rayon::{ThreadPool, ThreadPoolBuilder};

thread_local! {
    /// The pool of this thread; its other threads end with it.
    static POOL: OnceCell<Option<ThreadPool>> = const { OnceCell::new() };
}

/// Makes the calling thread one of those that its ops run on, for as long as it lives.
///
/// A thread outside rayon's pool sends each op there and sleeps until it is done: a step is hundreds of short ops, and
/// falling asleep and waking up takes a twentieth of it. Call it once where a thread that trains begins. Where the
/// system gives no threads, all stays as it was.
pub fn take_part() {
    POOL.with(|pool| {
        pool.get_or_init(|| ThreadPoolBuilder::new().use_current_thread().build().ok());
    });
}

#[cfg(test)]
mod tests {
    use super::take_part;

    #[test]
    fn a_thread_that_takes_part_is_one_of_its_pool() {
        let joined = std::thread::Builder::new().name("joins".into()).spawn(|| {
            let outside = rayon::current_thread_index();
            let threads = rayon::current_num_threads();
            take_part();
            take_part();
            (outside, rayon::current_thread_index(), threads, rayon::current_num_threads())
        });
        let (outside, inside, before, after) = joined.unwrap().join().unwrap();
        assert_eq!((outside, inside), (None, Some(0)));
        assert_eq!(before, after, "as many threads as before");
    }
}
