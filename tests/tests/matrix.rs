//! Every adapter kind at every class of place of every architecture, against the committed table `tests/matrix.ron`.
//! With `GRAFT_MATRIX=write` the table is written anew, to be looked at.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use graft_tests::matrix::{Class, Found, Subject, Subkind, classes, examine, kinds, subjects};
use graft_tests::repository;

/// By kind and class of place: `Runs`, or the reason why the kind may not sit there.
type Table = BTreeMap<String, BTreeMap<String, String>>;

const FILE: &str = "tests/matrix.ron";
const RUNS: &str = "Runs";

struct Cell<'a> {
    subject: &'a Subject,
    subkind: &'a Subkind,
    class: &'a Class,
}

#[test]
fn every_kind_keeps_what_it_owes_wherever_it_may_sit() {
    let (subjects, kinds) = (subjects(), kinds());
    let places: Vec<(&Subject, Vec<Class>)> = subjects
        .iter()
        .map(|subject| (subject, classes(&subject.graph, !subject.before.is_empty())))
        .collect();
    let mut cells = Vec::new();
    for (subject, classes) in &places {
        for class in classes {
            cells.extend(kinds.iter().map(|subkind| Cell { subject, subkind, class }));
        }
    }
    let begin = std::time::Instant::now();
    let found = examined(&cells);
    println!("examined in {:.1} s", begin.elapsed().as_secs_f64());
    let mut table = Table::new();
    let (mut runs, mut illegal, mut tests) = (0, 0, 0);
    let mut worst: BTreeMap<&str, [f32; 2]> = BTreeMap::new();
    for (cell, found) in cells.iter().zip(found) {
        let verdict = match found {
            Found::Illegal(reason) => {
                illegal += 1;
                reason
            }
            Found::Runs { tests: seen, merged } => {
                runs += 1;
                tests += seen;
                if let Some([most, mean]) = merged {
                    let before = worst.entry(&cell.subkind.name).or_default();
                    *before = [before[0].max(most), before[1].max(mean)];
                }
                RUNS.to_owned()
            }
        };
        let row = table.entry(cell.subkind.name.clone()).or_default();
        let before = row.insert(cell.class.name.clone(), verdict.clone());
        assert!(
            before.as_ref().is_none_or(|before| *before == verdict),
            "{} at {}: {verdict} in {}, {before:?} elsewhere",
            cell.subkind.name,
            cell.class.name,
            cell.subject.name
        );
    }
    for (kind, [most, mean]) in worst {
        println!("merged {kind}: off by {most:.1e} at most, {mean:.1e} in the mean of the worst cell");
    }
    println!("{runs} cells run with {tests} tests, {illegal} illegal, {} in all", runs + illegal);
    compare(&table);
}

/// All cells on as many threads as there are. All that fail are told, not only the first.
fn examined(cells: &[Cell<'_>]) -> Vec<Found> {
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Option<Found>>> = Mutex::new(vec![None; cells.len()]);
    let failed: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cell) = cells.get(at) else { break };
                    let one =
                        catch_unwind(AssertUnwindSafe(|| examine(cell.subject, cell.subkind, cell.class)));
                    match one {
                        Ok(one) => held(&found)[at] = Some(one),
                        Err(cause) => held(&failed).push(message(cause.as_ref())),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "{} cells failed:\n{}", failed.len(), failed.join("\n"));
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.into_iter().map(|one| one.unwrap_or_else(|| panic!("a cell was not examined"))).collect()
}

fn held<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a panic said.
fn message(cause: &(dyn std::any::Any + Send)) -> String {
    let owned = cause.downcast_ref::<String>().cloned();
    owned.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn compare(table: &Table) {
    let path = repository(FILE);
    if std::env::var("GRAFT_MATRIX").is_ok_and(|value| value == "write") {
        let pretty = ron::ser::PrettyConfig::default();
        let text = ron::ser::to_string_pretty(table, pretty).unwrap_or_else(|error| panic!("{error}"));
        let head = "// What each kind may sit on: `Runs`, or the reason from `adapters::Illegal` why not.\n";
        std::fs::write(&path, format!("{head}{text}\n")).unwrap_or_else(|error| panic!("{error}"));
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {}", path.display()));
    let committed: Table = ron::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    for (kind, row) in &committed {
        for (place, verdict) in row {
            let found = table.get(kind).and_then(|row| row.get(place));
            assert_eq!(
                found,
                Some(verdict),
                "{kind} at {place}: the table says {verdict}, the run found {found:?}"
            );
        }
    }
    for (kind, row) in table {
        for (place, verdict) in row {
            let told = committed.get(kind).is_some_and(|row| row.contains_key(place));
            assert!(told, "{kind} at {place} is {verdict}, which the table does not say");
        }
    }
}
