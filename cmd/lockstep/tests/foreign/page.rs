//! The programs and commands of `docs/nsq.md`.

use anyhow::{Context, Result, ensure};

const PAGE: &str = include_str!("../../../../docs/nsq.md");

/// The first code block of a language after a text.
pub(crate) fn block(after: &str, language: &str) -> Result<&'static str> {
    let (_, rest) = PAGE.split_once(after).with_context(|| format!("the page does not say {after:?}"))?;
    let (_, rest) = rest.split_once(&format!("```{language}\n")).context("no code block follows")?;
    Ok(rest.split_once("\n```").context("the code block does not end")?.0)
}

/// The commands with `curl` in the first code block after a text. One that goes on in a further line is one.
pub(crate) fn curls(after: &str) -> Result<Vec<String>> {
    let mut commands = vec![String::new()];
    for line in block(after, "sh")?.lines() {
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

/// A text with what a test has instead of what the page shows. All of that has to be there.
pub(crate) fn with(text: &str, replacements: &[(&str, &str)]) -> Result<String> {
    let mut text = text.to_owned();
    for (shown, ours) in replacements {
        ensure!(text.contains(shown), "{shown:?} is not in\n{text}");
        text = text.replace(shown, ours);
    }
    Ok(text)
}
