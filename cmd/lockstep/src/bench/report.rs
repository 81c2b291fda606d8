//! What a scenario found: a table for people, one JSON object for programs.

use super::process::RAISED;
use super::target::{NSQ_RAISED, Target};
use super::track::Faults;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Instant;

/// The result of one scenario.
#[derive(Debug)]
pub(super) struct Report {
    scenario: &'static str,
    target: Target,
    options: Value,
    faults: Faults,
    fields: Vec<(&'static str, Value)>,
}

impl Report {
    /// The result of a run with these options.
    pub(super) fn new(
        scenario: &'static str,
        target: Target,
        options: &impl Serialize,
        faults: Faults,
    ) -> Result<Self> {
        let options = serde_json::to_value(options).context("the options are not JSON")?;
        Ok(Self { scenario, target, options, faults, fields: Vec::new() })
    }

    /// Adds a measured number, rounded to what it is worth.
    pub(super) fn number(&mut self, name: &'static str, value: f64) {
        self.fields.push((name, json!(rounded(value))));
    }

    /// Adds anything else.
    pub(super) fn value(&mut self, name: &'static str, value: Value) {
        self.fields.push((name, value));
    }

    /// Shows the table and, if asked for, prints the object.
    ///
    /// # Errors
    ///
    /// If something was lost, duplicated or reordered: the figures of such a run count for nothing.
    pub(super) fn show(&self, json: bool) -> Result<()> {
        eprintln!("\n{} against the server ({}), {}", self.scenario, self.target.name(), told(&self.options));
        let Faults { lost, duplicated, reordered } = self.faults;
        let faults = [("lost", json!(lost)), ("duplicated", json!(duplicated)), ("reordered", json!(reordered))];
        for (name, value) in faults.iter().chain(&self.fields) {
            eprintln!("  {name:<32} {}", told(value));
        }
        if json {
            let mut object = Map::new();
            object.insert("scenario".to_owned(), json!(self.scenario));
            object.insert("target".to_owned(), json!(self.target.name()));
            object.insert("options".to_owned(), self.options.clone());
            let raised = settings(self.target).map(|(key, value)| ((*key).to_owned(), json!(value)));
            object.insert("settings".to_owned(), Value::Object(raised.collect()));
            let fields = faults.iter().chain(&self.fields).map(|(name, value)| ((*name).to_owned(), value.clone()));
            object.extend(fields);
            println!("{}", Value::Object(object));
        }
        ensure!(
            self.faults == Faults::default(),
            "{lost} entries were lost, {duplicated} duplicated, {reordered} reordered"
        );
        Ok(())
    }
}

/// The settings that the server gets beside its defaults.
fn settings(target: Target) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let of_nsq = if target == Target::Nsq { NSQ_RAISED } else { &[] };
    RAISED.iter().chain(of_nsq)
}

/// Four significant digits, and no fraction of what is larger than a thousand.
pub(super) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 6);
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

fn told(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name} {}", told(value)));
            fields.collect::<Vec<_>>().join(", ")
        }
        Value::Number(number) => match number.as_f64() {
            Some(number) if number.fract() == 0.0 => grouped(number as i64),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A whole number with its thousands apart.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Says on standard error what is going on, each line with the seconds since the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress(Instant);

impl Progress {
    /// Begins, and says which settings the server gets.
    pub(super) fn start(target: Target) -> Self {
        let settings: Vec<String> = settings(target).map(|(key, value)| format!("{key} = {value}")).collect();
        eprintln!(
            "The server runs with its defaults, but lets a device send as fast as it can: {}.",
            settings.join(", ")
        );
        Self(Instant::now())
    }

    pub(super) fn say(&self, what: impl std::fmt::Display) {
        eprintln!("{:>6.1} s  {what}", self.0.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_people_read_them() {
        let cases =
            [(0.0, "0"), (1_234_567.8, "1,234,568"), (12.3456, "12.35"), (0.012_345_6, "0.01235"), (999.0, "999")];
        for (number, expected) in cases {
            assert_eq!(told(&json!(rounded(number))), expected);
        }
    }
}
