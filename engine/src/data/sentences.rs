//! Synthesised sequences of tokens, computed on the fly.

mod task;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::task::SentenceTask;

use self::task::Sentence;
use super::field::LABELS;
use super::{Column, DataError, Field, Sample, SampleError, Source, Split, View};
use crate::tensor::Stream;

/// Sequences `[CLS] … [SEP]` of tokens, filled up with `[PAD]` to equal extents; columns as BERT reads them.
///
/// `input_ids` `[length]`: 0 is `[PAD]`, 1 `[CLS]`, 2 `[SEP]`, and words begin at 3. `attention_mask` `[length]` is 1 at
/// every token and 0 where it was filled up. `token_type_ids` `[length]` is 1 in a second segment and 0 elsewhere.
/// Sentences differ in length, so a model that does not mind the mask takes the filling for words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SentencesSpec {
    /// Everything random is drawn from (this, split, index).
    pub seed: u64,
    /// What tells the classes apart.
    pub task: SentenceTask,
    /// Different tokens, the three special ones included; every id is below this.
    pub vocabulary: usize,
    /// Tokens of every sequence, the filling included.
    pub length: usize,
    /// Words of the shortest sentence, special tokens and a question not counted. The longest fills `length`.
    pub shortest: usize,
    /// Whether there is a column `token_type_ids`.
    pub token_types: bool,
    /// Sequences to train on.
    pub train: usize,
    /// Sequences for validation.
    pub validation: usize,
    /// Sequences for the test.
    pub test: usize,
}

impl Default for SentencesSpec {
    fn default() -> Self {
        Self {
            seed: 0,
            task: SentenceTask::default(),
            vocabulary: 32,
            length: 24,
            shortest: 8,
            token_types: true,
            train: 4000,
            validation: 1000,
            test: 1000,
        }
    }
}

const IDS: &str = "input_ids";
const MASK: &str = "attention_mask";
const TYPES: &str = "token_type_ids";
/// The longest sequence.
const LONGEST: usize = 1 << 16;
/// The largest vocabulary.
const LARGEST: usize = 1 << 24;

pub(super) fn open(spec: &SentencesSpec, view: &View) -> Result<Box<dyn Source>, DataError> {
    view.check_still()?;
    Ok(Box::new(Sentences::new(spec)?))
}

struct Sentences {
    spec: SentencesSpec,
    /// Words of the longest sentence.
    longest: usize,
    streams: [Stream; 3],
    classes: Vec<String>,
}

impl Sentences {
    fn new(spec: &SentencesSpec) -> Result<Self, DataError> {
        let task = spec.task;
        let needed = task.least_vocabulary();
        if !(needed..=LARGEST).contains(&spec.vocabulary) {
            let rule = format!("{task:?} needs at least {needed} tokens, and at most {LARGEST} are possible");
            return Err(DataError::setting("vocabulary", spec.vocabulary, rule));
        }
        let least = task.least_words();
        if spec.shortest < least {
            let rule = format!("{task:?} needs at least {least} words");
            return Err(DataError::setting("shortest", spec.shortest, rule));
        }
        let others = task.other_tokens();
        if spec.length > LONGEST || spec.length.saturating_sub(others) < spec.shortest {
            let rule = format!("it must hold `shortest` words and {others} more, and be at most {LONGEST}");
            return Err(DataError::setting("length", spec.length, rule));
        }
        if spec.train == 0 {
            return Err(DataError::EmptyTrain {
                why: "`train` is 0; set the number of sequences".to_owned(),
            });
        }
        Ok(Self {
            longest: spec.length - others,
            streams: Split::streams(spec.seed, "data.sentences"),
            classes: task.classes().iter().map(|name| (*name).to_owned()).collect(),
            spec: spec.clone(),
        })
    }

    fn sentence(&self, split: Split, index: usize) -> Sentence {
        let mut draws = self.streams[split.position()].at(index as u64);
        let words = self.spec.shortest + draws.below(self.longest - self.spec.shortest + 1);
        // Taken in turn, so that every class is equally frequent; the length does not depend on it.
        let label = index % self.classes.len();
        Sentence::draw(self.spec.task, label, words, self.spec.vocabulary, &mut draws)
    }
}

impl fmt::Debug for Sentences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentences").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Source for Sentences {
    fn len(&self, split: Split) -> usize {
        [self.spec.train, self.spec.validation, self.spec.test][split.position()]
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn sample_shape(&self) -> Vec<usize> {
        vec![self.spec.length]
    }

    fn columns(&self) -> Vec<Column> {
        let tokens = |name| Column::integers(name, &[self.spec.length]);
        let mut columns = vec![tokens(IDS), tokens(MASK)];
        columns.extend(self.spec.token_types.then(|| tokens(TYPES)));
        columns.push(Column::integers(LABELS, &[]));
        columns
    }

    #[expect(clippy::cast_possible_wrap, reason = "a label below 4")]
    fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        (column == LABELS && index < self.len(split)).then_some((index % self.classes.len()) as i64)
    }

    fn fingerprint(&self, _split: Split, column: &str) -> Option<String> {
        if column == LABELS {
            return Some(format!("one of {} in turn", self.classes.len()));
        }
        // Neither how many sequences there are nor the other columns say anything of one.
        let SentencesSpec { seed, task, vocabulary, length, shortest, .. } = &self.spec;
        Some(format!("sentences {column} {:?}", (seed, task, vocabulary, length, shortest)))
    }

    #[expect(clippy::cast_possible_wrap, reason = "a label below 4")]
    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        SampleError::check_range(split, index, self.len(split))?;
        let Sentence { mut ids, second } = self.sentence(split, index);
        let (tokens, length) = (ids.len(), self.spec.length);
        ids.resize(length, task::PAD);
        let column =
            |is_one: &dyn Fn(usize) -> bool| (0..length).map(|place| i64::from(is_one(place))).collect();
        let mask = column(&|place| place < tokens);
        let types = column(&|place| (second..tokens).contains(&place));
        let mut columns = vec![(IDS, ids), (MASK, mask)];
        columns.extend(self.spec.token_types.then_some((TYPES, types)));
        let fields = columns.into_iter().map(|(name, values)| (name, Field::integers(values, &[length])));
        Ok(Sample::labelled(fields, (index % self.classes.len()) as i64))
    }
}

#[cfg(test)]
mod tests;
