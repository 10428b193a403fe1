//! What tells the classes of sentences apart, and sentences drawn for a class.

use serde::{Deserialize, Serialize};

use crate::tensor::Draws;

/// Fills up.
pub(super) const PAD: i64 = 0;
/// Begins a sequence.
pub(super) const CLS: i64 = 1;
/// Ends a segment.
pub(super) const SEP: i64 = 2;
/// The first word.
pub(super) const WORDS: i64 = 3;

/// What tells the classes apart. In all but [`SentenceTask::Majority`] the words of a sentence, without their order, say
/// nothing about its class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SentenceTask {
    /// Whether word 3 comes before word 4. Each is in a sentence once, among others.
    #[default]
    Order,
    /// Whether the first of two words comes before the second, where the first segment names the two
    /// (`[CLS] x y [SEP]`) and the second is the sentence. Each of the two is in it once.
    AskedOrder,
    /// Whether brackets of two kinds (words 3 and 4, 5 and 6) are balanced. Where they are not, words of a balanced
    /// sentence have changed places. Sentences have an even number of words.
    Brackets,
    /// Which of the words 3 to 6 is the most frequent, among others. It needs counting, not order.
    Majority,
}

/// Words among which [`SentenceTask::Majority`] chooses.
const CANDIDATES: usize = 4;
/// Places that are tried before the one exchange that surely unbalances.
const TRIES: usize = 8;

impl SentenceTask {
    /// Names of the classes, in label order.
    pub(super) const fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Order => &["word 4 first", "word 3 first"],
            Self::AskedOrder => &["second first", "first first"],
            Self::Brackets => &["unbalanced", "balanced"],
            Self::Majority => &["word 3", "word 4", "word 5", "word 6"],
        }
    }

    /// Tokens beside the words of the sentence.
    pub(super) const fn other_tokens(self) -> usize {
        match self {
            Self::AskedOrder => 5,
            Self::Order | Self::Brackets | Self::Majority => 2,
        }
    }

    /// Words of the shortest sentence that shows every class.
    pub(super) const fn least_words(self) -> usize {
        match self {
            Self::Order | Self::AskedOrder | Self::Brackets => 2,
            Self::Majority => 5,
        }
    }

    /// The smallest vocabulary: special tokens, the words that matter, and another where there is need of one.
    pub(super) const fn least_vocabulary(self) -> usize {
        match self {
            Self::Order | Self::AskedOrder => 6,
            Self::Brackets => 7,
            Self::Majority => 8,
        }
    }
}

/// A sequence without its filling.
#[derive(Debug)]
pub(super) struct Sentence {
    pub(super) ids: Vec<i64>,
    /// Where the second segment begins; the end when there is none.
    pub(super) second: usize,
}

impl Sentence {
    /// A sentence of a class (at most one word shorter than asked for).
    pub(super) fn draw(
        task: SentenceTask,
        label: usize,
        words: usize,
        vocabulary: usize,
        draws: &mut Draws,
    ) -> Self {
        let (question, body) = match task {
            SentenceTask::Order => {
                let [x, y] = [WORDS, WORDS + 1];
                (Vec::new(), ordered([x, y], label == 1, others(words, &[x, y], vocabulary, draws), draws))
            }
            SentenceTask::AskedOrder => {
                let [x, y] = two_words(vocabulary, draws);
                let body = ordered([x, y], label == 1, others(words, &[x, y], vocabulary, draws), draws);
                (vec![x, y, SEP], body)
            }
            SentenceTask::Brackets => {
                let mut body = balanced(words / 2, draws);
                if label == 0 {
                    unbalance(&mut body, draws);
                }
                (Vec::new(), body)
            }
            SentenceTask::Majority => (Vec::new(), majority(label, words, vocabulary, draws)),
        };
        let ids = [&[CLS], &question[..], &body, &[SEP]].concat();
        let second = if question.is_empty() { ids.len() } else { 1 + question.len() };
        Self { ids, second }
    }
}

#[expect(clippy::cast_possible_wrap, reason = "ids are below 2^24")]
fn word(place: usize) -> i64 {
    WORDS + place as i64
}

/// How many words there are.
fn count(vocabulary: usize) -> usize {
    // The special tokens come first.
    vocabulary - 3
}

/// Two different words.
fn two_words(vocabulary: usize, draws: &mut Draws) -> [i64; 2] {
    let count = count(vocabulary);
    let first = draws.below(count);
    let second = (first + 1 + draws.below(count - 1)) % count;
    [word(first), word(second)]
}

/// So many words by chance, none of which is in `without`.
fn others(words: usize, without: &[i64], vocabulary: usize, draws: &mut Draws) -> Vec<i64> {
    let mut without = without.to_vec();
    without.sort_unstable();
    (0..words)
        .map(|_| {
            // Each word left out pushes those behind it one further.
            let place = draws.below(count(vocabulary) - without.len());
            without.iter().fold(word(place), |id, left_out| if id >= *left_out { id + 1 } else { id })
        })
        .collect()
}

/// Puts two words into two places of `body`, in this order or the other.
fn ordered([x, y]: [i64; 2], in_order: bool, mut body: Vec<i64>, draws: &mut Draws) -> Vec<i64> {
    let one = draws.below(body.len());
    let two = (one + 1 + draws.below(body.len() - 1)) % body.len();
    let (early, late) = (one.min(two), one.max(two));
    (body[early], body[late]) = if in_order { (x, y) } else { (y, x) };
    body
}

/// Balanced brackets, each kind as likely in each pair.
fn balanced(pairs: usize, draws: &mut Draws) -> Vec<i64> {
    let (mut body, mut open, mut to_open) = (Vec::with_capacity(2 * pairs), Vec::new(), pairs);
    while body.len() < 2 * pairs {
        let opens = to_open > 0 && (open.is_empty() || draws.below(2) == 0);
        if opens {
            let opening = word(2 * draws.below(2));
            open.push(opening + 1);
            body.push(opening);
            to_open -= 1;
        } else {
            body.extend(open.pop());
        }
    }
    body
}

/// Whether every bracket is closed by its own kind.
pub(super) fn is_balanced(body: &[i64]) -> bool {
    let mut open = Vec::new();
    for &id in body {
        if (id - WORDS) % 2 == 0 {
            open.push(id + 1);
        } else if open.pop() != Some(id) {
            return false;
        }
    }
    open.is_empty()
}

/// Exchanges two words of a balanced sentence, so that it no longer is.
fn unbalance(body: &mut [i64], draws: &mut Draws) {
    for _ in 0..TRIES {
        let (one, two) = (draws.below(body.len()), draws.below(body.len()));
        body.swap(one, two);
        if !is_balanced(body) {
            return;
        }
        body.swap(one, two);
    }
    // It then begins with a bracket that closes.
    body.swap(0, body.len() - 1);
}

/// One candidate more often than each of the others, among other words.
fn majority(winner: usize, words: usize, vocabulary: usize, draws: &mut Draws) -> Vec<i64> {
    // All candidates together need at most 4 · often − 3 places.
    let often = 2 + draws.below(words.div_ceil(CANDIDATES) - 1);
    let mut body = Vec::with_capacity(words);
    for candidate in 0..CANDIDATES {
        let times = if candidate == winner { often } else { draws.below(often) };
        body.extend(std::iter::repeat_n(word(candidate), times));
    }
    let candidates: Vec<i64> = (0..CANDIDATES).map(word).collect();
    body.extend(others(words - body.len(), &candidates, vocabulary, draws));
    draws.shuffle(&mut body);
    body
}
