//! A thread that answers the newest question only: an edit a keystroke ago is history.

use crossbeam_channel::{Receiver, Sender, bounded};

/// The asking side of such a thread.
#[derive(Debug)]
pub struct Newest<Q, A> {
    questions: Sender<Q>,
    answers: Receiver<A>,
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
        let (questions, inbox) = bounded::<Q>(QUEUE);
        let (outbox, answers) = bounded(QUEUE);
        std::thread::Builder::new().name(name.into()).spawn(move || {
            while let Ok(question) = inbox.recv() {
                let question = inbox.try_iter().last().unwrap_or(question);
                if outbox.send(answer(question)).is_err() {
                    return;
                }
                wake();
            }
        })?;
        Ok(Self { questions, answers })
    }

    /// Asks; whether there was room for the question.
    pub fn ask(&self, question: Q) -> bool {
        self.questions.try_send(question).is_ok()
    }

    /// The next answer, if one is ready.
    pub fn poll(&self) -> Option<A> {
        self.answers.try_recv().ok()
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
        let wait = || asked.answers.recv_timeout(std::time::Duration::from_secs(5)).unwrap();
        assert_eq!(wait(), 0);
        for question in [1, 2] {
            assert!(asked.ask(question));
        }
        gate.send_timeout((), std::time::Duration::from_secs(5)).unwrap();
        let first = wait();
        if first != 2 {
            gate.send_timeout((), std::time::Duration::from_secs(5)).unwrap();
            assert_eq!(wait(), 2);
        }
    }

    #[test]
    fn a_panic_is_an_answer() {
        let told = guarded::<()>(|| panic!("lost"));
        assert!(told.unwrap_err().contains("lost"));
    }
}
