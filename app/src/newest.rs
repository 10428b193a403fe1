//! A thread that answers the newest question only: an edit a keystroke ago is history.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_channel::{Receiver, Sender, bounded};

/// The asking side of such a thread.
#[derive(Debug)]
pub struct Newest<Q, A> {
    questions: Sender<(u64, Q)>,
    answers: Receiver<(u64, A)>,
    /// Questions that were put, and the one whose answer was taken in last.
    asked: AtomicU64,
    answered: AtomicU64,
}

/// Questions that may wait; more are asked again in the next frame.
const QUEUE: usize = 64;

impl<Q: Send + 'static, A: Send + 'static> Newest<Q, A> {
    /// Starts the thread. `wake` is called after each answer.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        name: &str,
        mut answer: impl FnMut(Q) -> A + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (questions, inbox) = bounded::<(u64, Q)>(QUEUE);
        let (outbox, answers) = bounded(QUEUE);
        std::thread::Builder::new().name(name.into()).spawn(move || {
            while let Ok(question) = inbox.recv() {
                let (number, question) = inbox.try_iter().last().unwrap_or(question);
                if outbox.send((number, answer(question))).is_err() {
                    return;
                }
                wake();
            }
        })?;
        Ok(Self { questions, answers, asked: AtomicU64::new(0), answered: AtomicU64::new(0) })
    }

    /// Asks; whether there was room for the question.
    pub fn ask(&self, question: Q) -> bool {
        let number = self.asked.load(Relaxed) + 1;
        let room = self.questions.try_send((number, question)).is_ok();
        if room {
            self.asked.store(number, Relaxed);
        }
        room
    }

    /// The next answer, if one is ready.
    pub fn poll(&self) -> Option<A> {
        let (number, answer) = self.answers.try_recv().ok()?;
        self.answered.store(number, Relaxed);
        Some(answer)
    }

    /// Whether the newest question is answered, and its answer was taken in.
    pub fn is_idle(&self) -> bool {
        self.asked.load(Relaxed) == self.answered.load(Relaxed)
    }
}

/// What a computation gives, a panic in it included as an error.
///
/// # Errors
/// As the computation, and when it panics.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(graft_engine::device::panic_message(&*panic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_waited_are_passed_over_for_the_newest() {
        let (gate, open) = bounded::<()>(0);
        let asked = Newest::start(
            "test",
            move |question: u32| {
                open.recv().unwrap();
                question
            },
            || {},
        )
        .unwrap();
        assert!(asked.ask(0));
        // The thread has the first one in hand, or takes all three at once; either way 2 comes last and 1 never.
        gate.send_timeout((), std::time::Duration::from_secs(5)).unwrap();
        let begin = std::time::Instant::now();
        let wait = || loop {
            if let Some(answer) = asked.poll() {
                break answer;
            }
            assert!(begin.elapsed().as_secs() < 5, "no answer");
            std::thread::yield_now();
        };
        assert!(!asked.is_idle());
        assert_eq!(wait(), 0);
        for question in [1, 2] {
            assert!(asked.ask(question));
        }
        gate.send_timeout((), std::time::Duration::from_secs(5)).unwrap();
        let first = wait();
        if first != 2 {
            gate.send_timeout((), std::time::Duration::from_secs(5)).unwrap();
            assert!(!asked.is_idle());
            assert_eq!(wait(), 2);
        }
        assert!(asked.is_idle());
    }

    #[test]
    fn a_panic_is_an_answer() {
        let told = guarded::<()>(|| panic!("lost"));
        assert!(told.unwrap_err().contains("lost"));
    }
}
