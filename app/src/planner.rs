//! Asks for predictions away from the window's thread and keeps the latest; measures the device once, if need be.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use graft_engine::bench::calibrate;
use graft_engine::device::open_checked;
use graft_engine::plan::{Calibration, CalibrationError, calibration_is_off, kept_calibration};
use graft_engine::project::{Fit, Project};
use graft_engine::tensor::take_part;

use crate::newest::{Newest, guarded};
use crate::outlook::{Case, Outlook};
use crate::sources::Sources;

/// What is known of this device's speed.
#[derive(Clone, Debug, Default)]
pub enum Times {
    /// The file of kept times is being read.
    #[default]
    Reading,
    /// No times are kept, and nothing measures now.
    Absent,
    /// The device is being measured.
    Measuring,
    /// Times are known.
    Known(Arc<Calibration>),
    /// They could not be measured, for this reason.
    Failed(String),
}

/// Where times come from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// From the device: those that are kept, else measured once in the background.
    #[default]
    Device,
    /// These and no others, or none.
    Given(Option<Arc<Calibration>>),
}

/// What is being edited, as far as predictions go.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The document's revision.
    pub revision: u64,
    /// The stage that is looked at.
    pub stage: usize,
    /// The project.
    pub project: Arc<Project>,
    /// The folder that relative paths start from.
    pub base: PathBuf,
    /// Whether no run goes on, so that the device may be measured.
    pub idle: bool,
}

/// Generation of the document, its revision, the stage, and whether times are known.
type Key = (u64, u64, usize, bool);

#[derive(Debug)]
struct PlanQuestion {
    key: Key,
    case: Case,
}

#[derive(Debug)]
struct FitQuestion {
    key: (Key, u64),
    case: Case,
    process: u64,
}

#[derive(Debug)]
struct MeterQuestion {
    device: String,
    /// The number of runs before it: where that grows, the measurement is void.
    runs: u64,
}

/// A device's name and its times; none where they are not kept, or measuring them was interrupted.
type Timed = Told<String, Option<Calibration>>;

type Told<K, T> = (K, Result<T, String>);

/// The window's side of the planner.
#[derive(Debug)]
pub struct Planner {
    plans: Newest<PlanQuestion, Told<Key, Outlook>>,
    fits: Newest<FitQuestion, Told<(Key, u64), Fit>>,
    /// Reads times that are kept.
    reader: Newest<String, Timed>,
    /// Measures, one device after the other.
    meter: Newest<MeterQuestion, Timed>,
    /// Runs that have begun.
    runs: Arc<AtomicU64>,
    /// Whether one goes on.
    running: bool,
    /// Whether the device is asked for its times.
    asks_device: bool,
    device: Option<String>,
    times: Times,
    generation: u64,
    asked: Option<Key>,
    answered: Option<Key>,
    outlook: Option<Arc<Outlook>>,
    error: Option<String>,
    fit_asked: Option<(Key, u64)>,
    fit: Option<Told<(Key, u64), Arc<Fit>>>,
}

impl Planner {
    /// Starts the threads. What the process holds beside a stage is measured unless it is given; `waker` makes what is called after each answer.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start<W: Fn() + Send + 'static>(
        sources: &Sources,
        clock: Clock,
        process_bytes: Option<u64>,
        waker: impl Fn() -> W,
    ) -> std::io::Result<Self> {
        let read = |device: &str| Ok(kept_calibration(device));
        Self::start_with(sources, clock, process_bytes, waker, read, measured)
    }

    fn start_with<W: Fn() + Send + 'static>(
        sources: &Sources,
        clock: Clock,
        process_bytes: Option<u64>,
        waker: impl Fn() -> W,
        read: impl Fn(&str) -> Result<Option<Calibration>, String> + Send + 'static,
        measure: impl Fn(&str, &dyn Fn() -> bool) -> Result<Option<Calibration>, String> + Send + 'static,
    ) -> std::io::Result<Self> {
        let runs = Arc::new(AtomicU64::new(0));
        let begun = Arc::clone(&runs);
        let read = move |device: String| {
            let result = guarded(|| read(&device));
            (device, result)
        };
        let measure = move |MeterQuestion { device, runs }: MeterQuestion| {
            let stopped = || begun.load(Ordering::Relaxed) != runs;
            let result = guarded(|| if stopped() { Ok(None) } else { measure(&device, &stopped) });
            (device, result)
        };
        let (asks_device, times) = match clock {
            Clock::Device => (true, Times::Absent),
            Clock::Given(Some(found)) => (false, Times::Known(found)),
            Clock::Given(None) => (false, Times::Absent),
        };
        let opened = sources.clone();
        // What the process holds is taken once a document, so that totals move by edits alone; and once more when the
        // device has been measured, since that held some as well.
        let given = process_bytes;
        let mut process: ((u64, bool), Option<u64>) = ((0, false), given);
        let plan = move |question: PlanQuestion| {
            let (generation, _, _, measured) = question.key;
            if process.0 != (generation, measured) {
                process = ((generation, measured), given);
            }
            let result = guarded(|| question.case.outlook(&opened, &mut process.1));
            (question.key, result)
        };
        let opened = sources.clone();
        let fit = move |question: FitQuestion| {
            let budget = question.key.1;
            (question.key, guarded(|| question.case.fit(&opened, budget, question.process)))
        };
        Ok(Self {
            plans: Newest::start("graft-plan", plan, waker())?,
            fits: Newest::start("graft-fit", fit, waker())?,
            reader: Newest::start("graft-times", read, waker())?,
            meter: Newest::start("graft-measure", measure, waker())?,
            runs,
            running: false,
            asks_device,
            device: None,
            times,
            generation: 1,
            asked: None,
            answered: None,
            outlook: None,
            error: None,
            fit_asked: None,
            fit: None,
        })
    }

    /// Another document was opened: nothing that is known holds for it.
    pub fn clear(&mut self) {
        self.generation += 1;
        self.asked = None;
        self.answered = None;
        self.outlook = None;
        self.error = None;
        self.fit_asked = None;
        self.fit = None;
    }

    /// Asks the latest question once more.
    pub fn retry(&mut self) {
        self.asked = None;
    }

    /// Asks for what is not asked yet: times of the device, the prediction, and a fit where a budget is set.
    pub fn ask(&mut self, subject: &Subject, budget: Option<u64>) {
        self.ask_times(subject);
        if matches!(self.times, Times::Reading) {
            return;
        }
        let key = (self.generation, subject.revision, subject.stage, self.calibration().is_some());
        if self.asked != Some(key) && self.plans.ask(PlanQuestion { key, case: self.case(subject) }) {
            self.asked = Some(key);
        }
        // A fit makes many plans: it waits for the one that says what the process holds.
        let Some(budget) = budget.filter(|_| self.answered == self.asked) else { return };
        let process = self.outlook().and_then(Outlook::predicted).map_or(0, |found| found.process_bytes);
        let question = FitQuestion { key: (key, budget), case: self.case(subject), process };
        if self.fit_asked != Some((key, budget)) && self.fits.ask(question) {
            self.fit_asked = Some((key, budget));
        }
    }

    /// Says whether a run goes on. One that begins interrupts what is measured, which begins again when it is over.
    pub fn run(&mut self, goes_on: bool) {
        if goes_on && !self.running {
            self.runs.fetch_add(1, Ordering::Relaxed);
        }
        self.running = goes_on;
    }

    fn case(&self, subject: &Subject) -> Case {
        Case {
            project: Arc::clone(&subject.project),
            base: subject.base.clone(),
            stage: subject.stage,
            times: self.calibration().map(Arc::clone),
        }
    }

    fn ask_times(&mut self, subject: &Subject) {
        if !self.asks_device {
            return;
        }
        let name = &subject.project.device;
        if self.device.as_ref() != Some(name) {
            if self.reader.ask(name.clone()) {
                self.device = Some(name.clone());
                self.times = Times::Reading;
            }
        } else if matches!(self.times, Times::Absent)
            && subject.idle
            && !self.running
            && !calibration_is_off()
        {
            // A run would both disturb the measurement and be disturbed by it.
            let runs = self.runs.load(Ordering::Relaxed);
            if self.meter.ask(MeterQuestion { device: name.clone(), runs }) {
                self.times = Times::Measuring;
            }
        }
    }

    /// Takes what is ready; whether anything changed.
    pub fn poll(&mut self) -> bool {
        let mut changed = false;
        while let Some((device, result)) = self.reader.poll() {
            // What is being measured by now was not there.
            if !matches!(self.times, Times::Measuring) {
                changed |= self.timed(&device, result);
            }
        }
        while let Some((device, result)) = self.meter.poll() {
            changed |= self.timed(&device, result);
        }
        while let Some((key, result)) = self.plans.poll() {
            if key.0 != self.generation {
                continue;
            }
            changed = true;
            self.answered = Some(key);
            match result {
                Ok(outlook) => {
                    self.outlook = Some(Arc::new(outlook));
                    self.error = None;
                }
                Err(error) => self.error = Some(error),
            }
        }
        while let Some((key, result)) = self.fits.poll() {
            changed = true;
            self.fit = Some((key, result.map(Arc::new)));
        }
        changed
    }

    /// Takes in what is known of a device; whether that is the one which is asked about.
    fn timed(&mut self, device: &str, result: Result<Option<Calibration>, String>) -> bool {
        let own = self.device.as_deref() == Some(device);
        if own {
            self.times = match result {
                Ok(Some(found)) => Times::Known(Arc::new(found)),
                Ok(None) => Times::Absent,
                Err(error) => Times::Failed(error),
            };
        }
        own
    }

    /// What is known of the device's speed.
    #[must_use]
    pub const fn times(&self) -> &Times {
        &self.times
    }

    /// What ops take on the device, where it is known.
    #[must_use]
    pub const fn calibration(&self) -> Option<&Arc<Calibration>> {
        match &self.times {
            Times::Known(found) => Some(found),
            _ => None,
        }
    }

    /// The latest prediction, perhaps of an edit ago (see [`Self::is_current`]); none where the latest question could
    /// not be answered.
    #[must_use]
    pub fn outlook(&self) -> Option<&Outlook> {
        self.outlook.as_deref().filter(|_| self.error.is_none())
    }

    /// Why nothing is predicted.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref().or_else(|| self.outlook.as_ref()?.plan.why_not.as_deref())
    }

    /// Whether nothing is being worked out, read or measured.
    pub(crate) fn is_idle(&self) -> bool {
        self.plans.is_idle() && self.fits.is_idle() && self.reader.is_idle() && self.meter.is_idle()
    }

    /// Whether the latest prediction is of what was asked last.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.asked.is_some() && self.asked == self.answered
    }

    /// The fit of what was asked last into this budget; none while it is looked for.
    ///
    /// # Errors
    /// When the stage cannot be planned.
    #[must_use]
    pub fn fit(&self, budget: u64) -> Option<Result<&Arc<Fit>, &str>> {
        let (key, result) = self.fit.as_ref()?;
        let current = self.asked.is_some_and(|asked| *key == (asked, budget));
        current.then(|| result.as_ref().map_err(String::as_str))
    }
}

/// The times of a device, measured now unless they are kept; none where that was stopped.
fn measured(name: &str, stopped: &dyn Fn() -> bool) -> Result<Option<Calibration>, String> {
    let device = open_checked(name).map_err(|error| error.to_string())?;
    // As the thread does that trains, for which these times are.
    take_part();
    match calibrate(name, &device, &mut || (), stopped) {
        Ok(found) => Ok(Some(found)),
        Err(CalibrationError::Interrupted) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicUsize;
    use std::time::{Duration, Instant};

    use graft_engine::project;

    use super::*;

    fn subject(device: &str, idle: bool) -> Subject {
        let text = format!(
            "(version: 1, name: \"a\", device: {device:?}, model: Vit(width: 8, blocks: 1, heads: 1, patch: 8), \
             data: Digits(), stages: [Train()])"
        );
        let project = Arc::new(project::parse(&text, Path::new("a.ron")).unwrap());
        Subject { revision: 0, stage: 0, project, base: PathBuf::from("."), idle }
    }

    fn until(planner: &mut Planner, subject: &Subject, what: &str, holds: impl Fn(&Planner) -> bool) {
        let begin = Instant::now();
        while !holds(planner) {
            assert!(begin.elapsed() < Duration::from_secs(10), "{what}: {:?}", planner.times());
            planner.poll();
            planner.run(!subject.idle);
            planner.ask(subject, None);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_run_interrupts_measuring_which_begins_again_when_it_is_over() {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        // The first measurement takes until it is stopped.
        let measure = move |_: &str, stopped: &dyn Fn() -> bool| {
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            while first && !stopped() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok((!stopped()).then(Calibration::default))
        };
        let sources = Sources::default();
        let start = Planner::start_with(&sources, Clock::Device, Some(0), || || (), |_| Ok(None), measure);
        let mut planner = start.unwrap();
        let (idle, busy) = (subject("flex", true), subject("flex", false));
        let begins = |count: usize| {
            let begun = Arc::clone(&begun);
            move |_: &Planner| begun.load(Ordering::SeqCst) >= count
        };
        until(&mut planner, &idle, "it measures", begins(1));
        assert!(matches!(planner.times(), Times::Measuring));
        until(&mut planner, &busy, "it stops", |planner| matches!(planner.times(), Times::Absent));
        for _ in 0..20 {
            planner.poll();
            planner.ask(&busy, None);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1, "nothing is measured under a run");
        until(&mut planner, &idle, "it is known", |planner| matches!(planner.times(), Times::Known(_)));
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_device_that_is_measured_keeps_no_other_one_waiting() {
        let measure = |_: &str, stopped: &dyn Fn() -> bool| {
            while !stopped() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(None)
        };
        let read = |device: &str| Ok((device == "wgpu").then(Calibration::default));
        let sources = Sources::default();
        let start = Planner::start_with(&sources, Clock::Device, Some(0), || || (), read, measure);
        let mut planner = start.unwrap();
        let [first, second] = ["flex", "wgpu"].map(|device| subject(device, true));
        until(&mut planner, &first, "it measures", |planner| matches!(planner.times(), Times::Measuring));
        until(&mut planner, &second, "it is read", |planner| matches!(planner.times(), Times::Known(_)));
        planner.run(true);
    }
}
