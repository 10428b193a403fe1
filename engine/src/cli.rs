//! Arguments, and what every command shares: exit status, errors on stderr, JSON on stdout.

mod bench;
mod cache;
mod devices;
mod export;
mod forward;
mod inspect;
mod interrupt;
mod plan;
mod presets;
mod progress;
mod runs;
mod switch;
mod train;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::project::{self, Project};
use clap::{Parser, Subcommand};

/// Puts parameter-efficient adapters on frozen transformers: train, evaluate, compare, without a window.
#[derive(Debug, Parser)]
#[command(name = "graft", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List compute devices that this build can use, and why the others can't.
    Devices {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the graph of a model folder or project: parts, shapes, parameters, sites.
    Inspect(inspect::Inspect),
    /// Say what a project will cost: coverage, parameters, memory, time, the cut.
    Plan(plan::Plan),
    /// List well-known combinations of adapters, or write one out for a project file.
    Presets(presets::Presets),
    /// Run one forward pass in inference mode.
    Forward(forward::Forward),
    /// Train a project, or go on with a run.
    Train(train::Train),
    /// Evaluate a run's best checkpoint.
    Eval(runs::Eval),
    /// Write what a run has trained, read it back and compare.
    Export(export::Export),
    /// Run every variant that a project lists and print one table.
    Sweep(train::Sweep),
    /// Put adapters into a model's weights and take them out again, timed, and compare what they change.
    Switch(switch::Switch),
    /// List runs.
    Runs(runs::Runs),
    /// List what a cache of frozen prefixes holds, or take out what nothing has used for long.
    Cache(cache::Cache),
    /// Hold what the planner says against what is seen.
    Bench(bench::Bench),
}

/// How a command ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// As asked.
    Well,
    /// Stopped by Ctrl-C after saving.
    Interrupted,
}

/// The `graft` command: reads the process's arguments, does what they ask for, and says how it ended. A program
/// that registers architectures of its own calls it as well.
pub fn main() -> ExitCode {
    let level = std::env::var("GRAFT_LOG").unwrap_or_else(|_| "warn".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .init();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let usage = error.use_stderr();
            // Where even usage cannot be printed there is nothing left to say.
            drop(error.print());
            return ExitCode::from(if usage { 2 } else { 0 });
        }
    };
    // A panic is told like any other error, in one paragraph and without a backtrace.
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    crate::tensor::take_part();
    let result = std::panic::catch_unwind(|| run(arguments.command)).unwrap_or_else(|panic| {
        Err(anyhow::anyhow!(
            "an internal error: {}; please report it with the command that led here",
            crate::device::panic_message(&*panic)
        ))
    });
    match result {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::Interrupted) => ExitCode::from(130),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("graft: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<Done> {
    match command {
        Command::Devices { json } => devices::run(json),
        Command::Inspect(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Presets(command) => command.run(),
        Command::Forward(command) => command.run(),
        Command::Train(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Sweep(command) => command.run(),
        Command::Switch(command) => command.run(),
        Command::Runs(command) => command.run(),
        Command::Cache(command) => command.run(),
        Command::Bench(command) => command.run(),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Says on stderr why nothing seems to happen for some seconds.
pub(crate) fn tell_calibration() {
    eprintln!("graft: measuring what each op takes on this device, once for this build (some seconds)");
}

/// Measures what ops take on a project's device unless that is known, so that its run can be held against its plan.
/// `GRAFT_CALIBRATE=off` leaves it: then bytes alone are predicted.
pub(crate) fn prepare_times(project: &Project) {
    if crate::plan::calibration_is_off() || project.check().is_err() {
        return;
    }
    // A device that cannot be used is told of by the run.
    let Ok(device) = crate::device::open_checked(&project.device) else { return };
    if let Err(error) = crate::bench::calibrate(&project.device, &device, &mut tell_calibration, &|| false) {
        eprintln!("graft: {error}");
    }
}

/// Writes one line to stdout; a closed pipe is an error that ends the command quietly.
pub(crate) fn line(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Reads a project, takes one of its variants, applies `--set` and `--device`, and says where relative paths start.
pub(crate) fn open_project(
    path: &Path,
    variant: Option<&str>,
    settings: &[String],
    device: Option<&str>,
) -> anyhow::Result<(Project, PathBuf)> {
    let mut project = project::load(path)?;
    if let Some(name) = variant {
        project = project.variant(name)?;
    }
    for setting in settings {
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            anyhow::anyhow!("`--set {setting}` should be PATH=VALUE, as in stages.0.epochs=2")
        })?;
        project = project::set(&project, name.trim(), value)?;
    }
    if let Some(device) = device {
        device.clone_into(&mut project.device);
    }
    let base = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((project, base.to_path_buf()))
}
