//! Results as files, a page and a comparison, as users of the library see them. The pages are left in the
//! build's directory for temporary files, to be looked at.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod report_sample;

use std::fs;
use std::path::{Path, PathBuf};

use loadgen::report::{self, ReportError, Verdict};
use loadgen::results::{Latency, Line, Measured, Outcome, Results, Second};
use report_sample::{Plan, empty, line, many, measured, three_systems};

fn written(name: &str, results: &Results) -> (PathBuf, String) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("report")
        .join(name);
    report::write(&dir, results).unwrap();
    let page = fs::read_to_string(dir.join("index.html")).unwrap();
    (dir, page)
}

#[test]
fn what_is_written_is_read_again() {
    let results = three_systems();
    let (dir, _) = written("three", &results);
    assert_eq!(report::load(&dir).unwrap(), results);
    assert_eq!(report::load(&dir.join("results.json")).unwrap(), results);
    let unfinished = fs::read_dir(&dir).unwrap().filter_map(Result::ok);
    let mut names = unfinished.map(|entry| entry.file_name().into_string().unwrap());
    assert!(!names.any(|name| name.ends_with(".tmp")));
}

#[test]
fn a_page_has_everything_and_needs_nothing() {
    let (_, page) = written("three", &three_systems());
    for text in [
        "Ottla",
        "Kafka",
        "RabbitMQ quorum",
        "821,557",
        "This run is partial",
        "needs three brokers, and there is one",
        "&lt;precondition failed&gt; &amp; closed",
        "1,204 duplicated",
        "loadgen suite kreps-2014 --scale 0.01 --out &#39;a b&#39;",
        "99.99",
        "queue.type",
    ] {
        assert!(page.contains(text), "{text}");
    }
    for outside in [
        "http:", "https:", "src=", "url(", "@import", "<script", "<link",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn pages_of_any_size_are_drawn_and_stay_small() {
    let (_, one) = written("one", &many(1, 60));
    assert!(one.contains("<svg"));
    let (_, five) = written("five", &many(5, 5_000));
    assert!(five.len() < 600_000, "{}", five.len());
    let (_, point) = written("point", &many(2, 1));
    assert!(point.contains("<svg"));
    let (_, none) = written("none", &empty());
    assert!(none.contains("nothing was run"));
    let mut dozens = empty();
    for suite in 0..30 {
        for mut line in many(5, 300).lines {
            line.id = format!("line-{suite}");
            dozens.lines.push(line);
        }
    }
    let (_, dozens) = written("dozens", &dozens);
    assert!(dozens.len() < 4_000_000, "{}", dozens.len());
}

#[test]
fn histograms_are_files_that_their_tools_read() {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    let results = three_systems();
    let (dir, _) = written("hdr", &results);
    let dir = dir.join("histograms");
    let distribution = fs::read_to_string(dir.join("end-to-end.Ottla.1.end-to-end.hgrm")).unwrap();
    assert!(distribution.contains("#[Max     ="));
    let log = fs::read(dir.join("end-to-end.RabbitMQ-quorum.3.hlog")).unwrap();
    let intervals: Vec<_> = IntervalLogIterator::new(&log)
        .map(Result::unwrap)
        .filter_map(|entry| match entry {
            LogEntry::Interval(interval) => Some(interval),
            _ => None,
        })
        .collect();
    assert_eq!(intervals.len(), 2);
    assert_eq!(intervals[1].tag().unwrap().as_str(), "end-to-end");
    assert_eq!(intervals[1].duration().as_secs(), 12);
    let latency = Latency {
        histogram: intervals[1].encoded_histogram().to_owned(),
        ..Latency::default()
    };
    assert_eq!(latency.decode().unwrap().len(), 40_000);
}

/// Stored when schema 1 was first written; whatever comes later has to read it.
#[test]
fn the_first_schema_can_still_be_read() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/results-1");
    let results = report::load(&dir).unwrap();
    assert_eq!(results.lines.len(), 4);
    let Outcome::Measured(measured) = &results.lines[0].outcome else {
        panic!("{:?}", results.lines[0].outcome);
    };
    let latency = measured.ack_latency.as_ref().unwrap();
    let histogram = latency.decode().unwrap();
    assert_eq!(
        histogram.value_at_percentile(99.0),
        latency.percentiles["99"]
    );
    assert!(report::terminal::summary(&results).contains("skipped: "));
}

#[test]
fn what_is_no_result_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("results.json");
    assert!(matches!(
        report::load(dir.path()),
        Err(ReportError::Read { .. })
    ));
    fs::write(&file, "{\"schema\": 7, \"future\": true}").unwrap();
    let error = report::load(dir.path()).unwrap_err();
    assert!(error.to_string().contains("schema 7"), "{error}");
    let whole = serde_json::to_string(&many(1, 5)).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(
        report::load(dir.path()),
        Err(ReportError::Parse { .. })
    ));
    fs::write(
        &file,
        whole.replacen("\"histogram\":\"H", "\"histogram\":\"I", 1),
    )
    .unwrap();
    assert!(matches!(
        report::load(dir.path()),
        Err(ReportError::Histogram { .. })
    ));
}

#[test]
fn what_must_be_known_is_said_once_with_all_it_concerns() {
    let note = "run with 1 replica instead of 3";
    let own = "only this one";
    let mut results = empty();
    for (id, system, repeat) in [
        ("a", "Ottla", 0),
        ("a", "Kafka", 0),
        ("b", "Ottla", 0),
        ("b", "Kafka", 0),
        ("b", "Kafka", 1),
    ] {
        let mut line = many(1, 3).lines.remove(0);
        (line.id, line.title) = (id.to_owned(), id.to_uppercase());
        line.system.name = system.to_owned();
        line.repeat = repeat;
        line.notes = vec![note.to_owned()];
        if (id, system, repeat) == ("b", "Kafka", 1) {
            line.notes.push(own.to_owned());
        }
        results.lines.push(line);
    }
    let (_, page) = written("remarks", &results);
    let summary = report::terminal::summary(&results);
    for text in [&page, &summary] {
        assert_eq!(text.matches(note).count(), 1, "{text}");
        assert_eq!(text.matches(own).count(), 1, "{text}");
        assert!(
            text.contains(&format!("all systems on all lines: {note}")),
            "{text}"
        );
        assert!(
            text.contains(&format!("Kafka, 1 of 2 runs: {own}")),
            "{text}"
        );
    }
}

/// A line on which each system has a rate of its own, as runs of one system each.
fn own_rates() -> Vec<Results> {
    let rates = [("Ottla", 900.0, true), ("Kafka", 300.0, false)];
    let run = |(name, rate, held): (&str, f64, bool)| {
        let mut results = runs(&[rate], "2026-03-01T12:00:00Z");
        let line = &mut results.lines[0];
        line.system.name = name.to_owned();
        line.workload.rates = rates.map(|(name, rate, _)| (name.to_owned(), rate)).into();
        line.workload.rate = Some(rate);
        if let Outcome::Measured(measured) = &mut line.outcome {
            measured.rate_held = Some(held);
        }
        results
    };
    rates.map(run).into()
}

#[test]
fn systems_at_rates_of_their_own_stand_side_by_side() {
    let whole = report::merge(own_rates());
    let (_, page) = written("own-rates", &whole);
    let summary = report::terminal::summary(&whole);
    assert!(whole.lines.iter().all(|line| line.id == "a"), "{summary}");
    assert!(
        summary.contains("asked for, records/s: Ottla 900, Kafka 300"),
        "{summary}"
    );
    assert!(summary.contains("NOT HELD\n"), "{summary}");
    assert!(summary.contains("Kafka: RATE NOT HELD"), "{summary}");
    assert!(!summary.contains("Ottla: RATE"), "{summary}");
    assert!(page.contains("Kafka on a: rate not held"), "{page}");
    assert!(page.contains("<br>rate not held</span>"));
    assert!(page.contains("asked for 900 records/s"));
    for percentile in ["p50", "p90", "p99", "p99.9", "p99.99"] {
        assert!(
            page.contains(&format!("<th>{percentile}</th>")),
            "{percentile}"
        );
        assert!(summary.contains(&format!(" {percentile} ")), "{percentile}");
    }

    let other = report::merge(
        own_rates()
            .into_iter()
            .map(|mut run| {
                run.lines[0]
                    .workload
                    .rates
                    .insert("Kafka".to_owned(), 400.0);
                run
            })
            .collect(),
    );
    let text = report::compare(&whole, &other).to_string();
    assert!(text.contains("a, rates: A"), "{text}");
    assert!(!text.contains("a, rate:"), "{text}");
}

#[test]
fn fields_of_later_versions_are_passed_over() {
    let mut json = serde_json::to_value(three_systems()).unwrap();
    json["lines"][0]["workload"]["of_later"] = true.into();
    json["lines"][0]["outcome"]["of_later"] = true.into();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report/later");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("results.json"), json.to_string()).unwrap();
    assert_eq!(report::load(&dir).unwrap(), three_systems());
}

#[test]
fn a_summary_fits_a_terminal() {
    let text = report::terminal::summary(&three_systems());
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(text.contains("PARTIAL"));
    assert!(text.contains("orig. Kafka 0.8.1"));
    assert!(text.contains("1,204 duplicated"));
    assert!(text.contains("12 RECORDS NOT ACKNOWLEDGED: publisher confirm timed out"));
}

#[test]
fn what_was_measured_until_a_line_broke_off_is_shown_as_that() {
    let mut results = many(1, 10);
    let Outcome::Measured(until) = results.lines[0].outcome.clone() else {
        panic!();
    };
    results.lines[0].outcome = Outcome::Failed {
        why: "the system was lost".to_owned(),
        until: Some(until),
    };
    let summary = report::terminal::summary(&results);
    assert!(summary.contains(" PARTIAL\n"), "{summary}");
    assert!(
        summary.contains("failed after 10 s: the system was lost"),
        "{summary}"
    );
    let (_, page) = written("until", &results);
    assert!(page.contains("<span class=\"wrong\">partial</span>"));
}

#[test]
fn the_rate_of_runs_together_is_between_those_of_each() {
    let mut results = runs(&[1000.0, 1000.0], "2026-03-01T12:00:00Z");
    for line in &mut results.lines {
        if let Outcome::Measured(measured) = &mut line.outcome {
            // Consumers went on for a little.
            measured.seconds *= 1.1;
        }
    }
    let summary = report::terminal::summary(&results);
    assert!(summary.contains(" 1,000 "), "{summary}");
}

fn runs(rates: &[f64], started: &str) -> Results {
    let mut results = empty();
    started.clone_into(&mut results.started);
    for (repeat, rate) in rates.iter().enumerate() {
        let plan = Plan {
            rate: 1.0,
            micros: 1_000.0,
            seconds: 10,
            consumers: false,
            cpu: None,
            seed: 5 + repeat as u64,
        };
        let mut found = measured(&plan);
        found.produced = report_sample::flow((rate * 10.0) as u64, 10);
        let outcome = Outcome::Measured(Box::new(found));
        results
            .lines
            .push(line("a", "A line", "Ottla", repeat, outcome));
    }
    results
}

fn rate_verdict(a: &Results, b: &Results) -> Verdict {
    let comparison = report::compare(a, b);
    let figures = &comparison.lines[0].figures;
    figures
        .iter()
        .find(|figure| figure.what == "records/s")
        .unwrap()
        .verdict
}

#[test]
fn comparisons_know_the_noise() {
    let a = runs(&[1000.0, 1010.0, 990.0, 1005.0], "2026-03-01T12:00:00Z");
    let faster = runs(&[1100.0, 1112.0, 1095.0, 1104.0], "2026-03-02T12:00:00Z");
    let alike = runs(&[1004.0, 993.0, 1011.0, 1002.0], "2026-03-03T12:00:00Z");
    let few = runs(&[1500.0, 1510.0], "2026-03-04T12:00:00Z");
    assert_eq!(rate_verdict(&a, &faster), Verdict::Differs);
    assert_eq!(rate_verdict(&a, &alike), Verdict::Noise);
    assert_eq!(rate_verdict(&a, &few), Verdict::CannotTell);
    let text = report::compare(&a, &faster).to_string();
    assert!(text.contains("B IS BETTER"), "{text}");
    assert!(!text.contains("conditions"), "{text}");
    let text = report::compare(&a, &few).to_string();
    assert!(text.contains("can't tell"), "{text}");
}

#[test]
fn comparisons_say_what_else_differs() {
    let a = runs(&[1000.0, 1010.0, 990.0], "2026-03-01T12:00:00Z");
    let mut b = a.clone();
    b.machine.processors = 2;
    for line in &mut b.lines {
        line.system
            .settings
            .insert("acks".to_owned(), "all".to_owned());
        line.workload.record_bytes = 1000;
    }
    b.lines.push(line(
        "b",
        "Another",
        "Kafka",
        0,
        Outcome::Skipped {
            why: "no".to_owned(),
        },
    ));
    let text = report::compare(&a, &b).to_string();
    for part in [
        "processors: A 16, B 2",
        "Ottla, acks: A leader, B all",
        "record_bytes: A 100, B 1000",
        "only in B",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn merged_runs_are_repeats() {
    let a = runs(&[1000.0, 1010.0], "2026-03-01T12:00:00Z");
    let b = runs(&[990.0], "2026-03-01T13:00:00Z");
    let whole = report::merge(vec![b.clone(), a.clone(), b]);
    let repeats: Vec<usize> = whole.lines.iter().map(|line| line.repeat).collect();
    assert_eq!(repeats, [0, 1, 2]);
    assert!((whole.lines[2].began - 3600.0).abs() < 1e-6);
    assert_eq!(whole.started, a.started);
    assert_eq!(whole.command.iter().filter(|word| *word == ";").count(), 1);
    // 1000, 1010 and 990 over ten seconds each.
    let summary = report::terminal::summary(&whole);
    assert!(summary.contains("1,000 "), "{summary}");
}

#[test]
fn merged_runs_of_other_things_stay_apart() {
    let a = runs(&[1000.0], "2026-03-01T12:00:00Z");
    let mut b = runs(&[2000.0], "2026-03-01T13:00:00Z");
    b.lines[0].system.version = "5.0".to_owned();
    b.lines[0].workload.record_bytes = 10;
    b.machine.processors = 1;
    b.partial = Some("the disk was full".to_owned());
    let whole = report::merge(vec![a, b]);
    assert_eq!(whole.lines[1].system.name, "Ottla #2");
    assert_eq!(whole.lines[1].id, "a #2");
    assert!(whole.lines[1].notes[0].contains("1 processor,"));
    assert!(
        whole
            .partial
            .unwrap()
            .contains("2026-03-01T13:00:00Z: the disk was full")
    );
    assert!(report::merge(Vec::new()).lines.is_empty());
}

#[test]
fn percentiles_of_repeats_are_of_merged_histograms() {
    let mut results = empty();
    for (repeat, micros) in [1_000_u64, 9_000].into_iter().enumerate() {
        let mut histogram = hdrhistogram::Histogram::<u64>::new(3).unwrap();
        // The slow run has few records: a mean of percentiles would weigh it as much as the other.
        histogram
            .record_n(micros, if repeat == 0 { 990 } else { 10 })
            .unwrap();
        let found = Measured {
            seconds: 1.0,
            produced: report_sample::flow(1000, 1),
            ack_latency: Some(Latency::of(&histogram).unwrap()),
            series: vec![Second::default()],
            ..Measured::default()
        };
        let outcome = Outcome::Measured(Box::new(found));
        results
            .lines
            .push(line("a", "A line", "Ottla", repeat, outcome));
    }
    let text = report::terminal::summary(&results);
    let row = text
        .lines()
        .find(|line| line.starts_with("  Ottla"))
        .unwrap();
    let columns: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        columns[3..8],
        ["1.00", "1.00", "1.00", "9.01", "9.01"],
        "{row}"
    );
}

#[test]
fn a_run_can_be_shown_as_it_goes_on() {
    let mut live = report::terminal::Live::new(2);
    let results: Vec<Line> = many(2, 5).lines;
    for line in &results {
        live.tick("fixed-rate on Ottla", &Second::default());
        live.done(line);
    }
}
