//! Several runs as one: more repeats of the same lines, or the same lines on more systems. Pure.

use std::collections::BTreeMap;

use super::figures;
use crate::results::{Line, Machine, Results, SCHEMA, System};
use crate::workload::Workload;

/// Puts runs together. Lines of the same id on the same system become repeats of one another; where a
/// system's version or settings, or a line's parameters differ between the runs, they stay apart under a
/// numbered name, for a mean of two different things would mean nothing. A run given twice counts once.
pub fn merge(runs: Vec<Results>) -> Results {
    let mut distinct: Vec<Results> = Vec::new();
    for run in runs {
        if !distinct.contains(&run) {
            distinct.push(run);
        }
    }
    distinct.sort_by(|a, b| a.started.cmp(&b.started));
    let several = distinct.len() > 1;
    let mut whole = Results {
        schema: SCHEMA,
        suite: joined(distinct.iter().map(|run| run.suite.as_str()), ", "),
        version: joined(distinct.iter().map(|run| run.version.as_str()), ", "),
        command: Vec::new(),
        started: distinct
            .first()
            .map_or(String::new(), |run| run.started.clone()),
        machine: distinct
            .first()
            .map_or(Machine::default(), |run| run.machine.clone()),
        partial: None,
        lines: Vec::new(),
    };
    let mut names = Names::default();
    let mut partial = Vec::new();
    for run in distinct {
        if !whole.command.is_empty() {
            whole.command.push(";".to_owned());
        }
        whole.command.extend(run.command.iter().cloned());
        if let Some(why) = &run.partial {
            partial.push(match several {
                true => format!("the run of {}: {why}", run.started),
                false => why.clone(),
            });
        }
        take(&mut whole, run, &mut names);
    }
    whole.partial = (!partial.is_empty()).then(|| partial.join("; "));
    whole
}

/// Moves a run's lines over.
fn take(whole: &mut Results, run: Results, names: &mut Names) {
    let later = figures::since_1970(&run.started).zip(figures::since_1970(&whole.started));
    let later = later.map_or(0.0, |(run, first)| run - first);
    let elsewhere = (run.machine != whole.machine).then(|| {
        let machine = &run.machine;
        format!(
            "measured on another machine: {}, {}, {} of memory, Linux {}",
            machine.processor,
            figures::of(machine.processors, "processor"),
            figures::bytes(machine.memory_bytes),
            machine.kernel
        )
    });
    // Repeats go on counting where the earlier runs ended.
    let mut taken: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in &whole.lines {
        let next = taken
            .entry((line.id.clone(), line.system.name.clone()))
            .or_default();
        *next = (*next).max(line.repeat + 1);
    }
    let (mut systems, mut ids) = (BTreeMap::new(), BTreeMap::new());
    for mut line in run.lines {
        // What a name stands for is settled by the first line of a run that has it: within a run, a system
        // may have settings that go with the line.
        let system = systems.entry(line.system.name.clone());
        let system = system.or_insert_with(|| names.system(&line.system));
        line.system.name.clone_from(system);
        let id = ids.entry(line.id.clone());
        let id = id.or_insert_with(|| names.line(&line));
        line.id.clone_from(id);
        let key = (line.id.clone(), line.system.name.clone());
        line.repeat += taken.get(&key).copied().unwrap_or(0);
        line.began += later;
        line.notes.extend(elsewhere.clone());
        whole.lines.push(line);
    }
}

/// What each name stood for so far.
#[derive(Default)]
struct Names {
    systems: BTreeMap<String, Vec<System>>,
    workloads: BTreeMap<String, Vec<Workload>>,
}

impl Names {
    fn system(&mut self, system: &System) -> String {
        numbered(&mut self.systems, &system.name, system.clone())
    }

    fn line(&mut self, line: &Line) -> String {
        numbered(&mut self.workloads, &line.id, line.workload.in_common())
    }
}

/// The name of a thing: its own for the first that has it, a numbered one for others.
fn numbered<T: PartialEq>(known: &mut BTreeMap<String, Vec<T>>, name: &str, thing: T) -> String {
    let things = known.entry(name.to_owned()).or_default();
    let at = things.iter().position(|known| *known == thing);
    let at = at.unwrap_or_else(|| {
        things.push(thing);
        things.len() - 1
    });
    match at {
        0 => name.to_owned(),
        at => format!("{name} #{}", at + 1),
    }
}

/// Different texts, each once.
fn joined<'a>(texts: impl Iterator<Item = &'a str>, separator: &str) -> String {
    let mut distinct: Vec<&str> = Vec::new();
    for text in texts {
        if !distinct.contains(&text) {
            distinct.push(text);
        }
    }
    distinct.join(separator)
}
