//! What a check found.

use std::collections::BTreeMap;
use std::fmt;

/// Most examples that a verdict keeps; it counts the others too.
const EXAMPLES_MAX: usize = 20;

/// What is wrong with a history: nothing, if it [is clean](Self::is_clean).
#[derive(Debug, Default)]
pub struct Verdict {
    /// All devices together.
    pub total: Counts,
    /// Per device that something is wrong with. What is wrong with a log itself counts only in the total.
    pub devices: BTreeMap<String, Counts>,
    /// Some of what was found, in words.
    pub examples: Vec<String>,
}

/// How often something went wrong.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Entries of a log that a member device never got.
    pub lost: usize,
    /// Entries that a device got again.
    pub duplicated: usize,
    /// Entries that a device got for the first time after a later one.
    pub reordered: usize,
    /// Acknowledged messages that a member device does not have, or has at another place or with another id.
    pub acked_missing: usize,
    /// Messages that stand in a log more than once.
    pub stored_twice: usize,
    /// Places of a log where devices have different entries.
    pub diverged: usize,
    /// Entries that reached a device that is no member.
    pub foreign: usize,
    /// Entries that a device got, or a user wrote, outside the stays of the user.
    pub outside_membership: usize,
    /// Refused messages that stand in a log.
    pub refused_but_stored: usize,
    /// Words of recalled messages that were read by one who began to read after the recall.
    pub recalled_but_shown: usize,
    /// Messages of which a device shows other reactions than the log leaves, and reactions that do not stand where they were
    /// acknowledged.
    pub reactions_diverged: usize,
}

impl Counts {
    /// Whether nothing went wrong.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Verdict {
    /// Whether every device got everything once and in order.
    pub fn is_clean(&self) -> bool {
        self.total.is_zero()
    }

    /// Adds a finding: `count` picks what to raise.
    pub(super) fn add(
        &mut self,
        device: Option<&str>,
        count: fn(&mut Counts) -> &mut usize,
        example: impl FnOnce() -> String,
    ) {
        *count(&mut self.total) += 1;
        if let Some(device) = device {
            *count(self.devices.entry(device.to_owned()).or_default()) += 1;
        }
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, duplicated, reordered, acked_missing, stored_twice, diverged, foreign, .. } = self;
        let Self { outside_membership, refused_but_stored, recalled_but_shown, reactions_diverged, .. } = self;
        write!(
            f,
            "{lost} lost, {duplicated} duplicated, {reordered} reordered, {acked_missing} acknowledged but missing, \
             {stored_twice} stored twice, {diverged} diverged, {foreign} foreign, \
             {outside_membership} outside membership, {refused_but_stored} refused but stored, \
             {recalled_but_shown} recalled but shown, {reactions_diverged} reactions diverged"
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.total)?;
        for (device, counts) in &self.devices {
            writeln!(f, "  {device}: {counts}")?;
        }
        for example in &self.examples {
            writeln!(f, "  for example: {example}")?;
        }
        Ok(())
    }
}
