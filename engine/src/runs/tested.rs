//! What a run was tested on, as its events come: by a stage that evaluates, or at its end.

use std::collections::BTreeMap;

use super::event::EventBody;
use crate::data::Split;

/// One test: the evaluating stage's name (none for the one at the run's end) and what it found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Test {
    /// The stage's name.
    pub stage: Option<String>,
    /// Its index.
    pub index: usize,
    /// Metrics by name.
    pub metrics: BTreeMap<String, f64>,
    /// Loss.
    pub loss: f64,
}

/// The tests behind the last stage that trains, in their order: what was tested before is of another model.
#[derive(Clone, Debug, Default)]
pub struct Tests {
    stage: Option<String>,
    found: Vec<Test>,
}

impl Tests {
    /// Takes an event in.
    pub fn take(&mut self, body: &EventBody) {
        match body {
            EventBody::Stage { kind, name, .. } => {
                self.stage = (kind == "evaluate").then(|| name.clone());
                if kind == "train" {
                    self.found.clear();
                }
            }
            EventBody::Eval { stage: index, split, metrics, loss, closing, .. }
                if *closing || split == Split::Test.name() =>
            {
                let stage = if *closing { None } else { self.stage.clone() };
                let test = Test { stage, index: *index, metrics: metrics.clone(), loss: *loss };
                // A run that was resumed may test once more.
                let same = |other: &Test| (other.index, &other.stage) == (test.index, &test.stage);
                self.found.retain(|other| !same(other));
                self.found.push(test);
            }
            _ => {}
        }
    }

    /// The one that runs are compared by: that at the run's end, or else the first.
    #[must_use]
    pub fn main(&self) -> Option<&Test> {
        self.found.iter().find(|test| test.stage.is_none()).or(self.found.first())
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Test] {
        &self.found
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::Tests;

    fn taken(lines: &[&str]) -> Tests {
        let mut tests = Tests::default();
        for line in lines {
            let text = format!(r#"{{"run":"r","time":1.0,{line}}}"#);
            tests.take(&serde_json::from_str::<Event>(&text).unwrap().body);
        }
        tests
    }

    fn stage(kind: &str, name: &str) -> String {
        format!(
            r#""event":"stage","stage":0,"name":"{name}","kind":"{kind}","trainable":4,"loaded":{{"copied":0,"resized":0,"new":3}},"epochs":1,"steps":2"#
        )
    }

    fn eval(stage: usize, split: &str, closing: bool, top1: f64) -> String {
        format!(
            r#""event":"eval","stage":{stage},"epoch":1,"step":2,"split":"{split}","closing":{closing},"loss":1.5,"metrics":{{"top1":{top1}}},"samples":8"#
        )
    }

    #[test]
    fn what_follows_the_last_training_counts_and_the_end_before_the_rest() {
        let (before, train) = (stage("evaluate", "before"), stage("train", "train"));
        let (here, there) = (stage("evaluate", "here"), stage("evaluate", "there"));
        let [early, validation, one, two, end] = [
            eval(0, "test", false, 0.1),
            eval(1, "validation", false, 0.2),
            eval(2, "test", false, 0.3),
            eval(3, "test", false, 0.4),
            eval(1, "test", true, 0.5),
        ];
        let tests = taken(&[&before, &early, &train, &validation, &here, &one, &there, &two]);
        let names: Vec<_> = tests.all().iter().map(|test| test.stage.as_deref()).collect();
        assert_eq!(names, [Some("here"), Some("there")]);
        assert_eq!(tests.main().unwrap().metrics["top1"], 0.3);
        let tests = taken(&[&train, &here, &one, &end]);
        assert_eq!(tests.main().unwrap().metrics["top1"], 0.5);
        assert!(taken(&[&train, &validation]).main().is_none());
        assert_eq!(taken(&[&train, &here, &one, &here, &one]).all().len(), 1, "resumed");
    }
}
