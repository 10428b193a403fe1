//! What a run was tested on, as its events come: by a stage that evaluates, or at its end.

use std::collections::BTreeMap;

use super::event::EventBody;
use crate::data::Split;

/// One test: the evaluating stage's name (none for the one at the run's end) and what it found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Test {
    /// The stage's name.
    pub stage: Option<String>,
    /// Metrics by name.
    pub metrics: BTreeMap<String, f64>,
    /// Loss.
    pub loss: f64,
}

/// The tests behind the last stage that trains, in their order: what was tested before is of another model.
#[derive(Clone, Debug, Default)]
pub(super) struct Tests {
    stage: Option<String>,
    found: Vec<Test>,
}

impl Tests {
    pub(super) fn take(&mut self, body: &EventBody) {
        match body {
            EventBody::Stage { kind, name, .. } => {
                self.stage = (kind == "evaluate").then(|| name.clone());
                if kind == "train" {
                    self.found.clear();
                }
            }
            EventBody::Eval { split, metrics, loss, closing, .. }
                if *closing || split == Split::Test.name() =>
            {
                let stage = if *closing { None } else { self.stage.clone() };
                self.found.push(Test { stage, metrics: metrics.clone(), loss: *loss });
            }
            _ => {}
        }
    }

    /// The one that runs are compared by: that at the run's end, or else the first.
    pub(super) fn main(&self) -> Option<&Test> {
        self.found.iter().find(|test| test.stage.is_none()).or(self.found.first())
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Test] {
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

    fn eval(split: &str, closing: bool, top1: f64) -> String {
        format!(
            r#""event":"eval","stage":0,"epoch":1,"step":2,"split":"{split}","closing":{closing},"loss":1.5,"metrics":{{"top1":{top1}}},"samples":8"#
        )
    }

    #[test]
    fn what_follows_the_last_training_counts_and_the_end_before_the_rest() {
        let (before, train) = (stage("evaluate", "before"), stage("train", "train"));
        let (here, there) = (stage("evaluate", "here"), stage("evaluate", "there"));
        let [early, validation, one, two, end] = [
            eval("test", false, 0.1),
            eval("validation", false, 0.2),
            eval("test", false, 0.3),
            eval("test", false, 0.4),
            eval("test", true, 0.5),
        ];
        let tests = taken(&[&before, &early, &train, &validation, &here, &one, &there, &two]);
        let names: Vec<_> = tests.all().iter().map(|test| test.stage.as_deref()).collect();
        assert_eq!(names, [Some("here"), Some("there")]);
        assert_eq!(tests.main().unwrap().metrics["top1"], 0.3);
        let tests = taken(&[&train, &here, &one, &end]);
        assert_eq!(tests.main().unwrap().metrics["top1"], 0.5);
        assert!(taken(&[&train, &validation]).main().is_none());
    }
}
