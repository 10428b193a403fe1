use std::collections::BTreeMap;
use std::path::Path;

use super::task::{CLS, PAD, SEP, WORDS, is_balanced};
use super::*;
use crate::data::{Batch, DataSpec};

const TASKS: [SentenceTask; 4] =
    [SentenceTask::Order, SentenceTask::AskedOrder, SentenceTask::Brackets, SentenceTask::Majority];

fn spec(task: SentenceTask) -> SentencesSpec {
    SentencesSpec { task, vocabulary: 12, length: 20, shortest: 5, train: 240, ..Default::default() }
}

fn open(spec: SentencesSpec) -> Result<Box<dyn Source>, DataError> {
    DataSpec::Sentences(spec).open(Path::new(""), &View::default())
}

fn column(sample: &Sample, name: &str) -> Vec<i64> {
    sample.columns[name].as_integers().unwrap().to_vec()
}

/// Question and sentence, without special tokens.
fn segments(ids: &[i64]) -> (Vec<i64>, Vec<i64>) {
    let parts: Vec<Vec<i64>> =
        ids.split(|id| *id < WORDS).filter(|part| !part.is_empty()).map(<[i64]>::to_vec).collect();
    match &parts[..] {
        [body] => (Vec::new(), body.clone()),
        [question, body] => (question.clone(), body.clone()),
        _ => panic!("{ids:?}"),
    }
}

/// The class, found out from the words.
fn solve(task: SentenceTask, ids: &[i64]) -> i64 {
    let (question, body) = segments(ids);
    let place = |word: i64| {
        assert_eq!(body.iter().filter(|id| **id == word).count(), 1, "{word} in {ids:?}");
        body.iter().position(|id| *id == word).unwrap()
    };
    match task {
        SentenceTask::Order => i64::from(place(WORDS) < place(WORDS + 1)),
        SentenceTask::AskedOrder => i64::from(place(question[0]) < place(question[1])),
        SentenceTask::Brackets => i64::from(is_balanced(&body)),
        SentenceTask::Majority => {
            let mut counts: Vec<(usize, i64)> =
                (0..4).map(|k| (body.iter().filter(|id| **id == WORDS + k).count(), k)).collect();
            counts.sort_unstable();
            assert!(counts[3].0 > counts[2].0, "a tie in {ids:?}");
            counts[3].1
        }
    }
}

#[test]
fn labels_are_what_the_words_say() {
    for task in TASKS {
        let source = open(spec(task)).unwrap();
        let mut counts = BTreeMap::new();
        for index in 0..source.len(Split::Train) {
            let sample = source.sample(Split::Train, index).unwrap();
            let label = sample.label().unwrap();
            assert_eq!(solve(task, &column(&sample, "input_ids")), label, "{task:?} {index}");
            assert_eq!(source.key(Split::Train, index, "labels"), Some(label));
            *counts.entry(label).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), source.classes().len());
        assert!(counts.values().all(|count| *count == 240 / counts.len()), "{task:?} {counts:?}");
    }
}

#[test]
fn sequences_are_laid_out_as_bert_reads_them() {
    for task in TASKS {
        let source = open(spec(task)).unwrap();
        assert_eq!(source.sample_shape(), [20]);
        let mut lengths = Vec::new();
        for index in 0..60 {
            let sample = source.sample(Split::Train, index).unwrap();
            let [ids, mask, types] =
                ["input_ids", "attention_mask", "token_type_ids"].map(|name| column(&sample, name));
            assert!(ids.iter().all(|id| (0..12).contains(id)));
            let tokens = mask.iter().filter(|mask| **mask == 1).count();
            lengths.push(tokens);
            let is_first = |place| i64::from(place < tokens);
            assert_eq!(mask, (0..20).map(is_first).collect::<Vec<_>>());
            assert_eq!((ids[0], ids[tokens - 1]), (CLS, SEP));
            assert!(ids[..tokens].iter().all(|id| *id != PAD) && ids[tokens..].iter().all(|id| *id == PAD));
            let second = types.iter().position(|kind| *kind == 1).unwrap_or(tokens);
            assert_eq!(types, (0..20).map(|k| i64::from((second..tokens).contains(&k))).collect::<Vec<_>>());
            assert_eq!(second, if task == SentenceTask::AskedOrder { 4 } else { tokens });
        }
        assert!(lengths.iter().max().unwrap() > &(lengths.iter().min().unwrap() + 8), "{task:?} {lengths:?}");
        let batch = Batch::read(&*source, Split::Test, &[3, 0]).unwrap();
        assert_eq!(batch.columns["attention_mask"].shape, [2, 20]);
    }
    let source = open(SentencesSpec { token_types: false, ..spec(SentenceTask::Order) }).unwrap();
    let sample = source.sample(Split::Train, 0).unwrap();
    assert_eq!(sample.columns.keys().collect::<Vec<_>>(), ["attention_mask", "input_ids", "labels"]);
    assert!(Batch::read(&*source, Split::Train, &[0, 1]).is_ok());
}

/// Without their order, words and lengths are the same in both classes: to the sentence, as the label alone decides who
/// comes first.
#[test]
fn words_without_order_say_nothing() {
    for task in [SentenceTask::Order, SentenceTask::AskedOrder, SentenceTask::Brackets] {
        let stream = Stream::new(5, "test");
        let mut orders = 0;
        for position in 0..100 {
            let [mut no, mut yes] = [0, 1].map(|label| {
                let words = 5 + position as usize % 12;
                Sentence::draw(task, label, words, 12, &mut stream.at(position)).ids
            });
            orders += usize::from(no != yes);
            no.sort_unstable();
            yes.sort_unstable();
            assert_eq!(no, yes);
        }
        assert_eq!(orders, 100, "{task:?}");
    }
}

#[test]
fn samples_are_functions_of_spec_split_and_index() {
    for task in TASKS {
        let sample = |spec: SentencesSpec, split, index| open(spec).unwrap().sample(split, index).unwrap();
        let first = sample(spec(task), Split::Train, 4);
        assert_eq!(first, sample(SentencesSpec { train: 5, test: 0, ..spec(task) }, Split::Train, 4));
        assert_ne!(first, sample(spec(task), Split::Train, 8));
        assert_ne!(first, sample(spec(task), Split::Test, 4));
        assert_ne!(first, sample(SentencesSpec { seed: 1, ..spec(task) }, Split::Train, 4));
        assert!(open(spec(task)).unwrap().sample(Split::Train, 240).is_err());
    }
}

/// The smallest settings that are allowed draw sentences, and one less is refused.
#[test]
fn settings_that_cannot_work_are_refused() {
    for task in TASKS {
        let (words, vocabulary) = (task.least_words(), task.least_vocabulary());
        let length = words + task.other_tokens();
        let least = SentencesSpec { vocabulary, length, shortest: words, ..spec(task) };
        let source = open(least.clone()).unwrap();
        for index in 0..40 {
            let sample = source.sample(Split::Train, index).unwrap();
            let ids = column(&sample, "input_ids");
            assert_eq!(solve(task, &ids), sample.label().unwrap(), "{ids:?}");
            assert!(ids.iter().all(|id| (0..vocabulary as i64).contains(id)));
        }
        for (spec, field) in [
            (SentencesSpec { vocabulary: vocabulary - 1, ..least.clone() }, "`vocabulary` is"),
            (SentencesSpec { shortest: words - 1, ..least.clone() }, "`shortest` is"),
            (SentencesSpec { length: length - 1, ..least.clone() }, "`length` is"),
            (SentencesSpec { length: 0, ..least.clone() }, "`length` is 0"),
            (SentencesSpec { train: 0, ..least }, "train split is empty"),
        ] {
            let message = open(spec).unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
    }
}

#[test]
fn what_is_cached_is_keyed_by_what_it_depends_on() {
    let print = |spec: SentencesSpec, column| open(spec).unwrap().fingerprint(Split::Train, column).unwrap();
    let own = || spec(SentenceTask::Order);
    assert_ne!(print(own(), "input_ids"), print(own(), "attention_mask"));
    for other in [
        SentencesSpec { seed: 9, ..own() },
        SentencesSpec { length: 21, ..own() },
        SentencesSpec { vocabulary: 13, ..own() },
        SentencesSpec { shortest: 6, ..own() },
        spec(SentenceTask::AskedOrder),
    ] {
        assert_ne!(print(own(), "input_ids"), print(other, "input_ids"));
    }
    let alike = SentencesSpec { train: 3, token_types: false, ..own() };
    assert_eq!(print(own(), "input_ids"), print(alike, "input_ids"));
}
