//! The programs and commands that pages of the documentation show.

use anyhow::{Context, Result, ensure};

/// `docs/nsq.md`.
pub(crate) const NSQ: Page = Page(include_str!("../../../../docs/nsq.md"));
/// `docs/rest.md`.
pub(crate) const REST: Page = Page(include_str!("../../../../docs/rest.md"));

/// A page's text.
#[derive(Clone, Copy)]
pub(crate) struct Page(&'static str);

impl Page {
    /// The first code block of a language after a text.
    pub(crate) fn block(self, after: &str, language: &str) -> Result<&'static str> {
        let (_, rest) = self.0.split_once(after).with_context(|| format!("the page does not say {after:?}"))?;
        let (_, rest) = rest.split_once(&format!("```{language}\n")).context("no code block follows")?;
        Ok(rest.split_once("\n```").context("the code block does not end")?.0)
    }

    /// The commands with `curl` in the first code block after a text. One that goes on in a further line is one.
    pub(crate) fn curls(self, after: &str) -> Result<Vec<String>> {
        let mut commands = vec![String::new()];
        for line in self.block(after, "sh")?.lines() {
            let command = commands.last_mut().context("there is one at least")?;
            command.push_str(line);
            command.push('\n');
            if !line.ends_with(['\\', '|']) {
                commands.push(String::new());
            }
        }
        commands.retain(|command| command.contains("curl"));
        Ok(commands)
    }

    /// The code blocks of a section in their order: each one's language and text.
    pub(crate) fn blocks(self, heading: &str) -> Result<Vec<(&'static str, &'static str)>> {
        let (_, section) = self.0.split_once(heading).with_context(|| format!("the page has no {heading:?}"))?;
        let section = section.split("\n## ").next().unwrap_or_default();
        // What stands between two fences is a block at every second place.
        let blocks = section.split("\n```").skip(1).step_by(2);
        blocks.map(|block| block.split_once('\n').context("a block has no text")).collect()
    }
}

/// A text with what a test has instead of what the page shows. All of that has to be there.
pub(crate) fn with(text: &str, replacements: &[(&str, &str)]) -> Result<String> {
    let mut text = text.to_owned();
    for (shown, ours) in replacements {
        ensure!(text.contains(shown), "{shown:?} is not in\n{text}");
        text = text.replace(shown, ours);
    }
    Ok(text)
}
