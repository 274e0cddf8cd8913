//! What a reader must know beside the figures, each thing once, with the systems and lines it concerns. Pure.

use super::groups::{Cell, Group};

/// A thing to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remark {
    /// Which systems, and on which lines, where those aren't clear from where it stands.
    pub(super) about: String,
    /// What.
    pub(super) text: String,
}

/// Everything to know of a report.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Remarks {
    /// What concerns one line only, line by line in the order of the groups.
    pub(super) of_lines: Vec<Vec<Remark>>,
    /// What concerns several lines.
    pub(super) of_several: Vec<Remark>,
}

/// A text with everything it concerns.
struct Found {
    text: String,
    /// Number of the group, the system's name (with how many of its runs, if not all).
    about: Vec<(usize, String)>,
}

impl Remarks {
    /// Of these lines.
    pub(super) fn of(groups: &[Group<'_>]) -> Self {
        let mut remarks = Self {
            of_lines: vec![Vec::new(); groups.len()],
            of_several: Vec::new(),
        };
        for found in found(groups) {
            let first = found.about[0].0;
            let one_line = found.about.iter().all(|(group, _)| *group == first);
            let Found { text, about } = found;
            if one_line {
                let about = systems(&groups[first..=first], about.iter().map(|(_, name)| name));
                remarks.of_lines[first].push(Remark { about, text });
            } else {
                let about = on_lines(groups, &about);
                remarks.of_several.push(Remark { about, text });
            }
        }
        remarks
    }
}

/// Every text once, in the order they come first.
fn found(groups: &[Group<'_>]) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        for cell in &group.cells {
            let name = &cell.system.name;
            let mut add = |text: String, who: String| {
                let about = (number, who);
                match all.iter_mut().find(|found| found.text == text) {
                    Some(found) => found.about.push(about),
                    None => all.push(Found {
                        text,
                        about: vec![about],
                    }),
                }
            };
            for why in cell.not_measured() {
                add(why, name.clone());
            }
            for (note, times) in notes(cell) {
                let runs = cell.lines.len();
                add(
                    note.to_owned(),
                    match times {
                        all if all >= runs => name.clone(),
                        some => format!("{name}, {some} of {runs} runs"),
                    },
                );
            }
        }
    }
    all
}

/// Notes of a cell's runs, and in how many of them.
fn notes<'a>(cell: &Cell<'a>) -> Vec<(&'a str, usize)> {
    let mut notes: Vec<(&str, usize)> = Vec::new();
    for line in &cell.lines {
        let mut of_line: Vec<&str> = Vec::new();
        for note in &line.notes {
            if of_line.contains(&note.as_str()) {
                continue;
            }
            of_line.push(note);
            match notes.iter_mut().find(|(known, _)| known == note) {
                Some((_, times)) => *times += 1,
                None => notes.push((note, 1)),
            }
        }
    }
    notes
}

/// The systems' names, or that it is all of those that these lines have.
fn systems<'n>(groups: &[Group<'_>], names: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let mut there = groups.iter().flat_map(|group| &group.cells);
    let all = there.all(|cell| names.contains(&cell.system.name.as_str()));
    if all && names.len() > 1 {
        "all systems".to_owned()
    } else {
        names.join(", ")
    }
}

/// Systems with their lines; those with the same lines together.
fn on_lines(groups: &[Group<'_>], about: &[(usize, String)]) -> String {
    let mut by_system: Vec<(&String, Vec<usize>)> = Vec::new();
    for (group, name) in about {
        match by_system.iter_mut().find(|(known, _)| *known == name) {
            Some((_, lines)) => lines.push(*group),
            None => by_system.push((name, vec![*group])),
        }
    }
    let mut by_lines: Vec<(Vec<usize>, Vec<&String>)> = Vec::new();
    for (name, lines) in by_system {
        match by_lines.iter_mut().find(|(known, _)| *known == lines) {
            Some((_, names)) => names.push(name),
            None => by_lines.push((lines, vec![name])),
        }
    }
    let say = |(lines, names): &(Vec<usize>, Vec<&String>)| {
        let who = systems(groups, names.iter().copied());
        if lines.len() == groups.len() {
            format!("{who} on all lines")
        } else {
            let ids: Vec<&str> = lines.iter().map(|line| groups[*line].id).collect();
            format!("{who} on {}", ids.join(", "))
        }
    };
    by_lines.iter().map(say).collect::<Vec<_>>().join("; ")
}
